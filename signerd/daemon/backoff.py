"""How long to wait before trying again: exponential, full jitter, capped, forgotten after a stable while."""

from __future__ import annotations

import tenacity

from signerd.daemon.clock import Clock


class Backoff:
    """The pauses of one loop. Call `started` when an attempt begins and `pause` when it has ended."""

    def __init__(
        self, clock: Clock, *, first_seconds: float, max_seconds: float, stable_seconds: float
    ) -> None:
        self._clock = clock
        self._stable_seconds = stable_seconds
        self._wait = tenacity.wait_random_exponential(multiplier=first_seconds, max=max_seconds)
        self._state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        self._attempts = 0
        self._started_at: float | None = None

    def started(self) -> None:
        """An attempt begins now; if it lasts, earlier failures are forgotten."""
        self._started_at = self._clock.monotonic()

    def pause(self) -> float:
        """Seconds to wait, a random share of a window that doubles with every short-lived attempt."""
        now = self._clock.monotonic()
        if self._started_at is not None and now - self._started_at >= self._stable_seconds:
            self._attempts = 0
        self._started_at = None
        self._attempts += 1
        self._state.attempt_number = self._attempts
        return self._wait(self._state)

    def reset(self) -> None:
        """The last attempt did what it was for."""
        self._attempts = 0
