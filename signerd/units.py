"""Numbers that must not mix, and Secret: bytes that cannot print themselves."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Literal, NewType, NoReturn, get_args

UnixTime = NewType("UnixTime", int)
"""Seconds since 1970-01-01 UTC."""

NodeId = NewType("NodeId", bytes)
"""33 bytes: the node's compressed secp256k1 public key."""

Network = Literal["bitcoin", "testnet", "signet", "regtest"]
"""Network names as rust-bitcoin spells them; no alias is accepted."""

Derivation = Literal["hosted", "core-lightning"]
"""Which node a mnemonic container means: a hosted one, of the first 32 bytes of the seed; or the one that
Core Lightning itself is with that file, whose wallet has all 64."""

NETWORKS: tuple[Network, ...] = get_args(Network)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Secret:
    """Secret bytes: never printed, never pickled, compared in constant time."""

    _bytes: bytes

    def expose(self) -> bytes:
        """The raw bytes. Search for this word to find every place where a secret leaves its box."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        raise TypeError("a Secret is not a dictionary key")

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

    def __len__(self) -> int:
        return len(self._bytes)
