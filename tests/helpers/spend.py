"""A request that brings a transaction, with other values and other PSBTs than it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from helpers.good_requests import Good
from signerd.core.requests import Refusal, SigningRequest
from signerd.core.tx import psbt_fields as names
from signerd.core.tx.psbt import MAGIC, Psbt
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.transaction import Outpoint, Transaction
from signerd.core.wire.composites import BitcoinTx

WITHDRAWAL, SPLICE, ANCHOR, MINGLE = 7, 29, 147, 149
COMPOSED = (5, 16, 19, 20, 35, 146)
"""Commitments and HTLC transactions: what they must be is known here."""
SWEEPS = (12, 13, 14, 142, 143, 144)
SPENDING = (*COMPOSED, *SWEEPS, 21, WITHDRAWAL, SPLICE, ANCHOR, MINGLE)
"""All that bring a transaction."""


@dataclass(frozen=True)
class Spend:
    """A request's transaction and the maps of its PSBT: the global one, those of inputs, those of outputs."""

    request: Good
    tx: Transaction
    maps: tuple[Map, ...]

    @classmethod
    def of(cls, request: Good) -> Spend:
        message = request.message
        psbt = Psbt.parse(message.tx.psbt if hasattr(message, "tx") else message.psbt)
        tx = Transaction.parse(message.tx.raw) if hasattr(message, "tx") else psbt.tx
        maps = (psbt.fields, *(item.fields for item in psbt.inputs), *(item.fields for item in psbt.outputs))
        return cls(request, tx, maps)

    @property
    def psbt(self) -> bytes:
        return MAGIC + b"".join(item.serialize() for item in self.maps)

    def asked(self) -> SigningRequest:
        if hasattr(self.request.message, "tx"):
            return self.request.but(tx=BitcoinTx(self.tx.serialize(), self.psbt))
        return self.request.but(psbt=self.psbt)

    def refusal(self) -> Refusal:
        return self.request.refusal(self.asked())

    def with_tx(self, tx: Transaction) -> Spend:
        """In the message and in its PSBT."""
        whole = self.maps[0].put(names.GLOBAL_TX, tx.unsigned().serialize())
        return replace(self, tx=tx, maps=(whole, *self.maps[1:]))

    def with_value(self, index: int, value: int) -> Spend:
        outputs = self.tx.outputs
        changed = replace(outputs[index], value=value)
        return self.with_tx(replace(self.tx, outputs=(*outputs[:index], changed, *outputs[index + 1 :])))

    def with_map(self, index: int, change: Callable[[Map], Map]) -> Spend:
        return replace(self, maps=(*self.maps[:index], change(self.maps[index]), *self.maps[index + 1 :]))

    @property
    def ours(self) -> int:
        """The map of an input that is to be signed."""
        message = self.request.message
        if not hasattr(message, "utxos"):
            return 1 + getattr(message, "input_index", 0)
        listed = {Outpoint(utxo.txid, utxo.output_index) for utxo in message.utxos}
        return 1 + next(at for at, item in enumerate(self.tx.inputs) if item.outpoint in listed)


def spends(good: Mapping[int, Good]) -> Iterator[Spend]:
    """Of all kinds."""
    return (Spend.of(good[number]) for number in SPENDING)
