"""Type number ↔ class; bytes ↔ values. Every byte is consumed, and encoding gives the same bytes back."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, get_type_hints

from signerd.core.wire import identity, session
from signerd.core.wire.fields import U16, Field, Reader
from signerd.errors import MalformedMessage

MAX_MESSAGE = 128 * 1024
"""Bytes. The reference signer's limit; no message of a node comes near it."""

FAMILIES: tuple[types.ModuleType, ...] = (session, identity)


class Message(Protocol):
    """Any class of the families."""

    @property
    def TYPE(self) -> int: ...  # noqa: N802


@cache
def classes() -> Mapping[int, type[Any]]:
    """Type number → class, for every message that this codec knows."""
    found: list[Any] = [
        item
        for family in FAMILIES
        for item in vars(family).values()
        if isinstance(item, type) and dataclasses.is_dataclass(item) and item.__module__ == family.__name__
    ]
    return {kind.TYPE: kind for kind in found}


def message_type(raw: bytes) -> int:
    """The 2-byte type. Raises MalformedMessage for what is too short or too long to be a message."""
    if len(raw) < 2:
        raise MalformedMessage(f"a message of {len(raw)} bytes has no type")
    if len(raw) > MAX_MESSAGE:
        raise MalformedMessage(f"a message of {len(raw)} bytes is over the limit of {MAX_MESSAGE}")
    return int.from_bytes(raw[:2], "big")


def decode(raw: bytes) -> Any:
    """The message as its class. Raises MalformedMessage."""
    number = message_type(raw)
    kind = classes().get(number)
    if kind is None:
        raise MalformedMessage(f"no message has type {number}")
    reader = Reader(raw[2:])
    try:
        values = {name: field.read(reader) for name, field in layout(kind)}
    except MalformedMessage as problem:
        raise MalformedMessage(f"{kind.__name__} (type {number}): {problem.message}") from None
    if reader.left:
        raise MalformedMessage(f"{kind.__name__} (type {number}): {reader.left} bytes too many")
    return kind(**values)


def encode(message: Message) -> bytes:
    """The message as bytes, its type first."""
    return U16.write(message.TYPE) + b"".join(
        field.write(getattr(message, name)) for name, field in layout(_class_of(message))
    )


def _class_of(message: Message) -> type[Any]:
    return type(message)


def layout(kind: type[Any]) -> tuple[tuple[str, Field[Any]], ...]:
    """The fields of a class in wire order, each with its codec."""
    if kind not in _LAYOUTS:
        _LAYOUTS[kind] = _read_layout(kind)
    return _LAYOUTS[kind]


_LAYOUTS: dict[type[Any], tuple[tuple[str, Field[Any]], ...]] = {}


def _read_layout(kind: type[Any]) -> tuple[tuple[str, Field[Any]], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((item.name, hints[item.name].__metadata__[0]) for item in dataclasses.fields(kind))
