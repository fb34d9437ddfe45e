"""Outputs that our node can spend, and its wallet: public keys and what it owns, no secret."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from signerd.core.tx import script
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire.composites import CloseInfo, Utxo
from signerd.dev import psbts, verify
from signerd.dev.chain import Chain
from signerd.errors import UsageError

_RESERVE_SAT = 1_000_000

REPLACEABLE = 0xFFFF_FFFD
"""The sequence of inputs whose transaction may be replaced (BIP 125)."""


class Kind(enum.Enum):
    """Addresses that Core Lightning has made."""

    P2TR = "p2tr"
    P2WPKH = "p2wpkh"
    P2SH_P2WPKH = "p2sh-p2wpkh"


SCRIPTS = {Kind.P2TR: script.p2tr, Kind.P2WPKH: script.p2wpkh, Kind.P2SH_P2WPKH: script.p2sh_p2wpkh}
"""Address → the script that it is of, for a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """An output that `key` (33 bytes) opens; with `witness_script` if it is a P2WSH output."""

    outpoint: Outpoint
    output: Output
    previous: Transaction
    key: bytes
    index: int = 0
    witness_script: bytes | None = None
    close: CloseInfo | None = None
    sequence: int = REPLACEABLE

    @property
    def is_taproot(self) -> bool:
        return self.output.script[:1] == script.OP_1

    @property
    def is_nested(self) -> bool:
        return self.output.script[:1] == script.OP_HASH160

    @property
    def script_sig(self) -> bytes:
        """What its input has beside the witness: the redeem script, if its output hides one."""
        return script.push(script.p2wpkh(self.key)) if self.is_nested else b""

    @property
    def script_code(self) -> bytes:
        """What BIP 143 signs of it."""
        return self.witness_script or script.p2pkh(self.key)

    @property
    def utxo(self) -> Utxo:
        """As the node names it to its signer."""
        return Utxo(
            txid=self.outpoint.txid,
            output_index=self.outpoint.index,
            amount=self.output.value,
            key_index=self.index,
            is_p2sh=False,
            script_pubkey=self.output.script,
            close_info=self.close,
            is_in_coinbase=False,
        )

    @property
    def fields(self) -> list[psbts.Field]:
        """What a PSBT says of it."""
        fields = [psbts.previous(self.previous), psbts.spends(self.output)]
        return [*fields, psbts.redeem_script(script.p2wpkh(self.key))] if self.is_nested else fields


class Wallet:
    """Core Lightning's wallet, from the account's extended public key (78 bytes)."""

    def __init__(self, ext_key: bytes, chain: Chain) -> None:
        self._ext_key = ext_key
        self._chain = chain
        self._coins: list[Coin] = []
        self._next_index = 1

    def key(self, index: int) -> bytes:
        """33 bytes."""
        return verify.child_public_key(self._ext_key, index)

    def fresh(self) -> int:
        """The index of a key that was not used before."""
        self._next_index += 1
        return self._next_index - 1

    def script(self, index: int, kind: Kind = Kind.P2TR) -> bytes:
        """The output script of an address."""
        return SCRIPTS[kind](self.key(index))

    def owned(self, index: int, output_script: bytes) -> psbts.Field:
        """The PSBT field that says that an output is ours."""
        return psbts.ours(self.key(index), index, output_script)

    def deposit(self, value_sat: int, kind: Kind = Kind.P2TR) -> Coin:
        """Somebody pays us."""
        index = self.fresh()
        tx = self._chain.coin(Output(value_sat, self.script(index, kind)))
        return self.find(tx, 0, index)

    def find(self, tx: Transaction, output: int, index: int) -> Coin:
        """An output of a confirmed transaction is ours, under this key."""
        coin = Coin(
            outpoint=Outpoint(tx.txid, output),
            output=tx.outputs[output],
            previous=tx,
            key=self.key(index),
            index=index,
        )
        self._coins.append(coin)
        return coin

    def add(self, coin: Coin) -> None:
        """Own a coin under another key than the wallet's: what a closed channel paid us."""
        self._coins.append(coin)

    def take(self, value_sat: int, *, native: bool = False) -> list[Coin]:
        """Coins worth at least this, oldest first; they are not in the wallet any more.

        `native`: none that hides its program inside P2SH. Raises UsageError if there is not enough.
        """
        taken: list[Coin] = []
        usable = (coin for coin in self._coins if self._chain.unspent(coin.outpoint))
        for coin in [coin for coin in usable if not (native and coin.is_nested)]:
            if sum_of(taken) >= value_sat and taken:
                break
            taken.append(coin)
        if sum_of(taken) < value_sat:
            raise UsageError(f"the wallet has {sum_of(taken)} sat, and {value_sat} sat are asked for")
        self._coins = [coin for coin in self._coins if coin not in taken]
        return taken

    def take_one(self, value_sat: int) -> Coin:
        """The first coin worth at least this; somebody pays us one if there is none."""
        rich = [c for c in self._coins if c.output.value >= value_sat and self._chain.unspent(c.outpoint)]
        coin = rich[0] if rich else self.deposit(_RESERVE_SAT, Kind.P2WPKH)
        self._coins.remove(coin)
        return coin

    def take_some(self, count: int, value_sat: int) -> list[Coin]:
        """Up to so many coins: one that is worth at least this, and the oldest others."""
        taken = [self.take_one(value_sat)]
        unspent = [coin for coin in self._coins if self._chain.unspent(coin.outpoint)]
        for coin in unspent[: count - 1]:
            self._coins.remove(coin)
            taken.append(coin)
        return taken

    @property
    def balance_sat(self) -> int:
        """What it can spend."""
        return self.holds()

    def holds(self, *, native: bool = False) -> int:
        """Satoshi that `take` can find."""
        unspent = (coin for coin in self._coins if self._chain.unspent(coin.outpoint))
        return sum_of(coin for coin in unspent if not (native and coin.is_nested))


def sum_of(coins: Iterable[Coin]) -> int:
    """Satoshi."""
    return sum(coin.output.value for coin in coins)
