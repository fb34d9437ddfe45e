"""Look at a protobuf before it is parsed: two bytes on the wire can be a kilobyte of objects in memory."""

from __future__ import annotations

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


def has_at_most(raw: bytes, fields: frozenset[int], limit: int) -> bool:
    """Whether the message has at most `limit` top-level entries of these field numbers, in all.

    Stops counting where the limit is passed, or the bytes are no protobuf (then parsing them fails anyway).
    """
    position, count, end = 0, 0, len(raw)
    while position < end:
        key, position = _varint(raw, position)
        kind = key & 7
        if kind == _DELIMITED:
            length, position = _varint(raw, position)
            position += length
        elif kind == _VARINT:
            _, position = _varint(raw, position)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            return True
        if key >> 3 in fields:
            count += 1
            if count > limit:
                return False
    return True


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while position < len(raw) and shift < 70:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    # Cut short or too long: nothing after it can be read.
    return value, len(raw)
