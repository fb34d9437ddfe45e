"""Edits of bytes as such: what any sender can do to any string of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from fuzz.tape import Tape

LARGEST = 128 * 1024
"""Bytes: no edit makes more, so that every input is done in a moment."""

Edit = Callable[[bytes, int, Tape], bytes]


def _overwrite(data: bytes, at: int, tape: Tape) -> bytes:
    new = tape.octets()
    return data[:at] + new + data[at + len(new) :]


def _insert(data: bytes, at: int, tape: Tape) -> bytes:
    return data[:at] + tape.octets() + data[at:]


def _delete(data: bytes, at: int, tape: Tape) -> bytes:
    return data[:at] + data[at + tape.number() :]


def _truncate(data: bytes, at: int, tape: Tape) -> bytes:
    return data[:at]


def _flip(data: bytes, at: int, tape: Tape) -> bytes:
    bit = tape.number()
    return data[:at] + bytes([data[at] ^ (bit or 1)]) + data[at + 1 :] if at < len(data) else data


def _add(data: bytes, at: int, tape: Tape) -> bytes:
    """To a number of 1, 2, 4 or 8 bytes, in either order."""
    kind = tape.number()
    size = (1, 2, 4, 8)[kind & 3]
    order: Literal["little", "big"] = "little" if kind & 4 else "big"
    number = int.from_bytes(data[at : at + size], order) + tape.signed()
    changed = (number % (1 << 8 * size)).to_bytes(size, order)
    return data[:at] + changed[: len(data) - at] + data[at + size :]


def _inflate(data: bytes, at: int, tape: Tape) -> bytes:
    return data[:at] + tape.octets() * tape.number(2) + data[at:]


def _repeat(data: bytes, at: int, tape: Tape) -> bytes:
    piece = data[at : at + tape.number(2)]
    return data[:at] + piece * tape.number() + data[at:]


def _largest(data: bytes, at: int, tape: Tape) -> bytes:
    size = tape.number() % 9
    return data[:at] + b"\xff" * size + data[at + size :]


EDITS: Sequence[Edit] = (
    _overwrite,
    _insert,
    _delete,
    _truncate,
    _flip,
    _add,
    _inflate,
    _repeat,
    _largest,
)


def edit(data: bytes, tape: Tape) -> bytes:
    """One edit, somewhere."""
    change = tape.one_of(EDITS)
    at = tape.number(2) % (len(data) + 1)
    return change(data, at, tape)[:LARGEST]
