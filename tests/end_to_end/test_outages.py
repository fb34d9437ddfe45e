"""After an outage the streams stand again within five seconds of the way's return, however long the pauses."""

from __future__ import annotations

import asyncio
import time

import pytest
from helpers.greenlight import asynchronous
from helpers.proxy import proxied
from helpers.world import NODE_ID, world

from signerd.dev.faults import Fault
from signerd.greenlight.pb import scheduler_pb2

# As after a long outage: whoever waited the pauses out would wait for a quarter of a minute, on average.
LONG_PAUSES = "[backoff]\nfirst_seconds = 30\nmax_seconds = 60\n"
PROMISED_SECONDS = 5.0
OUTAGE_SECONDS = 2.5
"""Long enough to be seen by a probe; what is shorter meets short pauses, unless they are as long as here."""


def placed_at(uri: str) -> Fault:
    reply = scheduler_pb2.NodeInfoResponse(node_id=NODE_ID, grpc_uri=uri)
    return Fault(reply=reply.SerializeToString())


@pytest.mark.slow
@asynchronous
async def test_the_scheduler_is_back_within_seconds_of_its_way(tmp_path):
    async with world(tmp_path) as w, proxied(w.greenlight.scheduler.port) as proxy:
        await w.make_node()
        env = w.configure(LONG_PAUSES) | {"GL_SCHEDULER_GRPC_URI": proxy.uri}
        async with w.daemon(**env) as daemon:
            await daemon.said("scheduler-stream-open")
            await daemon.said("upgraded")
            await proxy.cut()
            await daemon.said("scheduler-stream-ended")
            await asyncio.sleep(OUTAGE_SECONDS)
            returned = time.monotonic()
            await proxy.forward()
            await daemon.said("scheduler-stream-open", times=2)
            await daemon.said("upgraded", times=2)
            took = time.monotonic() - returned
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
    assert took < PROMISED_SECONDS


@pytest.mark.slow
@asynchronous
async def test_a_scheduler_that_was_away_at_the_start_is_met_within_seconds_too(tmp_path):
    async with world(tmp_path) as w, proxied(w.greenlight.scheduler.port) as proxy:
        await w.make_node()
        await proxy.cut()
        env = w.configure(LONG_PAUSES) | {"GL_SCHEDULER_GRPC_URI": proxy.uri}
        async with w.daemon(**env) as daemon:
            await daemon.said("scheduler-stream-ended")
            await asyncio.sleep(OUTAGE_SECONDS)
            returned = time.monotonic()
            await proxy.forward()
            await daemon.said("scheduler-stream-open")
            took = time.monotonic() - returned
    assert took < PROMISED_SECONDS


@pytest.mark.slow
@asynchronous
async def test_the_node_is_back_within_seconds_of_its_way(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        async with proxied(int(node.grpc_uri.rpartition(":")[2])) as proxy:
            w.greenlight.faults.set("GetNodeInfo", placed_at(proxy.uri))
            async with w.daemon(**w.configure(LONG_PAUSES)) as daemon:
                await daemon.said("node-attached")
                # The first pause is that of a stream that ended, the second one's that of a way that is away.
                await proxy.cut()
                await daemon.said("node-detached")
                await asyncio.sleep(OUTAGE_SECONDS)
                returned = time.monotonic()
                await proxy.forward()
                await daemon.said("node-attached", times=2)
                took = time.monotonic() - returned
                assert len(await node.examine()) == 9
    assert took < PROMISED_SECONDS


@pytest.mark.slow
@asynchronous
async def test_a_scheduler_that_takes_connections_and_fails_calls_gets_its_pauses(tmp_path):
    async with world(tmp_path) as w, proxied(w.greenlight.scheduler.port) as proxy:
        await w.make_node()
        w.greenlight.faults.set("*", Fault(status="UNAVAILABLE"))
        env = w.configure(LONG_PAUSES) | {"GL_SCHEDULER_GRPC_URI": proxy.uri}
        async with w.daemon(**env) as daemon:
            await daemon.said("scheduler-call-failed")
            before, probed = sum(w.greenlight.calls.counts().values()), len(proxy.accepted)
            await asyncio.sleep(5)  # time is what is measured
            # A pause is sixteen seconds on average: one that is short by chance is no haste.
            assert sum(w.greenlight.calls.counts().values()) - before <= 2
            assert len(proxy.accepted) - probed <= 3
