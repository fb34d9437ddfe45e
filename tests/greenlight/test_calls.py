from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from helpers.grpc_server import FirstCall, Server, failing, listening, server_context, serving, unary

from signerd.errors import AlreadyExists, ProtocolViolation, RemoteError, Unavailable
from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import ClientOptions
from signerd.greenlight.values import Undecodable

INVITES = "/scheduler.Scheduler/ListInviteCodes"
NODE_INFO = "/scheduler.Scheduler/GetNodeInfo"
STREAM = "/scheduler.Scheduler/SignerRequestsStream"
GARBAGE = b"\xff\xff\xff"


def scenario(server, certificate, identity, act, options=None):
    """Run `act(scheduler client, server)` and see that it leaves no open call behind."""

    async def run():
        async with (
            serving(server, certificate),
            SchedulerClient(server.uri, identity, options) as scheduler,
        ):
            result = await act(scheduler, server)
            if server.open_calls:
                await asyncio.wait_for(server.idle.wait(), 10)
            assert server.open_calls == 0
            return result

    return asyncio.run(run())


async def never(_request, _context) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


def test_every_call_has_a_deadline(server_certificate, identity):
    async def act(scheduler, _server):
        await scheduler.list_invite_codes()

    with pytest.raises(Unavailable, match="did not answer in time") as failure:
        scenario(Server({INVITES: never}), server_certificate, identity, act, ClientOptions(deadline=0.05))
    assert failure.value.code == "DEADLINE_EXCEEDED"


def test_a_call_s_own_deadline_goes_before_the_options(server_certificate, identity):
    async def act(scheduler, _server):
        await scheduler.list_invite_codes(deadline=0.05)

    with pytest.raises(Unavailable, match="did not answer in time"):
        scenario(Server({INVITES: never}), server_certificate, identity, act)


@pytest.mark.parametrize(("wait", "timeout"), [(False, b"30S"), (True, b"15M")])
def test_a_call_that_waits_has_a_longer_deadline(server_certificate, identity, keys, wait, timeout):
    wire = FirstCall()

    async def run() -> None:
        async with (
            listening(wire, server_context(server_certificate)) as port,
            SchedulerClient(f"https://localhost:{port}", identity) as scheduler,
        ):
            with pytest.raises(Unavailable):
                await scheduler.get_node_info(keys.node_id, wait=wait)

    asyncio.run(run())
    assert b"grpc-timeout" + bytes([len(timeout)]) + timeout in wire.frames[FirstCall.HEADERS]


@pytest.mark.parametrize("reply", [GARBAGE, b"\x0a", b"\x0a\x04\x0a\x02\xff\xfe"])
def test_an_answer_that_is_no_protobuf_is_a_protocol_violation(server_certificate, identity, reply):
    async def act(scheduler, _server):
        await scheduler.list_invite_codes()

    with pytest.raises(ProtocolViolation, match="ListInviteCodesResponse"):
        scenario(Server({INVITES: unary(reply)}), server_certificate, identity, act)


def test_a_cancelled_call_is_cancelled_at_the_server(server_certificate, identity, keys):
    started = asyncio.Event()

    async def hang(_request, _context) -> bytes:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def act(scheduler, server):
        task = asyncio.create_task(scheduler.get_node_info(keys.node_id, wait=True))
        await started.wait()
        assert server.open_calls == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    scenario(Server({NODE_INFO: hang}), server_certificate, identity, act)


def flaky(failures: int, code=grpc.StatusCode.UNAVAILABLE):
    calls: list[bytes] = []

    async def handle(request, context) -> bytes:
        calls.append(request)
        if len(calls) <= failures:
            await context.abort(code, "not now")
        return scheduler_pb2.NodeInfoResponse(grpc_uri="https://localhost:1").SerializeToString()

    return handle, calls


QUICK = ClientOptions(retries=3, retry_pause=0.001)


def test_repeats_a_read_while_the_scheduler_is_unavailable(server_certificate, identity, keys):
    handle, calls = flaky(3)

    async def act(scheduler, _server):
        return await scheduler.get_node_info(keys.node_id)

    info = scenario(Server({NODE_INFO: handle}), server_certificate, identity, act, QUICK)
    assert info.grpc_uri == "https://localhost:1"
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (QUICK, grpc.StatusCode.UNAVAILABLE, 4),
        (QUICK, grpc.StatusCode.INTERNAL, 1),
        (QUICK, grpc.StatusCode.PERMISSION_DENIED, 1),
        (ClientOptions(), grpc.StatusCode.UNAVAILABLE, 1),
    ],
)
def test_gives_up_when_repeating_is_over_or_useless(server_certificate, identity, options, code, expected):
    handle, calls = flaky(99, code)

    async def act(scheduler, _server):
        await scheduler.get_node_info(bytes(33))

    with pytest.raises(RemoteError) as failure:
        scenario(Server({NODE_INFO: handle}), server_certificate, identity, act, options)
    assert failure.value.code == code.name
    assert len(calls) == expected


