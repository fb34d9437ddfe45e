"""Metrics as text, the way Prometheus reads them (text format 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what kind it is, what it says, and the names of its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()


@dataclass(slots=True)
class Histogram:
    """How many values there were up to each bound, how many in all, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """One value more."""
        place = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[place] += 1
        self.sum += value


Samples = Mapping[Labels, float | Histogram]


def render(families: Iterable[tuple[Family, Samples]]) -> str:
    """The whole page. A family without a sample is announced all the same: it exists, and is empty."""
    lines: list[str] = []
    for family, samples in families:
        lines += (f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}")
        for values, sample in sorted(samples.items(), key=lambda item: item[0]):
            pairs = list(zip(family.labels, values, strict=True))
            if isinstance(sample, Histogram):
                lines += _histogram(family.name, pairs, sample)
            else:
                lines.append(f"{family.name}{_labels(pairs)} {_number(sample)}")
    return "\n".join(lines) + "\n"


def _histogram(name: str, pairs: list[tuple[str, str]], histogram: Histogram) -> list[str]:
    lines, so_far = [], 0
    for bound, count in zip((*histogram.bounds, math.inf), histogram.counts, strict=True):
        so_far += count
        lines.append(f"{name}_bucket{_labels([*pairs, ('le', _number(bound))])} {so_far}")
    return [
        *lines,
        f"{name}_sum{_labels(pairs)} {_number(histogram.sum)}",
        f"{name}_count{_labels(pairs)} {so_far}",
    ]


def _labels(pairs: list[tuple[str, str]]) -> str:
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in pairs) + "}"


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
