"""When something is back: it was away, and is not."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from helpers.greenlight import asynchronous

from signerd.daemon import reach as reaches
from signerd.daemon.clock import SystemClock
from signerd.daemon.reach import Reach
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.reachability import Found, Probe

THERE, REFUSED, SILENT = Found.THERE, Found.REFUSED, Found.SILENT


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(reaches, "FIRST_SECONDS", (0.0, 0.01))
    monkeypatch.setattr(reaches, "LEAST_SECONDS", 0.02)
    monkeypatch.setattr(reaches, "AWAY_SECONDS", (0.02, 0.03))
    monkeypatch.setattr(reaches, "THERE_SECONDS", (0.2, 0.3))


class Answers:
    """A probe that answers as told, and goes on with the last answer."""

    def __init__(self, *answers: Found) -> None:
        self.left = list(answers)
        self.asked: list[float] = []

    async def __call__(self) -> Found:
        self.asked.append(asyncio.get_running_loop().time())
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


async def ends(awaitable, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await awaitable
            return True
    return False


@asynchronous
async def test_what_was_away_and_is_there_is_back():
    answers = Answers(REFUSED, SILENT, THERE)
    reach = Reach(answers, SystemClock())
    await reach.back()
    assert len(answers.asked) == 3
    assert reach.was_silent


@asynchronous
async def test_a_server_that_was_restarted_is_told_from_a_network_that_was_away():
    answers = Answers(SILENT, THERE, REFUSED, THERE)
    reach = Reach(answers, SystemClock())
    await reach.back()
    assert (reach.returns, reach.was_silent) == (1, True)
    await reach.back()
    assert (reach.returns, reach.was_silent) == (2, False)


@asynchronous
async def test_what_is_there_all_the_time_is_not_back_and_is_asked_rarely():
    answers = Answers(THERE)
    assert not await ends(Reach(answers, SystemClock()).back(), 0.5)
    assert 2 <= len(answers.asked) <= 4


@asynchronous
async def test_what_stays_away_is_asked_at_a_distance():
    answers = Answers(SILENT)
    assert not await ends(Reach(answers, SystemClock()).back(), 0.5)
    distances = [b - a for a, b in zip(answers.asked, answers.asked[1:], strict=False)]
    assert len(distances) >= 5
    assert min(distances) >= 0.019


@asynchronous
async def test_an_absence_that_one_wait_has_seen_counts_in_the_next():
    answers = Answers(REFUSED, THERE)
    reach = Reach(answers, SystemClock())
    assert not await ends(reach.back(), 0.015)
    await reach.back()
    assert len(answers.asked) == 2


@asynchronous
async def test_waits_in_a_row_probe_no_more_often_than_one():
    answers = Answers(SILENT)
    reach = Reach(answers, SystemClock())
    for _ in range(50):
        await ends(reach.back(), 0.01)
    distances = [b - a for a, b in zip(answers.asked, answers.asked[1:], strict=False)]
    assert min(distances) >= 0.019


@asynchronous
async def test_a_port_is_out_of_reach_until_somebody_listens():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        probe = Probe(Endpoint("127.0.0.1", port))
        assert await probe() is REFUSED
        listening.listen()
        assert await probe() is THERE
        assert probe.address == "127.0.0.1"


@asynchronous
async def test_a_host_with_several_addresses_is_in_reach_by_any_of_them(monkeypatch):
    """As `localhost` is, where a server listens on 127.0.0.1 alone."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]

        def look_up(*_: object, **__: object) -> list[object]:
            return [(0, 0, 0, "", (address, port)) for address in ("127.0.0.77", "::1", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        assert await Probe(Endpoint("several.test", port))() is THERE


@asynchronous
async def test_a_name_that_nobody_knows_is_out_of_reach():
    assert await Probe(Endpoint("nobody.invalid", 443))() is SILENT


@asynchronous
async def test_a_resolver_that_hangs_collects_no_threads(monkeypatch):
    import threading

    hangs = threading.Event()
    begun = []

    def hang(*_: object, **__: object) -> list[object]:
        begun.append(threading.current_thread())
        hangs.wait(20)
        return [(0, 0, 0, "", ("127.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    probe = Probe(Endpoint("slow.test", 1))
    for _ in range(10):
        assert await probe(0.02) is SILENT
    hangs.set()
    for thread in begun:
        await asyncio.to_thread(thread.join)
    assert len(begun) <= 4
