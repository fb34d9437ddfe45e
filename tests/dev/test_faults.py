"""The local Greenlight misbehaves when told to, exactly as told, and counts what it is asked."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.greenlight import (
    Device,
    Stubs,
    asynchronous,
    ca_pem,
    code_of,
    device_stubs,
    node_stubs,
    refusal,
    registered,
)

from signerd.dev.faults import Fault, Faults
from signerd.dev.local import LocalGreenlight
from signerd.errors import UsageError
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb


def node_info(called: Stubs, device: Device) -> Any:
    return called.scheduler.GetNodeInfo(pb.NodeInfoRequest(node_id=device.node_id))


@pytest.mark.parametrize("status", ["UNAVAILABLE", "UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED"])
@asynchronous
async def test_answers_with_a_status(tmp_path: Path, status: str) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            greenlight.faults.set("GetNodeInfo", Fault(status=status, details="out to lunch"))
            error = await refusal(node_info(called, device))
            assert (grpc.StatusCode[status], "out to lunch") == (error.code(), error.details())
            greenlight.faults.clear()
            await node_info(called, device)


@asynchronous
async def test_a_fault_for_every_method_yields_to_a_methods_own(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            greenlight.faults.set("*", Fault(status="UNAVAILABLE"))
            greenlight.faults.set("GetNodeInfo", Fault(delay=0.0))
            await node_info(called, device)
            invites = called.scheduler.ListInviteCodes(pb.ListInviteCodesRequest())
            assert grpc.StatusCode.UNAVAILABLE == await code_of(invites)


@asynchronous
async def test_a_fault_may_strike_a_number_of_times_only(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            greenlight.faults.set("GetNodeInfo", Fault(status="UNAVAILABLE", times=2))
            for _ in range(2):
                assert grpc.StatusCode.UNAVAILABLE == await code_of(node_info(called, device))
            await node_info(called, device)


@asynchronous
async def test_delays_an_answer(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            greenlight.faults.set("GetNodeInfo", Fault(delay=0.05))
            start = time.monotonic()
            await node_info(called, device)
            assert time.monotonic() - start >= 0.05


@asynchronous
async def test_hangs_until_the_client_gives_up(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        greenlight.faults.set("GetNodeInfo", Fault(hang=True))
        async with device_stubs(greenlight, device) as called:
            request = pb.NodeInfoRequest(node_id=device.node_id)
            call = called.scheduler.GetNodeInfo(request, timeout=0.05)
            assert grpc.StatusCode.DEADLINE_EXCEEDED == await code_of(call)


@asynchronous
async def test_sends_bytes_that_are_no_protobuf(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            greenlight.faults.set("GetNodeInfo", Fault(reply=b"\xff\xff"))
            raw: Any = called._channel.unary_unary("/scheduler.Scheduler/GetNodeInfo")
            assert b"\xff\xff" == await raw(b"")


@asynchronous
async def test_hands_out_any_address(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        stale = pb.NodeInfoResponse(node_id=device.node_id, grpc_uri="https://localhost:1")
        greenlight.faults.set("GetNodeInfo", Fault(reply=stale.SerializeToString()))
        async with device_stubs(greenlight, device) as called:
            assert "https://localhost:1" == (await node_info(called, device)).grpc_uri


@asynchronous
async def test_pads_a_message_without_changing_it(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        greenlight.faults.set("GetNodeInfo", Fault(pad_to=5_000_000))
        async with device_stubs(greenlight, device) as called:
            raw: Any = called._channel.unary_unary("/scheduler.Scheduler/GetNodeInfo")
            reply = await raw(pb.NodeInfoRequest(node_id=device.node_id).SerializeToString())
            assert len(reply) >= 5_000_000
            assert device.node_id == (await node_info(called, device)).node_id


@asynchronous
async def test_closes_a_stream_at_once_or_after_some_messages(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        node.put(b"\0\x21")
        async with node_stubs(greenlight, device.node_id, device.identity) as service:
            for count in (0, 1, 2):
                greenlight.faults.set("StreamHsmRequests", Fault(drop_after=count))
                stream = service.StreamHsmRequests(greenlight_pb2.Empty())
                assert count == len([message async for message in stream])
            greenlight.faults.set("StreamHsmRequests", Fault(drop_after=1, status="ABORTED"))
            stream = service.StreamHsmRequests(greenlight_pb2.Empty())
            await stream.read()
            assert grpc.StatusCode.ABORTED == await code_of(stream.read())


@asynchronous
async def test_closes_the_signers_stream_at_once(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        greenlight.faults.set("SignerRequestsStream", Fault(drop_after=0))
        async with device_stubs(greenlight, device) as called:
            stream = called.scheduler.SignerRequestsStream()
            assert grpc.aio.EOF == await stream.read()
            assert grpc.StatusCode.OK == await stream.code()


@asynchronous
async def test_sends_garbage_on_a_stream(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        greenlight.faults.set("StreamHsmRequests", Fault(reply=b"\xff\xff"))
        async with Stubs(node.grpc_uri, ca_pem(greenlight), device.identity) as called:
            attach: Any = called._channel.unary_stream("/greenlight.Node/StreamHsmRequests")
            stream = attach(b"")
            assert b"\xff\xff" == await stream.read()


@asynchronous
async def test_counts_calls_in_order_refused_ones_included(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        greenlight.faults.set("GetNodeInfo", Fault(status="UNAVAILABLE"))
        async with device_stubs(greenlight, device) as called:
            await code_of(node_info(called, device))
        assert ["GetChallenge", "Register", "GetNodeInfo"] == greenlight.calls.order()
        assert 1 == greenlight.calls.counts()["GetNodeInfo"] == len(greenlight.calls.times("GetNodeInfo"))


@asynchronous
async def test_waiting_for_a_call_ends_with_the_call(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        waiting = asyncio.ensure_future(greenlight.calls.reach("Register", 1))
        await asyncio.sleep(0)
        assert not waiting.done()
        await registered(greenlight)
        assert greenlight.calls.times("Register") == [await waiting]


def test_reads_a_fault_from_json() -> None:
    assert Fault(reply=b"\xff", times=2) == Fault.from_json({"reply": "ff", "times": 2})


@pytest.mark.parametrize("values", [{"status": "BROKEN"}, {"stauts": "INTERNAL"}])
def test_refuses_a_fault_that_there_is_not(values: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Fault.from_json(values)


def test_clears_one_fault_or_all() -> None:
    faults = Faults({"A": Fault(hang=True), "B": Fault(hang=True)})
    faults.clear("A")
    assert (None, Fault(hang=True)) == (faults.take("A"), faults.take("B"))
    faults.clear()
    assert faults.take("B") is None
