"""Files of earlier versions: read as if they were of today's, and rewritten with their comments kept.

A file says its version as `config_version = N`; without that line it is of version 1. The n-th migration of a
list leads from version n to n + 1. What a migration does to the tables is the truth; what it does to the text
has to come to the same, or the text is not touched.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from signerd.errors import ConfigError
from signerd.tables.lines import Entry, entries

VERSION_KEY = "config_version"
FIRST = 1


class Step(Protocol):
    """One change of the format."""

    @property
    def words(self) -> str:
        """What a person would do in the file."""

    def change_table(self, table: dict[str, Any]) -> None:
        """Change the parsed file in place. Raises ConfigError where it contradicts itself."""

    def change_text(self, text: str) -> str:
        """The same, in the text."""


Migration = Sequence[Step]


@dataclass(frozen=True, slots=True)
class Rename:
    """A key has another name; its table and its value stay."""

    old: str
    new: str

    @property
    def words(self) -> str:
        return f"rename {self.old} to {self.new.rpartition('.')[2]}"

    def change_table(self, table: dict[str, Any]) -> None:
        place, old = _place(table, self.old)
        new = self.new.rpartition(".")[2]
        if place is None or old not in place:
            return
        if new in place:
            raise ConfigError(f"both {self.old} and {self.new} are set", hint=f"remove {self.old}")
        place[new] = place.pop(old)

    def change_text(self, text: str) -> str:
        everything = text.split("\n")
        for entry in _of(text, self.old):
            line = everything[entry.first]
            written = line[entry.start : entry.end]
            above = written[: len(written) - len(_last_part(written))]
            name = above + self.new.rpartition(".")[2]
            everything[entry.first] = line[: entry.start] + name + line[entry.end :]
        return "\n".join(everything)


@dataclass(frozen=True, slots=True)
class Remove:
    """A key is no more; `why` is left beside its line, which becomes a comment."""

    key: str
    why: str

    @property
    def words(self) -> str:
        return f"remove {self.key}: {self.why}"

    def change_table(self, table: dict[str, Any]) -> None:
        place, name = _place(table, self.key)
        if place is not None:
            place.pop(name, None)

    def change_text(self, text: str) -> str:
        everything = text.split("\n")
        for entry in _of(text, self.key):
            for number in range(entry.first, entry.last + 1):
                everything[number] = f"# {everything[number]}".rstrip()
            everything[entry.first] = f"# no longer a setting: {self.why}\n{everything[entry.first]}"
        return "\n".join(everything)


def version_of(table: Mapping[str, Any], migrations: Sequence[Migration], *, source: str) -> int:
    """The version of a parsed file. Raises ConfigError for one of a later signerd, and for no number."""
    version = table.get(VERSION_KEY, FIRST)
    current = current_version(migrations)
    if isinstance(version, bool) or not isinstance(version, int) or version < FIRST:
        raise ConfigError(
            f"{source}: {VERSION_KEY}: expected a whole number from {FIRST}",
            hint=f"this signerd writes {VERSION_KEY} = {current}",
        )
    if version > current:
        raise ConfigError(
            f"{source} is for a later signerd: {VERSION_KEY} = {version}, and this one knows {current}",
            hint=f"upgrade signerd, or bring back what `signerd config migrate` kept as *.v{current}.bak",
        )
    return version


def current_version(migrations: Sequence[Migration]) -> int:
    """The version of today's format."""
    return FIRST + len(migrations)


def upgraded(table: Mapping[str, Any], migrations: Sequence[Migration], *, source: str) -> dict[str, Any]:
    """A parsed file as one of today's format. Raises ConfigError."""
    result = copy.deepcopy(dict(table))
    for step in _due(table, migrations, source):
        try:
            step.change_table(result)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error.message}", hint=error.hint) from error
    if VERSION_KEY in result or version_of(table, migrations, source=source) < current_version(migrations):
        result[VERSION_KEY] = current_version(migrations)
    return result


def rewritten(text: str, migrations: Sequence[Migration], *, source: str) -> str:
    """The text of a file in today's format, comments and order kept. Raises ConfigError if it cannot be."""
    table = tomllib.loads(text)
    steps = _due(table, migrations, source)
    wanted = upgraded(table, migrations, source=source)
    result = text
    for step in steps:
        result = step.change_text(result)
    result = _with_version(result, current_version(migrations))
    try:
        reached = tomllib.loads(result)
    except tomllib.TOMLDecodeError:
        reached = {}
    if reached != wanted | {VERSION_KEY: current_version(migrations)}:
        by_hand = "; ".join([*(step.words for step in steps), f"set {VERSION_KEY} = {wanted[VERSION_KEY]}"])
        raise ConfigError(
            f"{source} is written in a way that cannot be changed without losing comments; it stays as it is",
            hint=f"change it by hand: {by_hand}",
        )
    return result


def _due(table: Mapping[str, Any], migrations: Sequence[Migration], source: str) -> list[Step]:
    version = version_of(table, migrations, source=source)
    return [step for migration in migrations[version - FIRST :] for step in migration]


def _with_version(text: str, version: int) -> str:
    for entry in _of(text, VERSION_KEY):
        everything = text.split("\n")
        line = everything[entry.first]
        said = re.sub(r"=\s*\d+", f"= {version}", line[entry.end :], count=1)
        everything[entry.first] = line[: entry.end] + said
        return "\n".join(everything)
    return f"{VERSION_KEY} = {version}\n{text}"


def _of(text: str, key: str) -> list[Entry]:
    return [entry for entry in entries(text) if entry.key == key]


def _place(table: dict[str, Any], key: str) -> tuple[dict[str, Any] | None, str]:
    *above, last = key.split(".")
    place: Any = table
    for part in above:
        place = place.get(part) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else None, last


def _last_part(written: str) -> str:
    """The last part of a name as it is written, with its quotes."""
    match = re.search(r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)$""", written)
    return match.group() if match else written
