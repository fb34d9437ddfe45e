"""The watchdog is fed while the daemon gets on, and only then."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager

from helpers.clock import FakeClock
from helpers.greenlight import asynchronous, node_keys
from helpers.notifications import NotifySocket

from signerd.core.keys.node import NodeKeys
from signerd.daemon.notify import Notifier
from signerd.daemon.pulse import Pulse
from signerd.daemon.watchdog import SelfTest, Watchdog
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.observe.events import Stuck, Unstuck
from signerd.units import Secret

HASTY = "20000"  # microseconds: fed every 10 ms


class Rig:
    def __init__(self, systemd: NotifySocket, keys: NodeKeys) -> None:
        self.systemd = systemd
        self.clock = FakeClock()
        self.pulse = Pulse(self.clock)
        self.told: list[Event] = []
        self.self_test = SelfTest(keys)
        self.watchdog = Watchdog(
            notifier=Notifier({"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": HASTY}),
            pulse=self.pulse,
            self_test=self.self_test,
            bus=Bus(self.told.append),
        )

    async def fed(self) -> None:
        self.systemd.rest()
        await self.systemd.until("WATCHDOG=1")

    async def starved(self, looks: int = 5) -> None:
        """Once it was told, nothing more comes for several looks."""
        async with asyncio.timeout(10):
            while not self.told:
                await asyncio.sleep(0)
        self.systemd.rest()
        await asyncio.sleep(0.01 * looks)
        assert self.systemd.rest() == []


@asynccontextmanager
async def rig(keys: NodeKeys | None = None):
    with NotifySocket() as systemd:
        found = Rig(systemd, keys or node_keys())
        running = asyncio.create_task(found.watchdog.run())
        try:
            yield found
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynchronous
async def test_is_fed_at_least_twice_in_its_time():
    async with rig() as found:
        await found.fed()
        started = time.monotonic()
        for _ in range(20):
            await found.fed()
        assert time.monotonic() - started < 10
        assert found.told == []


@asynchronous
async def test_work_that_ends_in_time_is_no_trouble_however_often():
    async with rig() as found:
        for _ in range(3):
            with found.pulse.at_work("an answer", 5.0):
                found.clock.advance(4.9)
                await found.fed()
        assert found.told == []


@asynchronous
async def test_is_starved_while_a_piece_of_work_does_not_end_and_fed_once_it_has():
    async with rig() as found:
        with found.pulse.at_work("an answer to the node", 5.0), found.pulse.at_work("another", 500.0):
            await found.fed()
            found.clock.advance(5.1)
            await found.starved()
            assert found.told == [Stuck(reason="an answer to the node should have ended by now")]
        await found.fed()
        assert found.told[1:] == [Unstuck()]


@asynchronous
async def test_is_starved_while_the_event_loop_stands_still():
    async with rig() as found:
        await found.fed()
        found.systemd.rest()
        heard: list[str] = []
        standing = threading.Event()

        def listen() -> None:
            standing.wait()
            time.sleep(0.1)  # ten looks
            heard.extend(found.systemd.rest())

        listener = threading.Thread(target=listen)
        listener.start()
        standing.set()
        listener.join()  # in the loop's own thread: this is the standstill
        assert heard == []
        await found.fed()


@asynchronous
async def test_is_starved_while_the_key_gives_wrong_answers_or_none():
    keys, others = node_keys(1), node_keys(2)
    good = keys._node_secret
    async with rig(keys) as found:
        await found.fed()
        for broken, said in (
            (others._node_secret, "the node key gives wrong answers"),
            (Secret(bytes(32)), "the node key does not answer: "),
        ):
            keys._node_secret = broken
            await found.starved()
            assert isinstance(found.told[0], Stuck)
            assert found.told[0].reason.startswith(said)
            keys._node_secret = good
            await found.fed()
            assert found.told[1:] == [Unstuck()]
            found.told.clear()


def test_the_self_test_is_cheap():
    test = SelfTest(node_keys())
    started = time.perf_counter()
    for _ in range(100):
        assert test.failure() is None
    assert (time.perf_counter() - started) / 100 < 0.01
