"""The device certificate's end is announced in time."""

from __future__ import annotations

import pytest
from helpers.clock import FakeClock

from signerd.core.certificates import DeviceCertificate
from signerd.daemon.expiry import ExpiryWatch
from signerd.observe.bus import Bus
from signerd.observe.events import CertificateExpires, Event
from signerd.units import NodeId, UnixTime

DAY = 86400


def said_with(days_left: int) -> list[Event]:
    clock, said = FakeClock(), []
    certificate = DeviceCertificate(
        common_name="/users/02/default", node_id=NodeId(b""), device="default", public_key=b"",
        not_before=UnixTime(0), not_after=UnixTime(clock.now() + days_left * DAY + 1),
    )  # fmt: skip
    ExpiryWatch(certificate, clock, Bus(said.append)).look()
    return said


@pytest.mark.parametrize("days", [3650, 31, 30])
def test_says_nothing_while_there_is_time(days):
    assert said_with(days) == []


@pytest.mark.parametrize("days", [29, 1, 0, -5])
def test_warns_with_the_days_that_are_left_and_what_to_do(days):
    (event,) = said_with(days)
    assert isinstance(event, CertificateExpires)
    assert (event.LEVEL, event.days_left) == ("warning", days)
    assert "signerd recover" in event.hint
