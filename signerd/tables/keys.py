"""Which keys does a file have that these structs describe, and what was meant by one that it does not have?

A key is written with its tables before it, as `scheduler.uri`. A list of tables (`[[pairing.auto]]`) is one
key, `pairing.auto`; the keys inside its tables are written `pairing.auto[].name`.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import inspect

ELEMENT = "[]"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `kind` is its type without "or nothing"; `marks` are those of `msgspec.Meta(extra=…)`."""

    name: str
    kind: inspect.Type
    default: Any
    required: bool
    marks: Mapping[str, Any]

    @property
    def elements(self) -> inspect.StructType | None:
        """What the tables of a list of tables look like; None for every other key."""
        return _elements(self.kind)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that there are, where they are few and named."""
        return tuple(self.kind.values) if isinstance(self.kind, inspect.LiteralType) else ()

    @property
    def is_text(self) -> bool:
        """Whether any text is taken as it is."""
        return isinstance(self.kind, inspect.StrType) or any(isinstance(c, str) for c in self.choices)


@functools.cache
def keys(root: type[msgspec.Struct], *, inside_lists: bool = False) -> Mapping[str, Key]:
    """Every key by its name, in the order of the structs; with `inside_lists` those of list tables too."""
    return MappingProxyType({key.name: key for key in _walk(_struct(root), "", inside_lists=inside_lists)})


@functools.cache
def tables(root: type[msgspec.Struct]) -> tuple[str, ...]:
    """Every table by its name, without lists of tables."""
    return tuple(_tables(_struct(root), ""))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A key or a table that there is not, and what may have been meant."""

    name: str
    is_table: bool
    meant: tuple[str, ...]


def first_unknown(table: Mapping[str, Any], root: type[msgspec.Struct]) -> Unknown | None:
    """The first key of a parsed file that the structs do not have."""
    known = keys(root)
    for name, value in dotted(table, root):
        key = known.get(name)
        if key is None and name in tables(root):
            continue  # something else than a table in a table's place; its type is refused
        if key is None:
            is_table = isinstance(value, dict)
            return Unknown(name, is_table, likely(name, tables(root) if is_table else tuple(known)))
        if key.elements is not None and (inner := _unknown_inside(key.elements, name, value)):
            return inner
    return None


def likely(name: str, candidates: tuple[str, ...]) -> tuple[str, ...]:
    """What may have been meant: the same name in another place, else the likeliest slip of a finger."""
    last = name.rpartition(".")[2]
    elsewhere = tuple(candidate for candidate in candidates if candidate.rpartition(".")[2] == last)
    return elsewhere or tuple(difflib.get_close_matches(name, candidates, n=1, cutoff=0.6))


def dotted(table: Mapping[str, Any], root: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    """Every key of a parsed file with its value; what is no table of ours counts as a value."""
    known = tables(root)

    def walk(inner: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in inner.items():
            if isinstance(value, dict) and prefix + name in known:
                yield from walk(value, f"{prefix}{name}.")
            else:
                yield prefix + name, value

    return walk(table, "")


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The opposite of `dotted`: a table of tables."""
    table: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        place = table
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return table


def value_of(config: msgspec.Struct, name: str) -> Any:
    """The value of a key in the structs."""
    found: Any = config
    for part in name.split("."):
        found = getattr(found, part)
    return found


def flat(config: msgspec.Struct) -> dict[str, Any]:
    """Every key with its value in the structs."""
    return {name: value_of(config, name) for name in keys(type(config))}


def _struct(root: type[msgspec.Struct]) -> inspect.StructType:
    described = inspect.type_info(root)
    assert isinstance(described, inspect.StructType)
    return described


def _walk(struct: inspect.StructType, prefix: str, *, inside_lists: bool) -> Iterator[Key]:
    for field in struct.fields:
        kind, marks = _bare(field.type)
        name = prefix + field.encode_name
        if isinstance(kind, inspect.StructType):
            yield from _walk(kind, f"{name}.", inside_lists=inside_lists)
            continue
        default = None if field.default is msgspec.NODEFAULT else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        yield Key(name, kind, default, field.required, marks)
        elements = _elements(kind)
        if inside_lists and elements is not None:
            yield from _walk(elements, f"{name}{ELEMENT}.", inside_lists=True)


def _tables(struct: inspect.StructType, prefix: str) -> Iterator[str]:
    for field in struct.fields:
        kind, _ = _bare(field.type)
        if isinstance(kind, inspect.StructType):
            yield prefix + field.encode_name
            yield from _tables(kind, f"{prefix}{field.encode_name}.")


def _bare(kind: inspect.Type) -> tuple[inspect.Type, Mapping[str, Any]]:
    """A type without its marks and without "or nothing"."""
    marks: dict[str, Any] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            marks |= kind.extra or {}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            rest = [inner for inner in kind.types if not isinstance(inner, inspect.NoneType)]
            if len(rest) != 1:
                return kind, marks
            kind = rest[0]
        else:
            return kind, marks


def _elements(kind: inspect.Type) -> inspect.StructType | None:
    if not isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return None
    inner, _ = _bare(kind.item_type)
    return inner if isinstance(inner, inspect.StructType) else None


def _unknown_inside(struct: inspect.StructType, name: str, value: Any) -> Unknown | None:
    if not isinstance(value, list):
        return None  # not even a list; its type is refused
    for number, item in enumerate(value):
        if isinstance(item, dict) and (found := first_unknown(item, struct.cls)):
            return Unknown(f"{name}[{number}].{found.name}", found.is_table, found.meant)
    return None
