"""A clock that the test moves."""

from __future__ import annotations

from signerd.units import UnixTime


class FakeClock:
    """Wall time and monotonic time, moved together; a machine that sleeps moves the one without the other."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self._now = float(now)
        self._monotonic = 1000.0
        self._boottime = 5000.0

    def now(self) -> UnixTime:
        return UnixTime(int(self._now))

    def monotonic(self) -> float:
        return self._monotonic

    def boottime(self) -> float:
        return self._boottime

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds
        self._boottime += seconds

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        self._boottime += seconds

    def set(self, seconds: float) -> None:
        """Put the wall clock forward or back."""
        self._now += seconds
