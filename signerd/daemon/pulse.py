"""Which loop is at work, and whether one of them has been at it for longer than it can take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from signerd.daemon.clock import Clock

SLACK_SECONDS = 30.0
"""On top of a call's own deadline: a busy machine is not one that stands still."""


@dataclass(slots=True)
class Pulse:
    """The loops wait for others most of the time, for as long as it takes; that is no trouble.

    What they do in between has an end: each piece of work says before it begins when that must have come.
    Only work that we bound ourselves is watched, as a call with a deadline: nobody at the other end of a
    connection may have us restarted.
    """

    clock: Clock
    _due: dict[object, tuple[str, float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def at_work(self, what: str, seconds: float) -> Iterator[None]:
        """For the time of the block."""
        work = object()
        self._due[work] = (what, self.clock.monotonic() + seconds)
        try:
            yield
        finally:
            del self._due[work]

    def overdue(self) -> list[str]:
        """What should have ended by now, each kind once."""
        now = self.clock.monotonic()
        return sorted({what for what, due in self._due.values() if due < now})
