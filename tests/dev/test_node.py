"""greenlight.Node: what a signer is sent, whose answers count, and which are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from helpers.greenlight import Device, asynchronous, code_of, nobody, node_stubs, refusal, registered

from signerd.core import startup
from signerd.dev.ledger import Entry
from signerd.dev.local import LocalGreenlight
from signerd.dev.node import RequestRefused
from signerd.dev.node_state import TOMBSTONE
from signerd.dev.verify import WrongAnswer
from signerd.greenlight.pb import greenlight_pb2 as pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PING = bytes.fromhex("03e80007") + b"hi\0"
PONG = bytes.fromhex("044c0007") + b"\0"


class HandSigner:
    """A signer's side of one node, one message at a time."""

    def __init__(self, service: Any, device: Device) -> None:
        self.service = service
        self.device = device
        self.stream = service.StreamHsmRequests(pb.Empty())

    async def next(self) -> pb.HsmRequest:
        request = await self.stream.read()
        assert request is not grpc.aio.EOF
        assert isinstance(request, pb.HsmRequest)
        return request

    async def answer(self, request_id: int, raw: bytes = PONG, **fields: Any) -> None:
        await self.service.RespondHsmRequest(pb.HsmResponse(request_id=request_id, raw=raw, **fields))


@asynccontextmanager
async def attached(greenlight: LocalGreenlight, device: Device) -> AsyncIterator[HandSigner]:
    async with node_stubs(greenlight, device.node_id, device.identity) as service:
        signer = HandSigner(service, device)
        try:
            yield signer
        finally:
            signer.stream.cancel()


