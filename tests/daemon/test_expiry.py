"""The device certificate's end is announced in time."""

from __future__ import annotations

import io
import json

import pytest
from helpers.clock import FakeClock

from signerd.core.certificates import DeviceCertificate
from signerd.daemon.expiry import ExpiryWatch
from signerd.observe.bus import Bus
from signerd.observe.logs import Log
from signerd.units import NodeId, UnixTime

DAY = 86400


def said_with(days_left: int) -> list[dict[str, object]]:
    clock, out = FakeClock(), io.StringIO()
    certificate = DeviceCertificate(
        common_name="/users/02/default", node_id=NodeId(b""), device="default", public_key=b"",
        not_before=UnixTime(0), not_after=UnixTime(clock.now() + days_left * DAY + 1),
    )  # fmt: skip
    ExpiryWatch(certificate, clock, Bus(Log(form="json", level="info", stream=out).emit)).look()
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("days", [3650, 31, 30])
def test_says_nothing_while_there_is_time(days):
    assert said_with(days) == []


@pytest.mark.parametrize("days", [29, 1, 0, -5])
def test_warns_with_the_days_that_are_left_and_what_to_do(days):
    (entry,) = said_with(days)
    assert (entry["event"], entry["level"], entry["days_left"]) == ("certificate-expires", "warning", days)
    assert "signerd recover" in str(entry["hint"])
