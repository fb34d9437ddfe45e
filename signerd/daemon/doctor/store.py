"""Whether the store can be read, is whole, and is that of this node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signerd.daemon.doctor.finding import Finding, attempt, passed, warned
from signerd.store import examine

if TYPE_CHECKING:
    from signerd.config import Settings


def look(settings: Settings) -> Finding:
    """Reads it through, and changes nothing."""
    path = settings.state_file
    if not path.exists():
        return warned(
            "store",
            f"there is no {path} yet",
            "good before the first `signerd run`; if this node has channels, do not start: "
            "see `signerd new-store --help`",
        )

    def whole() -> str:
        facts = examine.examine(path)
        return f"whole: schema {facts.schema}, {facts.channels} channels, {facts.bytes // 1000:,} kB"

    return attempt("store", whole)


def running_text(running: int | None) -> Finding:
    """Whether a daemon runs on this data directory."""
    if running is None:
        return warned(
            "daemon", "no signerd runs on this data directory", "start it: `signerd run`, or its service"
        )
    return passed("daemon", f"process {running} runs on this data directory")
