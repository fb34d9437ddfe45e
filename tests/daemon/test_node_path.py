"""A pause before the next attempt to reach the node, and what cuts it short."""

from __future__ import annotations

import asyncio
import time

import pytest
from helpers.greenlight import asynchronous

from signerd.daemon import node_path as node_paths
from signerd.daemon import reach as reaches
from signerd.daemon.clock import SystemClock
from signerd.daemon.node_path import NodePath
from signerd.daemon.reach import Reach
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.errors import ProtocolViolation, RemoteError, Unavailable
from signerd.greenlight.reachability import Found
from signerd.greenlight.scheduler import SchedulerClient

AWAY = Unavailable("cannot connect", code="UNAVAILABLE")
URI = "https://localhost:1"


def link_of() -> SchedulerLink:
    def connect() -> SchedulerClient:
        raise AssertionError("nothing connects here")

    return SchedulerLink(connect)


class Node:
    """In reach or not, as the test says; counts the probes."""

    def __init__(self) -> None:
        self.there = False
        self.probes = 0

    async def probe(self) -> Found:
        self.probes += 1
        return Found.THERE if self.there else Found.REFUSED

    def path(self, link: SchedulerLink) -> NodePath:
        return NodePath(link, lambda _uri: Reach(self.probe, SystemClock()))


async def pause(path: NodePath, seconds: float, problem: RemoteError | None = AWAY, returns: int = 0) -> bool:
    return await path.pause(seconds, uri=URI, problem=problem, returns=returns)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(reaches, "FIRST_SECONDS", (0.0, 0.01))
    monkeypatch.setattr(reaches, "LEAST_SECONDS", 0.02)
    monkeypatch.setattr(reaches, "AWAY_SECONDS", (0.02, 0.03))


@asynchronous
async def test_a_node_that_comes_back_ends_the_pause():
    node = Node()
    waiting = asyncio.create_task(pause(node.path(link_of()), 3600))
    while not node.probes:
        await asyncio.sleep(0.01)
    node.there = True
    assert await waiting


@asynchronous
async def test_a_node_that_stays_away_gets_the_whole_pause():
    node = Node()
    assert not await pause(node.path(link_of()), 0.1)
    assert node.probes >= 2


@pytest.mark.parametrize("problem", [None, ProtocolViolation("no"), Unavailable("busy", code="INTERNAL")])
@asynchronous
async def test_a_node_that_was_reached_is_not_probed(problem):
    node = Node()
    assert not await pause(node.path(link_of()), 0.05, problem)
    assert node.probes == 0


@asynchronous
async def test_the_way_to_the_scheduler_ends_it_too():
    link = link_of()
    waiting = asyncio.create_task(pause(Node().path(link), 3600, None))
    await asyncio.sleep(0)
    await link.come_back(works=True)
    assert await waiting


@asynchronous
async def test_renewing_ends_the_stream_and_skips_one_pause_and_no_more():
    """Else a node that is away would be asked without end."""
    node = Node()
    path = node.path(link_of())
    async with path.in_use():
        ending = asyncio.create_task(path.ended())
        await asyncio.sleep(0)
        assert not ending.done()
        await path.renew()
        with pytest.raises(Unavailable, match="given up"):
            await ending
    assert await pause(path, 3600)
    started = time.monotonic()
    assert not await pause(path, 0.1)
    assert time.monotonic() - started >= 0.1


@asynchronous
async def test_an_address_that_is_none_is_not_probed():
    def refuse(_uri: str) -> Reach:
        raise ProtocolViolation("no address")

    assert not await pause(NodePath(link_of(), refuse), 0.05)


@pytest.mark.parametrize(("stood", "comes"), [(0.0, True), (3600.0, False)], ids=["for a while", "briefly"])
@asynchronous
async def test_a_stream_that_stood_and_broke_ends_one_pause_though_no_probe_saw_it(monkeypatch, stood, comes):
    monkeypatch.setattr(node_paths, "STOOD_SECONDS", stood)
    node = Node()
    node.there = True
    path = node.path(link_of())
    async with path.in_use():
        pass
    assert await pause(path, 0.3) is comes
    assert not await pause(path, 0.1)
