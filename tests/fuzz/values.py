"""Edits of a message's fields, after which it can still be read: what a node means otherwise."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from fuzz import invoices, octets, transactions
from fuzz.tape import Tape
from signerd.core.wire import codec, composites
from signerd.core.wire.fields import Field, Reader
from signerd.errors import MalformedMessage

Pool = Mapping[str, Sequence[Any]]
"""Name of a field type → values that were seen."""

MOST_ITEMS = 1100
NUMBERS = (
    0, 1, 2, 143, 144, 253, 329, 330, 353, 354, 483, 545, 546, 2016, 2017,
    2**16 - 1, 10**6, 2**31, 2**32 - 1, 2**47, 2**48 - 2, 2**48 - 1, 2**48,
    21 * 10**14, 21 * 10**14 + 1, 21 * 10**17, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip


def leaves(value: Any) -> list[tuple[str, Any]]:
    """All parts of a message with the names of their types: what a pool is made of."""
    found: list[tuple[str, Any]] = []
    for name, field in codec.layout(type(value)):
        part = getattr(value, name)
        found.append((field.name, part))
        if dataclasses.is_dataclass(part):
            found += leaves(part)
        elif field.name.endswith("[]"):
            for item in part:
                found.append((field.name.removesuffix("[]"), item))
                found += leaves(item) if dataclasses.is_dataclass(item) else []
    return found


def edit(message: Any, tape: Tape, pool: Pool) -> Any:
    """With another value of one field, or of a field of a field."""
    if isinstance(message, composites.BitcoinTx) and tape.number() & 1:
        return transactions.edit(message, tape)
    layout = codec.layout(type(message))
    if not layout:
        return message
    name, field = tape.one_of(layout)
    return dataclasses.replace(message, **{name: _edited(getattr(message, name), field, tape, pool)})


def _edited(value: Any, field: Field[Any], tape: Tape, pool: Pool) -> Any:
    way = tape.number() % 8
    if way == 0 and pool.get(field.name):
        return tape.one_of(pool[field.name])
    if way == 1:
        return _read(field, tape.octets(), value)
    if dataclasses.is_dataclass(value):
        return edit(value, tape, pool)
    if isinstance(value, tuple) and field.name.endswith("[]"):
        return _array(value, field, tape, pool)
    return _leaf(value, field, tape, way)


def _leaf(value: Any, field: Field[Any], tape: Tape, way: int) -> Any:
    if isinstance(value, int):
        return _number(value, field, tape, way)
    if isinstance(value, str) and way & 1:
        return invoices.edit(value, tape)
    if isinstance(value, bytes) and field.name != "raw wirestring":
        if field.name == "psbt" and way & 1:
            return transactions.edit_psbt(value, tape)
        return _fitting(octets.edit(value, tape), field, len(value))
    return _read(field, octets.edit(field.write(value), tape), value)


def _number(value: int, field: Field[Any], tape: Tape, way: int) -> int:
    if isinstance(value, bool):
        return not value
    if isinstance(value, enum.IntEnum):
        return type(value)(1 - value)
    number = tape.one_of(NUMBERS) if way & 1 else value + tape.signed()
    return number % (1 << 8 * _size_of(field))


def _size_of(field: Field[Any]) -> int:
    return int(field.name.removeprefix("?u")) // 8 if field.name.startswith("?u") else field.least


def _fitting(value: bytes, field: Field[Any], size: int) -> bytes:
    """Of the size that it had, if its type has only one."""
    name = field.name.removeprefix("?")
    if name in {"bytes32", "psbt"}:
        return value
    if name in {"bytes16", "channel_type"}:
        return value[: 2**16 - 1]
    return value[:size].ljust(size, b"\x00")


def _read(field: Field[Any], raw: bytes, otherwise: Any) -> Any:
    try:
        return field.read(Reader(raw))
    except MalformedMessage:
        return otherwise


def _array(value: tuple[Any, ...], field: Field[Any], tape: Tape, pool: Pool) -> tuple[Any, ...]:
    kind = field.name.removesuffix("[]")
    way = tape.number() % 7
    if not value or way == 0:
        return (*value, tape.one_of(pool[kind])) if pool.get(kind) else value
    at = tape.number() % len(value)
    before, item, after = value[:at], value[at], value[at + 1 :]
    if way == 1:
        return before + after
    if way == 2:
        return value[::-1]
    if way == 3:
        return (*before, *[item] * (tape.number(2) % MOST_ITEMS), item, *after)[:MOST_ITEMS]
    if way == 4:
        return (item, *after, *before)
    return (*before, edit(item, tape, pool), *after) if dataclasses.is_dataclass(item) else value