NOT_REPEATED = {
    "/scheduler.Scheduler/Register": lambda s: s.register(
        node_id=b"", bip32_key=b"", startup_messages=(), network="regtest", challenge=b"", signature=b"",
        signer_version="", init_message=b"", csr=b"",
    ),
    "/scheduler.Scheduler/Recover": lambda s: s.recover(node_id=b"", challenge=b"", signature=b"", csr=b""),
    "/scheduler.Scheduler/AddOutgoingWebhook": lambda s: s.add_outgoing_webhook(b"", ""),
    "/scheduler.Scheduler/DeleteWebhooks": lambda s: s.delete_webhooks(b"", []),
    "/scheduler.Scheduler/RotateOutgoingWebhookSecret": lambda s: s.rotate_outgoing_webhook_secret(b"", 1),
    "/scheduler.Pairing/PairDevice": lambda s: s.pair_device(
        device_id="", csr=b"", device_name="", description="", restrictions=""
    ),
    "/scheduler.Pairing/ApprovePairing": lambda s: s.approve_pairing(
        device_id="", timestamp=0, device_name="", restrictions="", signature=b"", public_key=b"", rune=""
    ),
    "/scheduler.Debug/ReportSignerRejection": lambda s: s.report_signer_rejection(
        node_id=b"", message="", request=greenlight_pb2.HsmRequest(), git_version=""
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", NOT_REPEATED)
def test_never_repeats_a_call_that_changes_something(server_certificate, identity, path):
    handle, calls = flaky(99)

    async def act(scheduler, _server):
        await NOT_REPEATED[path](scheduler)

    with pytest.raises(Unavailable):
        scenario(Server({path: handle}), server_certificate, identity, act, QUICK)
    assert len(calls) == 1


def request_bytes(number: int) -> bytes:
    return scheduler_pb2.SignerRequest(
        request_id=number, approve_pairing=scheduler_pb2.ApprovePairingRequest(device_id="d")
    ).SerializeToString()


def test_a_stream_is_answered_and_survives_garbage(server_certificate, identity):
    answers: list[scheduler_pb2.SignerResponse] = []

    async def ask(requests, _context):
        for message in (request_bytes(1), GARBAGE, request_bytes(2)):
            yield message
            if message != GARBAGE:
                answers.append(scheduler_pb2.SignerResponse.FromString(await anext(requests)))

    async def act(scheduler, _server):
        received = []
        async with scheduler.signer_requests() as stream:
            await stream.opened()
            async for request in stream:
                received.append(request)
                if isinstance(request, Undecodable):
                    continue
                await stream.answer(scheduler_pb2.SignerResponse(request_id=request.request_id))
        return received

    first, garbage, second = scenario(Server(streams={STREAM: ask}), server_certificate, identity, act)
    assert (first.request_id, first.approve_pairing.device_id, second.request_id) == (1, "d", 2)
    assert garbage == Undecodable(GARBAGE)
    assert [answer.request_id for answer in answers] == [1, 2]


def test_a_stream_that_is_left_is_closed_at_the_server(server_certificate, identity):
    async def ask(_requests, _context):
        yield request_bytes(1)
        await asyncio.Event().wait()

    async def act(scheduler, server):
        for _ in range(5):
            async with scheduler.signer_requests() as stream:
                assert (await anext(stream)).request_id == 1
                assert server.open_calls > 0
            await asyncio.wait_for(server.idle.wait(), 10)

    scenario(Server(streams={STREAM: ask}), server_certificate, identity, act)


def test_a_stream_is_closed_when_its_reader_is_cancelled_or_fails(server_certificate, identity):
    async def ask(_requests, _context):
        yield request_bytes(1)
        await asyncio.Event().wait()

    async def act(scheduler, server):
        reading = asyncio.Event()

        async def read() -> None:
            async with scheduler.signer_requests() as stream:
                await anext(stream)
                reading.set()
                await anext(stream)

        task = asyncio.create_task(read())
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.idle.wait(), 10)

        async def fail() -> None:
            async with scheduler.signer_requests() as stream:
                await anext(stream)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()

    scenario(Server(streams={STREAM: ask}), server_certificate, identity, act)


def test_a_stream_ends_when_the_scheduler_ends_it(server_certificate, identity):
    async def close(_requests, _context):
        return
        yield b""

    async def act(scheduler, _server):
        async with scheduler.signer_requests() as stream:
            return [request async for request in stream]

    assert scenario(Server(streams={STREAM: close}), server_certificate, identity, act) == []


def test_an_answer_on_a_stream_that_is_over_is_unavailable(server_certificate, identity):
    async def close(_requests, _context):
        return
        yield b""

    async def act(scheduler, _server):
        async with scheduler.signer_requests() as stream:
            async for _ in stream:
                raise AssertionError
            await stream.answer(scheduler_pb2.SignerResponse(request_id=1))

    with pytest.raises(Unavailable):
        scenario(Server(streams={STREAM: close}), server_certificate, identity, act)


def test_a_stream_that_fails_raises_what_the_status_means(server_certificate, identity):
    async def fail(_requests, context):
        yield request_bytes(1)
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "another signer")

    async def act(scheduler, _server):
        async with scheduler.signer_requests() as stream:
            async for _ in stream:
                pass

    with pytest.raises(AlreadyExists, match="another signer"):
        scenario(Server(streams={STREAM: fail}), server_certificate, identity, act)


