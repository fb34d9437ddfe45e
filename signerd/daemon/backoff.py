"""How long to wait before trying again: exponential, full jitter, capped, forgotten after a stable while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import tenacity

from signerd.daemon.clock import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """The first window, the widest one, and how long an attempt lasts that counts as a success."""

    first_seconds: float
    max_seconds: float
    stable_seconds: float


class Backoff:
    """The pauses of one loop. Call `started` when an attempt begins and `pause` when it has ended."""

    def __init__(
        self, clock: Clock, *, first_seconds: float, max_seconds: float, stable_seconds: float
    ) -> None:
        limits = Limits(first_seconds, max_seconds, stable_seconds)
        self._limits: Callable[[], Limits] = lambda: limits
        self._clock = clock
        self._state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        self._attempts = 0
        self._started_at: float | None = None

    @classmethod
    def following(cls, clock: Clock, limits: Callable[[], Limits]) -> Self:
        """With limits that may change: they are asked for before every pause."""
        now = limits()
        backoff = cls(
            clock,
            first_seconds=now.first_seconds,
            max_seconds=now.max_seconds,
            stable_seconds=now.stable_seconds,
        )
        backoff._limits = limits
        return backoff

    def started(self) -> None:
        """An attempt begins now; if it lasts, earlier failures are forgotten."""
        self._started_at = self._clock.monotonic()

    def pause(self) -> float:
        """Seconds to wait, a random share of a window that doubles with every short-lived attempt."""
        now, limits = self._clock.monotonic(), self._limits()
        if self._started_at is not None and now - self._started_at >= limits.stable_seconds:
            self._attempts = 0
        self._started_at = None
        self._attempts += 1
        self._state.attempt_number = self._attempts
        wait = tenacity.wait_random_exponential(multiplier=limits.first_seconds, max=limits.max_seconds)
        return wait(self._state)

    def reset(self) -> None:
        """The last attempt did what it was for."""
        self._attempts = 0
