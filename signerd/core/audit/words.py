"""The facts of a decision on one line, for a log and for a table."""

from __future__ import annotations

from collections.abc import Mapping

from signerd.core.audit.record import Fact


def facts_line(facts: Mapping[str, Fact]) -> str | None:
    """`commitment=5 htlcs=1 …`; values of several parts in brackets. None where there are no facts."""
    if not facts:
        return None
    return " ".join(f"{key}={_shown(value)}" for key, value in facts.items())


def _shown(value: Fact) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)
