"""Requests as a node gone bad would send them: a valid one with something in it changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from signerd.core.tx import psbt_fields
from signerd.core.tx.psbt import MAGIC, Psbt
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import codec
from signerd.core.wire.composites import BitcoinTx
from signerd.dev.steps import Context, Step
from signerd.errors import MalformedMessage

EDGES = (
    0, 1, 2, 3, 143, 144, 253, 329, 330, 353, 354, 545, 546, 1000, 2016, 2017, 10_000, 10_001, 100_000,
    100_001, 150_000, 150_001, 16_777_216, 16_777_217, 500_000_000, 10**9, 10**9 + 2,
)  # fmt: skip
STEPS = (1, 2, 10, 1000, 10_001, 100_001)
SEQUENCES = (0, 1, 144, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)

Order = list[int | None]
"""Where each output of a changed transaction was before; None for a new one."""


class Mutator:
    """Changes steps by chance; the same seed makes the same changes."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self._on_transactions: Sequence[Callable[[Transaction], tuple[Transaction, Order | None]]] = (
            self._move_value,
            self._move_value,
            self._move_value,
            lambda tx: (replace(tx, version=self.dice.choice((0, 1, 3, 2**31))), None),
            lambda tx: (replace(tx, locktime=self._number(tx.locktime, 32)), None),
            self._change_input,
            self._change_outputs,
            self._change_outputs,
        )

    def step(self, step: Step) -> Step | None:
        """Another step, None if chance has made no change, or one that has no bytes."""
        try:
            raw = codec.encode(self._dataclass(codec.decode(step.raw)))
        except (MalformedMessage, OverflowError, ValueError):
            return None
        context = step.context
        if context is not None and self._rarely():
            context = Context(context.peer_id, context.dbid + self.dice.choice((-1, 1)), context.capabilities)
        changed = (raw, context) != (step.raw, step.context)
        return Step(raw, context, step.judge, step.deterministic) if changed else None

    def _dataclass(self, value: Any) -> Any:
        fields = dataclasses.fields(value)
        if not fields:
            return value
        # What moves money is in transactions.
        weights = [6 if isinstance(getattr(value, field.name), BitcoinTx) else 1 for field in fields]
        name = self.dice.choices(fields, weights)[0].name
        return replace(value, **{name: self._value(getattr(value, name))})

    def _value(self, value: Any) -> Any:
        match value:
            case int():
                bits = 64 if value >= 2**32 or self._rarely() else 32
                return not value if isinstance(value, bool) else self._number(value, bits)
            case BitcoinTx():
                tx, order = self._transaction(Transaction.parse(value.raw))
                return BitcoinTx(tx.serialize(), self._psbt(Psbt.parse(value.psbt), tx, order))
            case bytes() if value.startswith(MAGIC):
                psbt = Psbt.parse(value)
                tx, order = self._transaction(psbt.tx)
                return self._psbt(psbt, tx, order)
            case bytes():
                return self._octets(value)
            case tuple() if value:
                return self._sequence(value)
            case _:
                return self._dataclass(value) if dataclasses.is_dataclass(value) else value

    def _rarely(self) -> bool:
        return self.dice.random() < 0.05

    def _number(self, value: int, bits: int) -> int:
        changed: int = self.dice.choice(
            (
                value + self.dice.choice((-1, 1)) * self.dice.choice(STEPS),
                self.dice.choice(EDGES) * self.dice.choice((1, 1000)),
                self.dice.getrandbits(bits),
            )
        )
        return max(0, min(changed, (1 << bits) - 1))

    def _octets(self, value: bytes) -> bytes:
        if not value:
            return self.dice.randbytes(self.dice.choice((1, 22, 33)))
        at = self.dice.randrange(len(value))
        return value[:at] + bytes([value[at] ^ (1 << self.dice.randrange(8))]) + value[at + 1 :]

    def _sequence(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        at = self.dice.randrange(len(value))
        return self.dice.choice(
            (
                value[:at] + value[at + 1 :],
                (*value, value[at]),
                tuple(reversed(value)),
                (*value[:at], self._value(value[at]), *value[at + 1 :]),
            )
        )

    # Transactions

    def _transaction(self, tx: Transaction) -> tuple[Transaction, Order | None]:
        return self.dice.choice(self._on_transactions)(tx)

    def _move_value(self, tx: Transaction) -> tuple[Transaction, None]:
        """From one output to another, or to and from the fee."""
        outputs = list(tx.outputs)
        amount = self.dice.choice((-1, 1)) * self.dice.choice(STEPS)
        for sign in self.dice.choice(((1,), (1, -1))):
            at = self.dice.randrange(len(outputs))
            outputs[at] = Output(max(0, outputs[at].value + sign * amount), outputs[at].script)
        return replace(tx, outputs=tuple(outputs)), None

    def _change_input(self, tx: Transaction) -> tuple[Transaction, None]:
        at = self.dice.randrange(len(tx.inputs))
        item = tx.inputs[at]
        changed: Input = self.dice.choice(
            (
                replace(item, sequence=self.dice.choice(SEQUENCES)),
                replace(item, outpoint=Outpoint(item.outpoint.txid, item.outpoint.index ^ 1)),
                replace(item, outpoint=Outpoint(self.dice.randbytes(32), item.outpoint.index)),
            )
        )
        return replace(tx, inputs=(*tx.inputs[:at], changed, *tx.inputs[at + 1 :])), None

    def _change_outputs(self, tx: Transaction) -> tuple[Transaction, Order]:
        """One is missing, new, in another place, of an odd value, or to somebody else."""
        order: Order = list(range(len(tx.outputs)))
        outputs = list(tx.outputs)
        at = self.dice.randrange(len(outputs))
        match self.dice.randrange(5):
            case 0 if len(outputs) > 1:
                del outputs[at], order[at]
            case 1:
                outputs.append(Output(self.dice.choice(EDGES), b"\x00\x14" + self.dice.randbytes(20)))
                order.append(None)
            case 2:
                outputs.reverse()
                order.reverse()
            case 3:
                outputs[at] = Output(self.dice.choice(EDGES), outputs[at].script)
            case _:
                outputs[at] = Output(outputs[at].value, self._octets(outputs[at].script))
        return replace(tx, outputs=tuple(outputs)), order

    def _psbt(self, psbt: Psbt, tx: Transaction, order: Order | None) -> bytes:
        """A PSBT of the changed transaction that agrees with it, mostly."""
        inputs = [item.fields for item in psbt.inputs]
        known = [item.fields for item in psbt.outputs]
        outputs = known if order is None else [Map() if at is None else known[at] for at in order]
        if self._rarely():
            outputs[self.dice.randrange(len(outputs))] = Map()
        if self._rarely():
            inputs[self.dice.randrange(len(inputs))] = Map()
        head = psbt.fields.put(psbt_fields.GLOBAL_TX, tx.unsigned().serialize())
        return MAGIC + b"".join(item.serialize() for item in (head, *inputs, *outputs))
