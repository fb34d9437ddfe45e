"""The rows of the report, and how they are printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Judge = Callable[[float, float | None], bool | None]
HEADINGS = ("measure", "signerd", "gl-client", "ratio", "target", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure. `met` is None where there is no target, or nothing to compare with."""

    measure: str
    unit: str
    signerd: float
    peer: float | None
    target: str
    met: bool | None

    @property
    def cells(self) -> tuple[str, ...]:
        both = self.peer is not None and self.unit and self.peer > 0
        return (
            self.measure,
            shown(self.signerd, self.unit),
            "–" if self.peer is None else shown(self.peer, self.unit),
            _digits(self.signerd / self.peer) if both and self.peer else "–",
            self.target or "–",
            {True: "met", False: "MISSED", None: "–"}[self.met],
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def row(
    measure: str,
    unit: str,
    signerd: float,
    peer: float | None = None,
    *,
    target: str = "",
    judge: Judge | None = None,
) -> Row:
    """`judge` has the two values, and says whether the target is met."""
    return Row(
        measure=measure,
        unit=unit,
        signerd=signerd,
        peer=peer,
        target=target,
        met=judge(signerd, peer) if judge else None,
    )


def below(limit: float) -> Judge:
    return lambda ours, _peer: ours < limit


def at_most(limit: float) -> Judge:
    return lambda ours, _peer: ours <= limit


def at_least(limit: float) -> Judge:
    return lambda ours, _peer: ours >= limit


def share_of_peer(share: float) -> Judge:
    return lambda ours, peer: None if peer is None else ours >= share * peer


def times_peer(factor: float) -> Judge:
    return lambda ours, peer: None if peer is None else ours >= factor * peer


def more_than_peer(ours: float, peer: float | None) -> bool | None:
    return None if peer is None else ours > peer


def shown(value: float, unit: str) -> str:
    """A value for people; with no unit it is a count."""
    return f"{_digits(value)} {unit}" if unit else f"{value:g}"


def printed(rows: Sequence[Row]) -> str:
    """A Markdown table with straight columns."""
    lines = [HEADINGS, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
