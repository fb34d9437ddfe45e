"""The TLV stream at the end of a message (BOLT 1): canonical, ascending, and nothing left over."""

from __future__ import annotations

from signerd.core.wire.fields import Field, Reader
from signerd.errors import MalformedMessage

Records = tuple[tuple[int, bytes], ...]

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
        records.append((kind, reader.take(read_bigsize(reader))))
    return tuple(records)


def _write(records: Records) -> bytes:
    return b"".join(write_bigsize(kind) + write_bigsize(len(value)) + value for kind, value in records)


STREAM: Field[Records] = Field(read=_read, write=_write)
"""Takes the rest of the message. Types, even unknown ones, are the handler's to judge."""
