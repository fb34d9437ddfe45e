"""One kind of file: its structs, its limits, the history of its format; from text to layers and structs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from signerd.tables import keys as keys_of
from signerd.tables import layers, lines, migration, values
from signerd.tables.keys import Key
from signerd.tables.layers import Layer, Origin

T = TypeVar("T", bound=msgspec.Struct)


def _nothing_more(_config: Any, _source: str) -> None:
    """Types and limits say it all."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """A file's text in today's format, and the version that it had."""

    text: str
    version: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Format(Generic[T]):
    """What a file may say, and what it used to."""

    root: type[T]
    limits: values.Limits
    migrations: tuple[migration.Migration, ...] = ()
    check: Callable[[T, str], None] = _nothing_more
    """Judges what is more than a type and a limit; takes the name of the source. Raises ConfigError."""

    @property
    def keys(self) -> Mapping[str, Key]:
        """Every key of the file."""
        return keys_of.keys(self.root)

    @property
    def settable(self) -> dict[str, Key]:
        """Every key that means something outside the file."""
        return {name: key for name, key in self.keys.items() if name != migration.VERSION_KEY}

    @property
    def version(self) -> int:
        """Of today's format."""
        return migration.current_version(self.migrations)

    def parse(self, text: str, *, source: str) -> T:
        """The file's text as structs. Raises ConfigError."""
        return self._convert(self._table(text, source)[0], source)

    def together(self, layer: Layer) -> T:
        """What all sources say, as structs. Raises ConfigError."""
        return self._convert(keys_of.nested(layer.values), "the settings together")

    def file(self, text: str, *, source: str, path: Callable[[str], str]) -> tuple[Layer, int]:
        """What a file says, and its version; `path` makes its paths absolute. Raises ConfigError."""
        table, version = self._table(text, source)
        self._convert(table, source)
        values.map_paths(table, self.root, path)
        found = dict(keys_of.dotted(table, self.root))
        where = lines.lines(text)
        return Layer(found, {name: Origin("file", source, _line(name, where)) for name in found}), version

    def environment(
        self, environ: Mapping[str, str], variables: Mapping[str, str], *, path: Callable[[str], str]
    ) -> Layer:
        """What variables say, given as variable → key. Raises ConfigError."""
        by_variable = {variable: self.keys[name] for variable, name in variables.items()}
        return self._checked(layers.from_environment(environ, by_variable), path)

    def flags(
        self,
        named: Mapping[str, tuple[str, str]],
        assignments: tuple[str, ...],
        *,
        flag: str,
        path: Callable[[str], str],
    ) -> Layer:
        """What flags say: `named` as key → flag and text, `assignments` as KEY=VALUE. Raises ConfigError."""
        assigned = layers.from_assignments(assignments, self.settable, flag=flag)
        ours = Layer(
            {name: text for name, (_, text) in named.items()},
            {name: Origin("flag", its_flag) for name, (its_flag, _) in named.items()},
        )
        layers.require_disjoint(ours, assigned)
        return self._checked(layers.merged((ours, assigned)), path)

    def migrate(self, text: str, *, source: str) -> Migrated:
        """A file's text in today's format; one that is in it already stays as it is. Raises ConfigError."""
        table, version = self._table(text, source)
        self._convert(table, source)
        if version == self.version:
            return Migrated(text, version, changed=False)
        new = migration.rewritten(text, self.migrations, source=source)
        return Migrated(new, version, changed=True)

    def _table(self, text: str, source: str) -> tuple[dict[str, Any], int]:
        table = values.parse_toml(text, source=source)
        version = migration.version_of(table, self.migrations, source=source)
        return migration.upgraded(table, self.migrations, source=source), version

    def _convert(self, table: Mapping[str, Any], source: str) -> T:
        config = values.convert(table, self.root, self.limits, source=source)
        self.check(config, source)
        return config

    def _checked(self, layer: Layer, path: Callable[[str], str]) -> Layer:
        """A layer of single values, each judged under the name of its own source."""
        found: dict[str, Any] = {}
        for name, value in layer.values.items():
            table = keys_of.nested({name: value})
            self._convert(table, layer.origins[name].name)
            values.map_paths(table, self.root, path)
            found |= dict(keys_of.dotted(table, self.root))
        return Layer(found, layer.origins)


def _line(name: str, where: Mapping[str, int]) -> int | None:
    """The line of a key, or of the inline table that it stands in."""
    while name and name not in where:
        name = name.rpartition(".")[0]
    return where.get(name)
