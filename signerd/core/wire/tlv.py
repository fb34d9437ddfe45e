"""The TLV stream at the end of a message (BOLT 1): canonical, ascending, and nothing left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.wire.fields import Field, Reader
from signerd.errors import MalformedMessage

Records = tuple[tuple[int, bytes], ...]

MAX_RECORDS = 64
"""More than any message defines; a stream of many small records would cost much more than its bytes."""

_SIZES = {0xFD: 2, 0xFE: 4, 0xFF: 8}
_SMALLEST = {2: 0xFD, 4: 0x1_0000, 8: 0x1_0000_0000}


def read_bigsize(reader: Reader) -> int:
    """BOLT 1's BigSize. Raises MalformedMessage unless it is the shortest encoding."""
    first = reader.take(1)[0]
    if first not in _SIZES:
        return first
    size = _SIZES[first]
    value = int.from_bytes(reader.take(size), "big")
    if value < _SMALLEST[size]:
        raise MalformedMessage("a BigSize is not in its shortest form")
    return value


def write_bigsize(value: int) -> bytes:
    """BOLT 1's BigSize in its shortest form."""
    for prefix, size in _SIZES.items():
        if value < _SMALLEST[size]:
            break
        if value < 1 << (8 * size):
            return bytes([prefix]) + value.to_bytes(size, "big")
    return bytes([value])


def _read(reader: Reader) -> Records:
    records: list[tuple[int, bytes]] = []
    while reader.left:
        kind = read_bigsize(reader)
        if records and kind <= records[-1][0]:
            raise MalformedMessage("TLV types do not ascend")
        if len(records) == MAX_RECORDS:
            raise MalformedMessage(f"more than {MAX_RECORDS} TLV records")
        records.append((kind, reader.take(read_bigsize(reader))))
    return tuple(records)


def _write(records: Records) -> bytes:
    return b"".join(write_bigsize(kind) + write_bigsize(len(value)) + value for kind, value in records)


STREAM: Field[Records] = Field(name="tlvs", least=0, read=_read, write=_write)
"""Takes the rest of the message. Types, even unknown ones, are the handler's to judge: see `values`."""


def values(records: Records, known: Mapping[int, Field[Any]]) -> dict[int, Any]:
    """The records of known types, decoded. Unknown odd types are left out (BOLT 1: it is fine to be odd).

    Raises MalformedMessage for an unknown even type and for a value that is not of its type, whole.
    """
    found: dict[int, Any] = {}
    for kind, value in records:
        if kind in known:
            reader = Reader(value)
            found[kind] = known[kind].read(reader)
            if reader.left:
                raise MalformedMessage(f"TLV type {kind}: {reader.left} bytes too many")
        elif kind % 2 == 0:
            raise MalformedMessage(f"TLV type {kind} is even and unknown")
    return found
