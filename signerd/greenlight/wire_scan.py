"""Look at a protobuf before it is parsed: two bytes on the wire can be a kilobyte of objects in memory."""

from __future__ import annotations

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


def field(raw: bytes, position: int) -> tuple[int, int, int]:
    """The field that starts here: its number, and where its content starts and ends.

    What has no length, a group, is a field 0 up to the last byte, and so is what cannot be read.
    """
    size = len(raw)
    key, position = varint(raw, position)
    kind, body = key & 7, position
    if kind == _DELIMITED:
        length, body = varint(raw, position)
        end = body + length
    elif kind == _VARINT:
        _, end = varint(raw, position)
    elif kind in (_FIXED64, _FIXED32):
        end = position + (8 if kind == _FIXED64 else 4)
    else:
        return 0, body, size
    return key >> 3, body, min(end, size)


def varint(raw: bytes, position: int) -> tuple[int, int]:
    """The number that starts here, and where it ends."""
    value, shift, end = 0, 0, len(raw)
    while position < end and shift < 70:
        byte = raw[position]
        position += 1
        if byte < 0x80:
            return value | byte << shift, position
        value |= (byte & 0x7F) << shift
        shift += 7
    # Cut short or too long: nothing after it can be read.
    return value, end
