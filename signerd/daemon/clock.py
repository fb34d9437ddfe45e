"""The only reader of the time."""

from __future__ import annotations

import time
from typing import Protocol

from signerd.units import UnixTime


class Clock(Protocol):
    """Wall time for decisions, monotonic time for durations; a test moves its own."""

    def now(self) -> UnixTime:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back, and stands still while the machine sleeps."""

    def boottime(self) -> float:
        """The same, but goes on while the machine sleeps."""


class SystemClock:
    """The machine's own."""

    def now(self) -> UnixTime:
        return UnixTime(int(time.time()))

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