@asynchronous
async def test_the_first_message_is_a_heartbeat_with_all_live_state(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        node.state.merge([Entry("a", 3, b"{}", b""), Entry("gone", TOMBSTONE, b"null", b"")])
        async with attached(greenlight, device) as signer:
            first = await signer.next()
            assert (0, b"\x07\xd8") == (first.request_id, first.raw)
            assert not first.HasField("context")
            assert [("a", 3)] == [(entry.key, entry.version) for entry in first.signer_state]
            assert node.attached.is_set()


@asynchronous
async def test_questions_count_up_from_1000_and_get_their_answers(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as signer:
            await signer.next()
            for expected in (1000, 1001):
                asking = asyncio.ensure_future(node.ask(PING))
                request = await signer.next()
                assert (expected, PING) == (request.request_id, request.raw)
                await signer.answer(request.request_id)
                assert PONG == await asking


@asynchronous
async def test_context_and_pending_calls_are_passed_on(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        context = pb.HsmRequestContext(node_id=bytes(33), dbid=5, capabilities=24)
        call = pb.PendingRequest(request=bytes(5), uri="/cln.Node/Getinfo")
        question = node.put(PING, context=context, requests=[call])
        async with attached(greenlight, device) as signer:
            await signer.next()
            request = await signer.next()
            assert (context, [call]) == (request.context, list(request.requests))
            node.withdraw(question)


@asynchronous
async def test_the_backlog_is_replayed_to_each_new_stream(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        one, two = node.put(PING), node.put(PING)
        for _ in range(2):
            async with attached(greenlight, device) as signer:
                await signer.next()
                seen = [(await signer.next()).request_id for _ in range(2)]
                assert [one.request_id, two.request_id] == seen
        async with node_stubs(greenlight, device.node_id, device.identity) as service:
            await service.RespondHsmRequest(pb.HsmResponse(request_id=one.request_id, raw=PONG))
        async with attached(greenlight, device) as signer:
            await signer.next()
            assert two.request_id == (await signer.next()).request_id


@asynchronous
async def test_the_first_answer_wins_and_a_late_one_changes_nothing(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as one, attached(greenlight, device) as two:
            await one.next()
            await two.next()
            assert 2 == node.signers
            asking = asyncio.ensure_future(node.ask(PING))
            assert (await one.next()).request_id == (await two.next()).request_id == 1000
            await two.answer(1000, PONG + b"two")
            late = pb.SignerStateEntry(key="late", version=0, value=b"1")
            await one.answer(1000, PONG + b"one", signer_state=[late])
            assert PONG + b"two" == await asking
            assert (1, None) == (node.late_answers, node.state.get("late"))


@asynchronous
async def test_a_refusal_is_recorded_and_the_request_stays_pending(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as signer:
            await signer.next()
            asking = asyncio.ensure_future(node.ask(PING))
            await signer.next()
            entry = pb.SignerStateEntry(key="a", version=0, value=b"1")
            await signer.answer(1000, b"", error="policy-other: no", signer_state=[entry])
            with pytest.raises(RequestRefused, match="policy-other: no"):
                await asking
            assert [(1000, PING, "policy-other: no")] == [
                (r.request_id, r.raw, r.error) for r in node.rejections
            ]
            assert ([1000], None) == (node.pending(), node.state.get("a"))
            # Another try is still welcome.
            await signer.answer(1000)
            assert [] == node.pending()


@asynchronous
async def test_refuses_an_answer_to_a_question_that_was_never_asked(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as signer:
            await signer.next()
            for request_id in (1, 999, 1000, 2**32 - 1):
                assert INVALID == await code_of(signer.answer(request_id))


@asynchronous
async def test_a_wrong_answer_is_not_taken(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as signer:
            await signer.next()
            point = node.fresh_point()
            asking = asyncio.ensure_future(node.ask(b"\0\1" + point))
            await signer.next()
            error = await refusal(signer.answer(1000, b"\0\x64" + bytes(32)))
            assert INVALID == error.code()
            with pytest.raises(WrongAnswer, match="shared secret"):
                await asking
            assert ([1000], 1) == (node.pending(), len(node.wrong_answers))
            await signer.answer(1000, b"\0\x64" + device.keys.ecdh(point))
            assert [] == node.pending()


@asynchronous
async def test_state_is_stored_before_the_answer_is_released(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as signer:
            await signer.next()
            asking = asyncio.ensure_future(node.ask(PING))
            await signer.next()
            bad = pb.SignerStateEntry(key="a", version=0, value=b"no json")
            assert INVALID == await code_of(signer.answer(1000, signer_state=[bad]))
            with pytest.raises(WrongAnswer, match="not JSON"):
                await asking
            good = pb.SignerStateEntry(key="a", version=0, value=b'{"b":1}', signature=bytes(64))
            await signer.answer(1000, signer_state=[good])
            assert Entry("a", 0, b'{"b":1}', bytes(64)) == node.state.get("a")
    async with LocalGreenlight(tmp_path) as greenlight:
        assert Entry("a", 0, b'{"b":1}', bytes(64)) == greenlight.node(device.node_id).state.get("a")


@asynchronous
async def test_the_heartbeats_state_is_kept_and_its_reply_thrown_away(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        async with attached(greenlight, device) as signer:
            await signer.next()
            await signer.answer(0, b"", signer_state=[pb.SignerStateEntry(key="a", version=0, value=b"1")])
            assert node.state.get("a")


@asynchronous
async def test_later_requests_carry_only_what_changed(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        node.state.merge([Entry("a", 0, b"1", b""), Entry("b", 0, b"1", b"")])
        async with attached(greenlight, device) as signer:
            await signer.next()
            node.put(PING)
            assert [] == list((await signer.next()).signer_state)
            node.state.merge([Entry("b", 1, b"2", b""), Entry("a", TOMBSTONE, b"null", b"")])
            node.put(PING)
            changes = (await signer.next()).signer_state
            assert [("b", 1), ("a", TOMBSTONE)] == [(e.key, e.version) for e in changes]
            node.put(PING)
            assert [] == list((await signer.next()).signer_state)
            node.sends_whole_state = True
            node.put(PING)
            assert ["b"] == [entry.key for entry in (await signer.next()).signer_state]


@asynchronous
async def test_only_a_device_of_this_node_may_attach_or_answer(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device, other = await registered(greenlight, 1), await registered(greenlight, 2)
        node = await greenlight.schedule(device.node_id)
        own_server = greenlight._authority.node(device.node_id)
        for identity in (other.identity, nobody(greenlight), own_server):
            async with node_stubs(greenlight, device.node_id, identity) as service:
                attach = service.StreamHsmRequests(pb.Empty()).read()
                assert grpc.StatusCode.PERMISSION_DENIED == await code_of(attach)
                answer = service.RespondHsmRequest(pb.HsmResponse(request_id=0))
                assert grpc.StatusCode.PERMISSION_DENIED == await code_of(answer)
        assert not node.attached.is_set()


@asynchronous
async def test_the_rest_of_the_service_is_unimplemented(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        await greenlight.schedule(device.node_id)
        async with node_stubs(greenlight, device.node_id, device.identity) as service:
            call = service.Configure(pb.GlConfig(close_to_addr="none"))
            assert grpc.StatusCode.UNIMPLEMENTED == await code_of(call)


@asynchronous
async def test_a_question_that_is_given_up_is_not_replayed(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(node.ask(PING), 0)
        assert [] == node.pending()


@asynchronous
async def test_examines_a_signer_that_answers_well(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        node = await greenlight.schedule(device.node_id)
        canned = {m.request: m.response for m in startup.startup_messages(device.keys, "regtest")}
        async with attached(greenlight, device) as signer:
            await signer.next()
            examining = asyncio.ensure_future(node.examine(without=("heartbeat",)))
            for _ in range(8):
                request = await signer.next()
                match int.from_bytes(request.raw[:2], "big"):
                    case 1:
                        reply = b"\0\x64" + device.keys.ecdh(request.raw[2:])
                    case 28:
                        reply = b"\0\x80\1"
                    case _:
                        reply = canned[request.raw]
                await signer.answer(request.request_id, reply)
            assert 8 == len(await examining)
