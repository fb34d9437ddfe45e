"""The device certificate's end is announced in time."""

from __future__ import annotations

import asyncio

import pytest
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous

from signerd.core.certificates import DeviceCertificate
from signerd.daemon import expiry
from signerd.daemon.expiry import ExpiryWatch
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.observe.events import CertificateExpires
from signerd.units import NodeId, UnixTime

DAY = 86400


def certificate_with(days_left: int, clock: FakeClock) -> DeviceCertificate:
    return DeviceCertificate(
        common_name="/users/02/default", node_id=NodeId(b""), device="default", public_key=b"",
        not_before=UnixTime(0), not_after=UnixTime(clock.now() + days_left * DAY + 1),
    )  # fmt: skip


def said_with(days_left: int) -> list[Event]:
    clock, said = FakeClock(), []
    ExpiryWatch(certificate_with(days_left, clock), clock, Bus(said.append)).look()
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


@asynchronous
async def test_warns_once_a_day_also_on_a_machine_that_sleeps_through_most_of_it(monkeypatch):
    monkeypatch.setattr(expiry, "_HOUR", 0.01)
    clock, told = FakeClock(), []
    watch = ExpiryWatch(certificate_with(20, clock), clock, Bus(told.append))
    running = asyncio.create_task(watch.run())

    async def until(count: int) -> None:
        while len(told) < count:
            await asyncio.sleep(0.01)

    await until(1)
    clock.sleep(DAY - 10)
    await asyncio.sleep(0.05)
    assert len(told) == 1
    clock.sleep(10)
    await until(2)
    assert [event.days_left for event in told] == [20, 19]
    running.cancel()
