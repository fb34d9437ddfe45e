"""A clock that the test moves."""

from __future__ import annotations

from signerd.units import UnixTime


class FakeClock:
    """Wall time and monotonic time, moved together."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self._now = float(now)
        self._monotonic = 1000.0

    def now(self) -> UnixTime:
        return UnixTime(int(self._now))

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds
