"""Where the daemon's events are told: once, and to everybody who listens, in the order in which they did."""

from __future__ import annotations

from collections.abc import Callable

from signerd.observe.event import Event

Listener = Callable[[Event], None]


class Bus:
    """The log, the status board, the metrics and followers listen here; none of them knows another.

    A listener must neither block nor raise: what it tells is a by-product of signing, and must not stop it.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """From now on this one hears too, until the function that is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, event: Event) -> None:
        """Tell everybody. A listener that leaves while it is told does not make another miss the event."""
        for listener in tuple(self._listeners):
            listener(event)
