"""What surrounds one node: who it is, its wallet, the chain, the time, and where new keys come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from signerd.dev.chain import Chain
from signerd.dev.choices import Dice
from signerd.dev.coins import Wallet
from signerd.dev.startup import ext_key
from signerd.units import NETWORKS, Network


@dataclass(frozen=True, slots=True)
class Account:
    """A node as its host knows it: public keys."""

    node_id: bytes
    ext_key: bytes = field(repr=False)
    bolt12_key: bytes
    network: Network

    @classmethod
    def of(cls, init_message: bytes, network: str) -> Self:
        """From the signer's init reply (hsmd type 114)."""
        known: dict[str, Network] = {name: name for name in NETWORKS}
        return cls(init_message[36:69], ext_key(init_message), init_message[147:180], known[network])


class World:
    """`seed` decides all keys, preimages and secrets that are not the signer's; `now` is in Unix seconds."""

    def __init__(self, account: Account, *, seed: bytes, now: int) -> None:
        self.account = account
        self.now = now
        self.dice = Dice(b"a world of " + seed)
        self.chain = Chain()
        self.wallet = Wallet(account.ext_key, self.chain)
        self.labels: dict[bytes, bytes] = {}
        """What the signer has derived for each label."""
