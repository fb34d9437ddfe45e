"""What a scheduler says of its time."""

from __future__ import annotations

import asyncio
import email.utils

from helpers.grpc_server import Server, serving

from signerd.greenlight import probe
from signerd.greenlight.pb import scheduler_pb2

NODE_INFO = "/scheduler.Scheduler/GetNodeInfo"
REPLY = scheduler_pb2.NodeInfoResponse(grpc_uri="https://there").SerializeToString()


def answer(server_certificate, identity, date: str | None) -> probe.Answer:
    async def handle(_request, context) -> bytes:
        if date is not None:
            await context.send_initial_metadata((("date", date),))
        return REPLY

    async def scenario() -> probe.Answer:
        async with serving(Server({NODE_INFO: handle}), server_certificate) as server:
            return await probe.ask(server.uri, identity, bytes(33), 5)

    return asyncio.run(scenario())


def test_reads_the_time_of_a_server_that_tells_it(server_certificate, identity):
    found = answer(server_certificate, identity, email.utils.formatdate(1_700_000_000, usegmt=True))
    assert (1_700_000_000, "https://there") == (found.server_time, found.grpc_uri)


def test_takes_no_time_from_a_server_that_tells_none_or_nonsense(server_certificate, identity):
    assert answer(server_certificate, identity, None).server_time is None
    assert answer(server_certificate, identity, "yesterday").server_time is None
