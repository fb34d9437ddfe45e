"""What is made of fields: optional values, counted arrays, and dataclasses read by their annotations."""

from __future__ import annotations

import dataclasses
import itertools
import struct
from collections.abc import Callable
from typing import Any, TypeVar, cast, get_type_hints

from signerd.core.wire.fields import BOOL, U16, Field, Reader
from signerd.errors import MalformedMessage

T = TypeVar("T")


def optional(inner: Field[T]) -> Field[T | None]:
    """A presence byte (0 or 1), then the value."""
    return Field(
        name=f"?{inner.name}",
        least=1,
        read=lambda reader: inner.read(reader) if BOOL.read(reader) else None,
        write=lambda value: b"\x00" if value is None else b"\x01" + inner.write(value),
    )


def array(
    inner: Field[T], *, shape: struct.Struct | None = None, make: Callable[..., T | None] | None = None
) -> Field[tuple[T, ...]]:
    """u16 count, then the items. A count that cannot fit is refused before anything is read.

    Items of one `shape` are read at once: `make` gets the values of one, and returns None where `inner`
    has to look, and say what is wrong.
    """
    if inner.least < 1:
        raise ValueError(f"an array of {inner.name} is not bounded by its message")
    if shape is not None and shape.size != inner.least:
        raise ValueError(f"{inner.name} has {inner.least} bytes, not {shape.size}")

    def read(reader: Reader) -> tuple[T, ...]:
        count = U16.read(reader)
        if count * inner.least > reader.left:
            raise MalformedMessage(f"{count} items do not fit in the {reader.left} bytes left")
        if shape is not None and make is not None:
            values = (make(*parts) for parts in shape.iter_unpack(reader.peek(count * shape.size)))
            found = list(itertools.takewhile(_is_there, values))
            if len(found) == count:
                reader.take(count * shape.size)
                return tuple(cast("list[T]", found))
            del found
        items: list[T] = []
        try:
            for _ in range(count):
                items.append(inner.read(reader))  # noqa: PERF401 (their number names the bad one)
        except MalformedMessage as problem:
            raise MalformedMessage(f"item {len(items)}: {problem.message}") from None
        return tuple(items)

    return Field(
        name=f"{inner.name}[]",
        least=2,
        read=read,
        write=lambda value: U16.write(len(value)) + b"".join([inner.write(item) for item in value]),
    )


def _is_there(value: object) -> bool:
    return value is not None


def layout(kind: type[Any]) -> tuple[tuple[str, Field[Any]], ...]:
    """The fields of a dataclass in wire order, each with the codec that its annotation carries."""
    found = _LAYOUTS.get(kind)
    if found is None:
        hints = get_type_hints(kind, include_extras=True)
        found = tuple((item.name, hints[item.name].__metadata__[0]) for item in dataclasses.fields(kind))
        _LAYOUTS[kind] = found
    return found


_LAYOUTS: dict[type[Any], tuple[tuple[str, Field[Any]], ...]] = {}


def read(kind: type[T], reader: Reader) -> T:
    """One value of the class. Raises MalformedMessage that begins with the field's name."""
    values: list[Any] = []
    name = ""
    try:
        for name, field in layout(kind):  # noqa: B007 (it names the bad field)
            values.append(field.read(reader))
    except MalformedMessage as problem:
        raise MalformedMessage(f"{name}: {problem.message}") from None
    return kind(*values)


def write(value: object) -> bytes:
    """The fields of a value, one after the other."""
    return b"".join([field.write(getattr(value, name)) for name, field in layout(type(value))])


def record(kind: type[T], name: str) -> Field[T]:
    """A dataclass as a field type of its own."""
    return Field(
        name=name,
        least=sum(field.least for _, field in layout(kind)),
        read=lambda reader: read(kind, reader),
        write=write,
    )
