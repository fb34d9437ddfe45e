"""A Bitcoin transaction as a value: parsed strictly, serialised, identified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Self

from signerd.core.tx.reader import Reader, compact_size, octets
from signerd.errors import MalformedMessage

MAX_SIZE = 4_000_000
"""Bytes. No block holds a larger transaction."""

MAX_MONEY = 21_000_000 * 100_000_000
"""Satoshi. No output holds more, and no sum of outputs either."""

FINAL_SEQUENCE = 0xFFFF_FFFF

_SMALLEST_INPUT = 41
_SMALLEST_OUTPUT = 9


@dataclass(frozen=True, slots=True)
class Outpoint:
    """`txid` is 32 bytes in the order in which they are hashed, the reverse of what explorers show."""

    txid: bytes
    index: int

    def serialize(self) -> bytes:
        """36 bytes."""
        return self.txid + self.index.to_bytes(4, "little")

    def __str__(self) -> str:
        return f"{self.txid[::-1].hex()}:{self.index}"


@dataclass(frozen=True, slots=True)
class Input:
    outpoint: Outpoint
    sequence: int = FINAL_SEQUENCE
    script_sig: bytes = b""
    witness: tuple[bytes, ...] = ()

    def serialize(self) -> bytes:
        """Without the witness, which a transaction carries at its end."""
        return self.outpoint.serialize() + octets(self.script_sig) + self.sequence.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Output:
    """`value` in satoshi."""

    value: int
    script: bytes

    def serialize(self) -> bytes:
        return self.value.to_bytes(8, "little") + octets(self.script)


@dataclass(frozen=True, slots=True)
class Transaction:
    """`version` is the unsigned reading of its four bytes."""

    version: int
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    locktime: int = 0

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """From consensus serialisation, with or without witnesses. Raises MalformedMessage."""
        parsed = cls._parse(raw, witnesses=True)
        if not parsed.inputs:
            raise MalformedMessage("the transaction spends nothing")
        return parsed

    @classmethod
    def parse_unsigned(cls, raw: bytes) -> Self:
        """As a PSBT holds it: no witnesses, not even their marker, and no script signatures."""
        parsed = cls._parse(raw, witnesses=False)
        if any(item.script_sig for item in parsed.inputs):
            raise MalformedMessage("the unsigned transaction has a script signature")
        return parsed

    @classmethod
    def _parse(cls, raw: bytes, *, witnesses: bool) -> Self:
        if len(raw) > MAX_SIZE:
            raise MalformedMessage(f"a transaction of {len(raw)} bytes fits in no block")
        reader = Reader(raw, "the transaction")
        version = reader.number(4)
        # BIP 144: what would be zero inputs and one output announces witnesses.
        marked = witnesses and raw[4:6] == b"\x00\x01"
        if marked:
            reader.take(2)
        inputs = tuple(_read_input(reader) for _ in range(reader.count(_SMALLEST_INPUT)))
        outputs = tuple(_read_output(reader) for _ in range(reader.count(_SMALLEST_OUTPUT)))
        if marked:
            inputs = tuple(replace(item, witness=read_stack(reader)) for item in inputs)
            if not any(item.witness for item in inputs):
                raise MalformedMessage("the transaction announces witnesses and has none")
        locktime = reader.number(4)
        reader.finish()
        if sum(item.value for item in outputs) > MAX_MONEY:
            raise MalformedMessage("the outputs of the transaction exceed all the money there is")
        return cls(version, inputs, outputs, locktime)

    def serialize(self) -> bytes:
        """Consensus serialisation, with witnesses where there are any."""
        return self._serialize(witnesses=any(item.witness for item in self.inputs))

    def without_witnesses(self) -> bytes:
        """What the transaction id is made from."""
        return self._serialize(witnesses=False)

    @property
    def is_unsigned(self) -> bool:
        """Whether it has neither script signatures nor witnesses."""
        return not any(item.script_sig or item.witness for item in self.inputs)

    def unsigned(self) -> Self:
        """Without script signatures and witnesses."""
        bare = tuple(Input(item.outpoint, item.sequence) for item in self.inputs)
        return replace(self, inputs=bare)

    @property
    def txid(self) -> bytes:
        """32 bytes, in the order in which they are hashed."""
        return hashlib.sha256(hashlib.sha256(self.without_witnesses()).digest()).digest()

    @property
    def weight(self) -> int:
        """BIP 141: three times the size without witnesses, plus the size with them."""
        return 3 * len(self.without_witnesses()) + len(self.serialize())

    def _serialize(self, *, witnesses: bool) -> bytes:
        return b"".join(
            (
                self.version.to_bytes(4, "little"),
                b"\x00\x01" if witnesses else b"",
                compact_size(len(self.inputs)),
                *(item.serialize() for item in self.inputs),
                compact_size(len(self.outputs)),
                *(item.serialize() for item in self.outputs),
                *(write_stack(item.witness) for item in self.inputs if witnesses),
                self.locktime.to_bytes(4, "little"),
            )
        )


def read_output(raw: bytes) -> Output:
    """One serialised output, as a PSBT holds it. Raises MalformedMessage."""
    reader = Reader(raw, "the spent output")
    output = _read_output(reader)
    reader.finish()
    return output


def read_stack(reader: Reader) -> tuple[bytes, ...]:
    """The witness of one input: a count, then items."""
    return tuple(reader.octets() for _ in range(reader.count(1)))


def write_stack(witness: tuple[bytes, ...]) -> bytes:
    """The witness of one input, as `read_stack` reads it."""
    return compact_size(len(witness)) + b"".join(octets(item) for item in witness)


def _read_input(reader: Reader) -> Input:
    outpoint = Outpoint(reader.take(32), reader.number(4))
    script_sig = reader.octets()
    return Input(outpoint, reader.number(4), script_sig)


def _read_output(reader: Reader) -> Output:
    value = reader.number(8)
    if value > MAX_MONEY:
        raise MalformedMessage(f"an output of {value} sat exceeds all the money there is")
    return Output(value, reader.octets())