def test_a_stream_that_the_scheduler_does_not_have_is_not_implemented(server_certificate, identity):
    async def act(scheduler, _server):
        async with scheduler.signer_requests() as stream:
            await anext(stream)

    with pytest.raises(RemoteError) as failure:
        scenario(Server(), server_certificate, identity, act)
    assert failure.value.code == "UNIMPLEMENTED"


def test_opening_a_stream_to_nobody_fails(identity):
    async def run() -> None:
        async with listening(FirstCall()) as port:
            pass
        async with (
            SchedulerClient(f"https://localhost:{port}", identity) as scheduler,
            scheduler.signer_requests() as stream,
        ):
            await stream.opened()

    with pytest.raises(Unavailable):
        asyncio.run(run())


def test_an_answer_that_is_not_taken_in_time_is_unavailable(server_certificate, identity):
    async def ask(_requests, _context):
        yield request_bytes(1)
        await asyncio.Event().wait()

    big = scheduler_pb2.SignerResponse(
        approve_pairing=scheduler_pb2.ApprovePairingResponse(rune="r" * 3_000_000)
    )

    async def act(scheduler, _server):
        async with scheduler.signer_requests() as stream:
            await anext(stream)
            for _ in range(20):
                await stream.answer(big)

    with pytest.raises(Unavailable, match="does not take our answer"):
        scenario(
            Server(streams={STREAM: ask}), server_certificate, identity, act, ClientOptions(deadline=0.3)
        )


def test_a_failed_call_leaves_nothing_open(server_certificate, identity):
    async def act(scheduler, _server):
        for _ in range(3):
            with pytest.raises(RemoteError):
                await scheduler.list_invite_codes()

    broken = failing(grpc.StatusCode.INTERNAL, "broken")
    scenario(Server({INVITES: broken}), server_certificate, identity, act)


def test_a_call_on_a_client_that_was_closed_is_unavailable(server_certificate, identity):
    """Another task may close it at any time, and none is to end the daemon by not knowing yet."""

    async def ask(_requests, _context):
        await asyncio.Event().wait()
        yield b""

    async def act(scheduler, server):
        async def read() -> None:
            async with scheduler.signer_requests() as stream:
                await anext(stream)

        under_way = [asyncio.create_task(each) for each in (scheduler.list_invite_codes(), read())]
        while server.open_calls < len(under_way):
            await asyncio.sleep(0.01)
        await scheduler.__aexit__(None, None, None)
        for call in (*under_way, scheduler.list_invite_codes(), read()):
            with pytest.raises(Unavailable, match="was closed") as failure:
                await call
            assert failure.value.code == "CANCELLED"

    scenario(Server({INVITES: never}, streams={STREAM: ask}), server_certificate, identity, act)


def test_a_client_outside_of_its_block_says_so(identity):
    scheduler = SchedulerClient("https://localhost:1", identity)
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(scheduler.list_invite_codes())
