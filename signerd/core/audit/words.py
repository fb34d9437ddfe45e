"""The facts of a decision as text: on one line for a log and a table, or on a line each."""

from __future__ import annotations

from collections.abc import Mapping

from signerd.core.audit.record import Fact


def facts_line(facts: Mapping[str, Fact]) -> str | None:
    """`commitment=5 htlcs=1 …`; values of several parts in brackets. None where there are no facts."""
    if not facts:
        return None
    return " ".join(f"{key}={_shown(value)}" for key, value in facts.items())


def facts_lines(facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """A line for each fact, and for each part of one that has several: `htlcs  1`."""
    width = max((len(key) for key in facts), default=0)
    return tuple(
        f"{key.replace('_', ' '):<{width}}  {part}"
        for key, value in facts.items()
        for part in (value if isinstance(value, tuple) else (value,))
    )


def _shown(value: Fact) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)
