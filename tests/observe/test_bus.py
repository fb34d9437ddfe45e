"""Everybody who listens hears every event once, in order."""

from __future__ import annotations

from signerd.observe import events
from signerd.observe.bus import Bus

EVENT = events.Stopping(reason="SIGTERM")


def test_everybody_hears_an_event_once_and_in_order():
    heard = []
    bus = Bus(lambda event: heard.append(("first", event)))
    bus.listen(lambda event: heard.append(("second", event)))
    bus.emit(EVENT)
    assert heard == [("first", EVENT), ("second", EVENT)]


def test_who_leaves_while_being_told_does_not_make_another_miss_the_event():
    heard = []
    bus = Bus()
    leave = bus.listen(lambda _: leave())
    bus.listen(heard.append)
    bus.emit(EVENT)
    bus.emit(EVENT)
    assert heard == [EVENT, EVENT]
