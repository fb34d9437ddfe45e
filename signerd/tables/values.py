"""Is this what the structs allow? A value from a file, a variable or a flag, refused with where and why."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from signerd.errors import ConfigError
from signerd.tables.keys import ELEMENT, Key, first_unknown, keys, value_of

T = TypeVar("T", bound=msgspec.Struct)
Limits = Mapping[str, tuple[float, float]]
"""Least and most of the numbers, by their keys."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEE = "config.example.toml shows every key"


def parse_toml(text: str, *, source: str) -> dict[str, Any]:
    """The file's text as tables. Raises ConfigError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}", hint="mend that line") from error
    except RecursionError as error:
        raise ConfigError(f"{source} is not valid TOML: it is nested too deeply", hint="mend it") from error


def convert(table: Mapping[str, Any], root: type[T], limits: Limits, *, source: str) -> T:
    """The tables as structs, every value checked. Raises ConfigError."""
    if unknown := first_unknown(table, root):
        what = "table" if unknown.is_table else "key"
        meant = " or ".join(repr(name) for name in unknown.meant)
        raise ConfigError(
            f"{source}: unknown {what} {unknown.name!r}", hint=f"did you mean {meant}?" if meant else _SEE
        )
    try:
        config = msgspec.convert(table, root)
    except msgspec.ValidationError as error:
        what, name = _readable(error)
        raise ConfigError(f"{source}: {what}", hint=_allowed(root, name)) from error
    _check_texts(config, source)
    _check_numbers(config, limits, source)
    return config


def from_text(key: Key, text: str) -> Any:
    """A value as a variable or a flag has it: text as it is, all else as it would stand in the file.

    What cannot be read so stays text, and is refused as a value of another type.
    """
    if key.is_text:
        return text
    try:
        table = tomllib.loads(f"value = {text.strip()}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return table["value"] if set(table) == {"value"} else text


def map_paths(table: Mapping[str, Any], root: type[msgspec.Struct], change: Callable[[str], str]) -> None:
    """Change every text in the tables, in place, that is marked as the path of a file."""
    _map_paths(table, {key.name: key for key in keys(root).values()}, change)


def _map_paths(table: Any, known: Mapping[str, Key], change: Callable[[str], str]) -> None:
    for name, key in known.items():
        *above, last = name.split(".")
        place = table
        for part in above:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            continue
        if key.elements is not None and isinstance(place[last], list):
            for item in place[last]:
                _map_paths(item, keys(key.elements.cls), change)
        elif "path" in key.marks and isinstance(place[last], str):
            place[last] = change(place[last])


def every_value(config: msgspec.Struct) -> Iterator[tuple[str, str, Any]]:
    """Every key as the limits name it, as a person would, and its value; those of list tables one by one."""
    for name, key in keys(type(config)).items():
        value = value_of(config, name)
        if key.elements is None:
            yield name, name, value
            continue
        for number, item in enumerate(value or ()):
            for inner, shown, inner_value in every_value(item):
                yield f"{name}{ELEMENT}.{inner}", f"{name}[{number}].{shown}", inner_value


def _check_texts(config: msgspec.Struct, source: str) -> None:
    for _, shown, value in every_value(config):
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and (not text or _CONTROL.search(text)):
                raise ConfigError(
                    f"{source}: {shown} is empty or holds control characters",
                    hint="leave the key out to have its default",
                )


def _check_numbers(config: msgspec.Struct, limits: Limits, source: str) -> None:
    for name, shown, value in every_value(config):
        if name in limits and value is not None:
            least, most = limits[name]
            # Written so that not-a-number does not pass.
            if not least <= value <= most:
                raise ConfigError(
                    f"{source}: {shown} = {value} is out of range",
                    hint=f"it goes from {least:g} to {most:.15g}",
                )


def _readable(error: msgspec.ValidationError) -> tuple[str, str]:
    """What is wrong, in the words of TOML, and the key."""
    what, _, where = str(error).partition(" - at `$.")
    name = where.rstrip("`")
    what = what.replace(" | null", "").replace("`object`", "a table").replace("`array`", "an array")
    what = what.replace("enum value", "value").replace("Object missing required field", "missing the key")
    return f"{name}: {what[:1].lower()}{what[1:]}", name


def _allowed(root: type[msgspec.Struct], name: str) -> str:
    known = keys(root, inside_lists=True)
    key = known.get(re.sub(r"\[\d+\]|\[\.\.\.\]", ELEMENT, name))
    if key is not None and key.choices:
        return f"use one of {', '.join(map(str, key.choices))}"
    return "see config.example.toml"


def is_number(key: Key) -> bool:
    """Whether a key's values are numbers, which have limits."""
    return isinstance(key.kind, inspect.IntType | inspect.FloatType)
