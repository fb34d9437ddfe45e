"""Which of many like events are shown, and how many were not."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from signerd.observe.event import Event

SHOWN = 5
"""So many of a kind are shown in each window; whoever looks at the log sees that it repeats."""

WINDOW_SECONDS = 60.0

MOST_KINDS = 512
"""So many are counted at once: text from outside may be part of what makes two events the same."""


@dataclass(frozen=True, slots=True)
class Folded:
    """So many more like this one were left out, in so many seconds."""

    event: Event
    count: int
    seconds: float


@dataclass(slots=True)
class _Window:
    began: float
    heard: int
    last: Event


class Folding:
    """Counts like events. Nobody is forgotten: each that was not shown is in some `Folded`, once."""

    def __init__(
        self, *, shown: int = SHOWN, seconds: float = WINDOW_SECONDS, most: int = MOST_KINDS
    ) -> None:
        self._shown = shown
        self._seconds = seconds
        self._most = most
        self._windows: dict[Hashable, _Window] = {}  # in the order in which they began

    def shows(self, same: Hashable, event: Event, now: float) -> bool:
        """Whether to show this one. To be called after `ended`, with the same `now`."""
        window = self._windows.get(same)
        if window is None:
            self._windows[same] = _Window(now, 1, event)
            return True
        window.heard += 1
        window.last = event
        return window.heard <= self._shown

    def ended(self, now: float) -> Iterator[Folded]:
        """What was left out in the windows that are over, and in the oldest where there are too many."""
        while self._windows:
            same, window = next(iter(self._windows.items()))
            if now - window.began < self._seconds and len(self._windows) < self._most:
                return
            del self._windows[same]
            yield from self._left_out(window, now)

    def rest(self, now: float) -> Iterator[Folded]:
        """What was left out in all windows, as the log ends."""
        windows, self._windows = self._windows, {}
        for window in windows.values():
            yield from self._left_out(window, now)

    def _left_out(self, window: _Window, now: float) -> Iterator[Folded]:
        if window.heard > self._shown:
            yield Folded(window.last, window.heard - self._shown, now - window.began)
