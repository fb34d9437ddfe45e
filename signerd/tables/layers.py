"""Which source won? Values from flags, variables and files, laid over each other, each with its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from signerd.errors import ConfigError
from signerd.tables.keys import Key, likely
from signerd.tables.values import from_text


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value is from: the flag, the variable, the file and its line; or what made the default."""

    source: Literal["flag", "environment", "file", "default"]
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = self.name if self.line is None else f"{self.name} line {self.line}"
        return f"{self.source}: {place}" if place else self.source


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, by key."""

    values: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)


def merged(strongest_first: Iterable[Layer]) -> Layer:
    """All layers as one: of each key the strongest word. A list is taken whole, never mixed."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for layer in reversed(list(strongest_first)):
        values |= layer.values
        origins |= layer.origins
    return Layer(values, origins)


def require_disjoint(one: Layer, other: Layer) -> None:
    """That two layers of the same strength do not speak about the same key. Raises ConfigError."""
    for name in sorted(one.values.keys() & other.values.keys()):
        raise ConfigError(
            f"{one.origins[name].name} and {other.origins[name].name} {name} say two things",
            hint="give one of them",
        )


def variable_of(prefix: str, name: str) -> str:
    """The variable of a key: SIGNERD_SCHEDULER_URI for scheduler.uri."""
    return prefix + name.upper().replace(".", "_")


def from_environment(environ: Mapping[str, str], variables: Mapping[str, Key]) -> Layer:
    """What variables say; one that is set to nothing counts as not set."""
    said = {variable: text for variable in variables if (text := environ.get(variable))}
    return Layer(
        {variables[variable].name: from_text(variables[variable], text) for variable, text in said.items()},
        {variables[variable].name: Origin("environment", variable) for variable in said},
    )


def from_assignments(assignments: Iterable[str], known: Mapping[str, Key], *, flag: str) -> Layer:
    """What `KEY=VALUE` says, after that flag; of two about one key the later. Raises ConfigError."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals:
            raise ConfigError(f"{flag} {assignment}: no value", hint=f"write {flag} KEY=VALUE")
        if name not in known:
            meant = " or ".join(repr(candidate) for candidate in likely(name, tuple(known)))
            raise ConfigError(
                f"{flag}: unknown key {name!r}",
                hint=f"did you mean {meant}?" if meant else "config.example.toml shows every key",
            )
        values[name] = from_text(known[name], text)
    return Layer(values, dict.fromkeys(values, Origin("flag", flag)))


def unknown_variables(
    environ: Mapping[str, str], known: Iterable[str], *, prefix: str
) -> dict[str, tuple[str, ...]]:
    """Variables that look like ours and are not, each with what may have been meant."""
    candidates = tuple(known)
    return {
        variable: likely(variable, candidates)
        for variable, text in sorted(environ.items())
        if text and variable.startswith(prefix) and variable not in candidates
    }
