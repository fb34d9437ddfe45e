"""After an outage the streams stand again within five seconds of the return, however long the pauses."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.greenlight import asynchronous
from helpers.proxy import proxied
from helpers.world import NODE_ID, REPOSITORY, environment, world

from signerd.daemon.scheduler_link import STOOD_SECONDS
from signerd.dev.faults import Fault
from signerd.greenlight.pb import scheduler_pb2

# As after a long outage: whoever waited the pauses out would wait for a quarter of a minute, on average.
LONG_PAUSES = "[backoff]\nfirst_seconds = 30\nmax_seconds = 60\n"
PROMISED_SECONDS = 5.0
OUTAGE_SECONDS = 2.5
"""Long enough to be seen by a probe."""


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
async def test_an_outage_that_no_probe_can_see_ends_as_soon(tmp_path):
    """Both connections stand for a while, and are cut for a moment."""
    async with world(tmp_path) as w, proxied(w.greenlight.scheduler.port) as proxy:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        async with proxied(int(node.grpc_uri.rpartition(":")[2])) as near:
            w.greenlight.faults.set("GetNodeInfo", placed_at(near.uri))
            env = w.configure(LONG_PAUSES) | {"GL_SCHEDULER_GRPC_URI": proxy.uri}
            async with w.daemon(**env) as daemon:
                await daemon.said("scheduler-stream-open")
                await daemon.said("upgraded")
                await daemon.said("node-attached")
                await asyncio.sleep(STOOD_SECONDS + 1)  # time is what is measured
                for each in (proxy, near):
                    await each.cut()
                    await each.forward()
                returned = time.monotonic()
                await daemon.said("scheduler-stream-open", times=2)
                await daemon.said("upgraded", times=2)
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
            await asyncio.sleep(3)  # time is what is measured
            # A pause is sixteen seconds on average: one that is short by chance is no haste.
            assert sum(w.greenlight.calls.counts().values()) - before <= 2
            assert len(proxy.accepted) - probed <= 3


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root, and iproute2")
def test_a_link_that_goes_down_and_up_is_noticed_and_the_node_served_within_seconds(tmp_path):
    """A real one. No connection is ended by it, so nothing but our addresses tells of it."""
    done = apart("--net", "helpers.link_down", tmp_path)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["answered"], seen["addresses"], seen["code"]) == (9, "203.0.113.9", 0)
    assert seen["seconds"] < PROMISED_SECONDS


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_name_service_that_comes_back_is_noticed_within_seconds(tmp_path):
    """A real one: no name can be looked up, and then ours can."""
    done = apart("--mount", "helpers.name_outage", tmp_path)

    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < PROMISED_SECONDS


def apart(namespace: str, module: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a module of ours in a namespace of its own."""
    done = subprocess.run(
        ["unshare", namespace, sys.executable, "-m", module, directory],
        env=environment(directory, PYTHONPATH=f"{REPOSITORY}:{REPOSITORY / 'tests'}"),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "unshare failed" in done.stderr:
        pytest.skip("this machine does not let us make a namespace")
    return done
