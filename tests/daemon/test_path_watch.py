"""After a sleep, connections that are dead without saying so are replaced; those that live are kept."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous
from helpers.proxy import Proxy, proxied
from helpers.world import NODE_ID, world

from signerd.daemon import reach as reaches
from signerd.daemon import scheduler_link
from signerd.daemon.clock import SystemClock
from signerd.daemon.path_watch import PathWatch
from signerd.daemon.reach import Reach
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.greenlight import endpoint
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.reachability import Found, Probe
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import Identity
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.units import NodeId


class WatchedClock(FakeClock):
    """Tells when somebody has looked at it."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = asyncio.Event()

    def boottime(self) -> float:
        self.looked.set()
        return super().boottime()


@dataclass
class Case:
    """A link over a proxy, watched, on a machine whose clock the test moves."""

    link: SchedulerLink
    proxy: Proxy
    clock: WatchedClock
    network: list[Found] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    renewed: asyncio.Event = field(default_factory=asyncio.Event)

    async def renew_node(self) -> None:
        self.renewed.set()

    async def probe(self) -> Found:
        return self.network.pop(0) if self.network else Found.THERE

    async def call(self) -> None:
        await self.link.client.get_node_info(NODE_ID, deadline=3)

    async def until(self, kind: type[Event]) -> None:
        while not any(isinstance(event, kind) for event in self.told):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def case(directory) -> AsyncIterator[Case]:
    async with world(directory) as w, proxied(w.greenlight.scheduler.port) as proxy:
        await w.make_node()
        mine = Credentials.decode((w.data_dir / "credentials.gfs").read_bytes())
        identity = Identity(mine.cert, mine.key, mine.ca)
        link = SchedulerLink(lambda: SchedulerClient(proxy.uri, identity))
        made = Case(link, proxy, WatchedClock())
        probe = Probe(endpoint.parse(proxy.uri))
        watch = PathWatch(
            link=link, node_id=NodeId(NODE_ID), probe=probe, reach=Reach(made.probe, SystemClock()),
            renew_node=made.renew_node, clock=made.clock, bus=Bus(made.told.append),
        )  # fmt: skip
        await link.open()
        link.note_upgraded()
        task = asyncio.create_task(watch.run())
        try:
            await made.clock.looked.wait()  # what happens before the first look cannot be seen
            yield made
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await link.close()


@asynchronous
async def test_after_a_sleep_a_connection_that_is_dead_without_a_word_is_replaced(tmp_path):
    async with case(tmp_path) as c:
        await c.call()
        c.proxy.silence()
        client, returns = c.link.client, c.link.returns
        c.clock.sleep(3600)
        woke = time.monotonic()
        await c.renewed.wait()
        await c.call()
        assert time.monotonic() - woke < 5
        assert c.link.client is not client
        assert c.link.returns > returns
        (resumed,) = [event for event in c.told if isinstance(event, events.Resumed)]
        assert resumed.slept_seconds == 3600
        assert not any(isinstance(event, events.ClockSet) for event in c.told)


@asynchronous
async def test_after_a_sleep_a_connection_that_works_is_kept(tmp_path):
    async with case(tmp_path) as c:
        await c.call()
        client = c.link.client
        c.clock.sleep(3600)
        await c.renewed.wait()
        assert c.link.client is client
        assert len(c.proxy.accepted) == 1


@asynchronous
async def test_a_clock_that_is_set_is_told_and_touches_no_connection(tmp_path):
    async with case(tmp_path) as c:
        await c.call()
        client = c.link.client
        c.clock.set(-7200)
        await c.until(events.ClockSet)
        (told,) = c.told
        assert isinstance(told, events.ClockSet)
        assert told.by_seconds == -7200
        assert c.link.client is client
        assert not c.renewed.is_set()


@pytest.fixture
def _hasty(monkeypatch):
    monkeypatch.setattr(reaches, "FIRST_SECONDS", (0.0, 0.01))
    monkeypatch.setattr(reaches, "LEAST_SECONDS", 0.02)
    monkeypatch.setattr(reaches, "AWAY_SECONDS", (0.02, 0.03))
    monkeypatch.setattr(reaches, "THERE_SECONDS", (0.1, 0.2))


@pytest.mark.usefixtures("_hasty")
@asynchronous
async def test_a_network_that_lost_everything_for_a_while_leaves_no_dead_connection(tmp_path):
    """As when a router is started again: nothing changes on this machine, and nothing is ended."""
    async with case(tmp_path) as c:
        await c.call()
        client = c.link.client
        c.proxy.silence()
        c.network = [Found.SILENT, Found.SILENT]
        await c.renewed.wait()
        assert c.link.client is not client
        await c.call()


@pytest.mark.usefixtures("_hasty")
@asynchronous
async def test_a_scheduler_that_was_restarted_costs_the_node_nothing(tmp_path):
    async with case(tmp_path) as c:
        await c.call()
        returns = c.link.returns
        c.network = [Found.REFUSED, Found.REFUSED]
        await c.link.returned(returns)
        assert not c.renewed.is_set()


@asynccontextmanager
async def watched(link: SchedulerLink) -> AsyncIterator[None]:
    """As the supervisor has it: a lost connection is noticed even while no call is on it."""
    watch = asyncio.create_task(link.watch())
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def loses_its_connection_unseen(c: Case, *, after: float) -> None:
    """An outage so short that each probe finds somebody there."""
    await c.call()
    await asyncio.sleep(after)  # time is what is measured
    await c.proxy.cut()
    await c.proxy.forward()


@pytest.mark.usefixtures("_hasty")
@asynchronous
async def test_a_connection_that_stood_and_broke_ends_the_pauses_once_though_no_probe_saw_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(scheduler_link, "STOOD_SECONDS", 0.2)
    async with case(tmp_path) as c, watched(c.link):
        returns = c.link.returns
        pause = asyncio.create_task(c.link.pause(3600))
        await loses_its_connection_unseen(c, after=0.3)
        assert await asyncio.wait_for(pause, 5)
        await c.call()
        assert not await c.link.pause(0.6)
        assert c.link.returns == returns + 1
        assert not c.renewed.is_set()


@pytest.mark.usefixtures("_hasty")
@asynchronous
async def test_a_scheduler_that_ends_each_connection_soon_gets_its_pauses(tmp_path):
    async with case(tmp_path) as c, watched(c.link):
        returns = c.link.returns
        for _ in range(3):
            await loses_its_connection_unseen(c, after=0.0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.4):
                    await c.link.returned(returns)
        assert c.link.returns == returns
