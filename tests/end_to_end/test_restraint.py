"""No loop spins, whatever the other side does."""

from __future__ import annotations

import asyncio

import pytest
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world

from signerd.dev.faults import Fault
from signerd.greenlight.pb import scheduler_pb2

WINDOW_SECONDS = 2.0
MOST_CALLS = 25
"""Six attempts a loop and a few at the start. The reference makes thousands in this time."""

NOWHERE = scheduler_pb2.NodeInfoResponse(node_id=NODE_ID).SerializeToString()
STALE = scheduler_pb2.NodeInfoResponse(node_id=NODE_ID, grpc_uri="https://localhost:1").SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("SignerRequestsStream", Fault(drop_after=0)),
        ("SignerRequestsStream", Fault(status="UNIMPLEMENTED")),
        ("SignerRequestsStream", Fault(status="RESOURCE_EXHAUSTED")),
        # Each of these looks like a lost connection, after which MaybeUpgrade is due again, and works.
        ("SignerRequestsStream", Fault(status="UNAVAILABLE")),
        ("GetNodeInfo", Fault(status="UNAVAILABLE")),
        ("GetNodeInfo", Fault(status="INTERNAL")),
        ("GetNodeInfo", Fault(reply=NOWHERE)),
        ("GetNodeInfo", Fault(reply=STALE)),
        ("StreamHsmRequests", Fault(drop_after=0)),
        ("StreamHsmRequests", Fault(status="INTERNAL")),
        ("RespondHsmRequest", Fault(status="UNAVAILABLE")),
        ("MaybeUpgrade", Fault(status="UNIMPLEMENTED")),
        ("*", Fault(status="RESOURCE_EXHAUSTED")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.status or str(value.drop_after),
)
@asynchronous
async def test_backs_off(tmp_path, method, fault):
    async with world(tmp_path) as w:
        await w.make_node()
        await w.greenlight.schedule(NODE_ID)
        before = sum(w.greenlight.calls.counts().values())
        w.greenlight.faults.set(method, fault)
        async with w.daemon() as daemon:
            await daemon.said("started")
            # Time is the thing measured here: how much is done in so many seconds.
            await asyncio.sleep(WINDOW_SECONDS)
            assert daemon.process.returncode is None
            calls = sum(w.greenlight.calls.counts().values()) - before
    assert 1 <= calls <= MOST_CALLS
