"""Wait for an endpoint to come back: first out of reach, then within it. Nothing else is evidence.

Out of reach is what a probe finds so, and what broke after it had stood: an outage may be shorter than the
distance between two probes.

A server that accepts connections and fails every call is in reach all the time, and gets its pauses. Probes
keep their distance from each other, and have no common beat among signers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from signerd.daemon.clock import Clock
from signerd.greenlight.reachability import Found

FIRST_SECONDS = (0.0, 0.5)
LEAST_SECONDS = 2.0
AWAY_SECONDS = (2.0, 3.0)
THERE_SECONDS = (15.0, 20.0)
"""When the first probe of a wait is made, and how long after the last one: at least, while the endpoint is
out of reach, and while it is not."""


class Reach:
    """What the probes of one endpoint have shown so far."""

    def __init__(self, probe: Callable[[], Awaitable[Found]], clock: Clock) -> None:
        self._probe = probe
        self._clock = clock
        self._away: set[Found] = set()
        self.returns = 0
        """How often it has come back."""
        self.was_silent = False
        """Whether, before it came back last, the network was away, and not only who listens there."""
        self._last = float("-inf")

    async def back(self) -> None:
        """Wait until the endpoint, after it was found out of reach, is within reach."""
        pause = max(_among(FIRST_SECONDS), self._still(LEAST_SECONDS))
        while True:
            await asyncio.sleep(pause)
            # A wait that is given up in the middle of a probe has made one.
            self._last = self._clock.monotonic()
            found = await self._probe()
            if found is not Found.THERE:
                self._away.add(found)
            elif self._away:
                self.was_silent = Found.SILENT in self._away
                self.returns += 1
                self._away.clear()
                return
            pause = self._still(_among(AWAY_SECONDS if self._away else THERE_SECONDS))

    def note_break(self) -> None:
        """A connection that had stood for a while was broken: who listened there was away, and may be still.

        Once for each that stood: a server that accepts connections and ends them gets its pauses.
        """
        self._away.add(Found.REFUSED)

    def _still(self, seconds: float) -> float:
        """What is left of so many seconds since the last probe began."""
        return max(0.0, self._last + seconds - self._clock.monotonic())


def _among(seconds: tuple[float, float]) -> float:
    return random.uniform(*seconds)  # noqa: S311 - no secret: only that not all signers probe at once
