"""An address that serves, refuses, hangs and cuts, and is the same throughout."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.greenlight import (
    asynchronous,
    challenge_for,
    code_of,
    nobody,
    node_keys,
    refusal,
    registered,
    stubs,
)

from signerd.dev.backend import Settings
from signerd.dev.faults import Fault
from signerd.dev.local import LocalGreenlight
from signerd.errors import UsageError
from signerd.greenlight.pb import scheduler_pb2 as pb

KEYS = node_keys(1)


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the other side has closed the connection; it may be noticed as a reset."""
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True


@asynchronous
async def test_refuses_connections_and_takes_them_again_on_the_same_port(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        uri = greenlight.scheduler_uri
        await challenge_for(anonymous.scheduler, KEYS)
        await greenlight.scheduler.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", greenlight.scheduler.port)
        assert grpc.StatusCode.UNAVAILABLE == await code_of(challenge_for(anonymous.scheduler, KEYS))
        await greenlight.scheduler.serve()
        async with stubs(greenlight, nobody(greenlight)) as again:
            await challenge_for(again.scheduler, KEYS)
        assert uri == greenlight.scheduler_uri


@asynchronous
async def test_half_open_accepts_and_says_nothing(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        await greenlight.scheduler.half_open()
        reader, writer = await asyncio.open_connection("127.0.0.1", greenlight.scheduler.port)
        writer.write(b"hello")
        await writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.02)
        await greenlight.scheduler.serve()
        assert await ends(reader)
        writer.close()


@asynchronous
async def test_cutting_accepts_and_closes(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        await greenlight.scheduler.cut()
        reader, writer = await asyncio.open_connection("127.0.0.1", greenlight.scheduler.port)
        assert await ends(reader)
        writer.close()


@asynchronous
async def test_a_restart_ends_calls_and_keeps_nodes_and_faults(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        address = node.grpc_uri
        greenlight.faults.set("GetNodeInfo", Fault(hang=True, times=1))
        async with stubs(greenlight, device.identity) as called:
            request = pb.NodeInfoRequest(node_id=device.node_id)
            hanging = asyncio.ensure_future(code_of(called.scheduler.GetNodeInfo(request)))
            await greenlight.calls.reach("GetNodeInfo", 1)
            await greenlight.restart()
            assert await hanging in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        async with stubs(greenlight, device.identity) as called:
            assert address == (await called.scheduler.GetNodeInfo(request)).grpc_uri


@asynchronous
async def test_a_port_in_use_is_refused_with_a_way_on(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path / "one") as greenlight:
        port = greenlight.scheduler.port
        with pytest.raises(UsageError, match=f"port {port}") as refused:
            async with LocalGreenlight(tmp_path / "two", port=port):
                pass
        assert "--port" in (refused.value.hint or "")


@asynchronous
async def test_nobody_else_gets_the_port_while_it_refuses(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        await greenlight.scheduler.refuse()
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", greenlight.scheduler.port))


@asynchronous
async def test_answers_are_compressed_when_told(tmp_path: Path) -> None:
    settings = Settings(compression=grpc.Compression.Gzip)
    async with (
        LocalGreenlight(tmp_path, settings=settings) as greenlight,
        stubs(greenlight, nobody(greenlight)) as anonymous,
    ):
        call = anonymous.scheduler.GetChallenge(pb.ChallengeRequest(node_id=KEYS.node_id))
        assert 32 == len((await call).challenge)
        assert "gzip" == dict(await call.initial_metadata()).get("grpc-encoding", "gzip")


@pytest.mark.slow
@asynchronous
async def test_strict_pings_end_the_connection_of_a_client_that_pings_too_often(tmp_path: Path) -> None:
    """A C-core server's own rule; the interoperability tests prove that it is off by default."""
    settings = Settings(strict_pings=True)
    async with LocalGreenlight(tmp_path, settings=settings) as greenlight:
        device = await registered(greenlight)
        credentials = grpc.ssl_channel_credentials(
            greenlight.ca_path.read_bytes(), device.identity.key, device.identity.chain
        )
        options = [
            ("grpc.keepalive_time_ms", 10),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        target = greenlight.scheduler_uri.removeprefix("https://")
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            get_node_info: Any = channel.unary_unary(
                "/scheduler.Scheduler/GetNodeInfo", pb.NodeInfoRequest.SerializeToString
            )
            waiting = get_node_info(pb.NodeInfoRequest(node_id=device.node_id, wait=True))
            error = await refusal(waiting)
            assert grpc.StatusCode.UNAVAILABLE == error.code()
            assert "too_many_pings" in (error.details() or "").lower().replace(" ", "_")
