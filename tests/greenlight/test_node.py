from __future__ import annotations

import asyncio

import pytest
from helpers.ca import Authority
from helpers.grpc_server import Server, listening, server_context, serving, unary

from signerd.errors import ProtocolViolation, Rejected, RemoteError, Unavailable
from signerd.greenlight import node as nodes
from signerd.greenlight import peer_certificate
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.node import NodeClient
from signerd.greenlight.pb import greenlight_pb2 as pb
from signerd.greenlight.transport import MIB, ClientOptions
from signerd.greenlight.values import Undecodable

REQUESTS = "/greenlight.Node/StreamHsmRequests"
RESPOND = "/greenlight.Node/RespondHsmRequest"
GARBAGE = b"\xff\xff\xff"


def heartbeat(state_size: int = 0) -> bytes:
    entry = pb.SignerStateEntry(key="k", value=bytes(state_size))
    return pb.HsmRequest(request_id=0, raw=b"\x07\xd8", signer_state=[entry]).SerializeToString()


def scenario(server, certificate, identity, keys, act, **chosen):
    """Run `act(node client)`; the node is dialled by its address, as it happens in practice."""

    async def run():
        async with serving(server, certificate):
            uri = f"https://127.0.0.1:{server.port}"
            async with NodeClient(uri, identity, node_id=keys.node_id, **chosen) as node:
                result = await act(node)
            if server.open_calls:
                await asyncio.wait_for(server.idle.wait(), 10)
            return result

    return asyncio.run(run())


async def requests_of(node) -> list[pb.HsmRequest | Undecodable]:
    async with node.requests() as stream:
        await stream.opened()
        return [request async for request in stream]


def test_takes_requests_and_answers_them(node_certificate, identity, keys):
    answers: list[bytes] = []

    async def ask(_requests, _context):
        yield heartbeat()
        yield GARBAGE
        yield pb.HsmRequest(request_id=1000, raw=b"\x00\x01").SerializeToString()

    async def act(node):
        received = await requests_of(node)
        for request in received:
            if not isinstance(request, Undecodable):
                await node.respond(pb.HsmResponse(request_id=request.request_id, raw=b"\x00\x65"))
        return received

    server = Server({RESPOND: unary(b"", answers)}, {REQUESTS: ask})
    first, garbage, second = scenario(server, node_certificate, identity, keys, act)
    assert (first.raw, second.raw, garbage) == (b"\x07\xd8", b"\x00\x01", Undecodable(GARBAGE))
    assert [pb.HsmResponse.FromString(raw).request_id for raw in answers] == [0, 1000]


def test_a_stream_that_is_left_is_closed_at_the_node(node_certificate, identity, keys):
    async def ask(_requests, _context):
        yield heartbeat()
        await asyncio.Event().wait()

    server = Server(streams={REQUESTS: ask})

    async def act(node):
        for _ in range(3):
            async with node.requests() as stream:
                await anext(stream)
            await asyncio.wait_for(server.idle.wait(), 10)

    scenario(server, node_certificate, identity, keys, act)


def once(state_size: int):
    async def ask(_requests, _context):
        yield heartbeat(state_size)

    return ask


def test_takes_the_state_of_a_large_node(node_certificate, identity, keys):
    server = Server(streams={REQUESTS: once(33 * MIB)})

    async def act(node) -> int:
        # Only the size: asyncio.run describes a task's result in words, all 33 MiB of it.
        (request,) = await requests_of(node)
        return len(request.signer_state[0].value)

    assert scenario(server, node_certificate, identity, keys, act) == 33 * MIB


def test_a_request_over_the_limit_ends_the_stream_with_a_reason(node_certificate, identity, keys):
    server = Server(streams={REQUESTS: once(10_000)})
    with pytest.raises(Rejected, match="size limit") as failure:
        scenario(server, node_certificate, identity, keys, requests_of, message_limit=9000)
    assert failure.value.code == "RESOURCE_EXHAUSTED"


def test_sends_an_answer_larger_than_the_decoding_limit(node_certificate, identity, keys):
    answers: list[bytes] = []

    async def act(node):
        await node.respond(pb.HsmResponse(raw=bytes(10_000)))

    server = Server({RESPOND: unary(b"", answers)})
    scenario(server, node_certificate, identity, keys, act, message_limit=9000)
    assert len(answers[0]) > 10_000


def test_garbage_for_an_answer_is_a_protocol_violation(node_certificate, identity, keys):
    async def act(node):
        await node.respond(pb.HsmResponse())

    with pytest.raises(ProtocolViolation, match="no Empty"):
        scenario(Server({RESPOND: unary(GARBAGE)}), node_certificate, identity, keys, act)


@pytest.mark.parametrize("name", ["GL /users/nobody", "GL /users/" + "02" * 33 + "/node"])
def test_says_nothing_to_somebody_else_under_the_name_of_localhost(authority, identity, keys, name):
    server = Server(streams={REQUESTS: once(0)})
    with pytest.raises(ProtocolViolation, match="somebody else"):
        scenario(server, authority.issue(name), identity, keys, requests_of)
    assert server.metadata == []


def test_grpc_accepts_only_the_certificate_that_was_looked_at(
    authority, node_certificate, identity, keys, monkeypatch
):
    """Somebody answers the first connection honestly (it is passed on to the node), the second himself."""

    async def swap(*_args, **_kwargs) -> bytes:
        return node_certificate.der

    monkeypatch.setattr(peer_certificate, "fetch", swap)
    for other in ("GL /users/nobody", f"GL /users/{keys.node_id.hex()}/node"):
        server = Server(streams={REQUESTS: once(0)})
        with pytest.raises(Unavailable, match="not signed by our CA"):
            scenario(server, authority.issue(other), identity, keys, requests_of)
        assert server.metadata == []


def test_the_looked_at_certificate_still_needs_the_right_name(authority, identity, keys, monkeypatch):
    named = authority.issue(f"GL /users/{keys.node_id.hex()}/node", dns=["elsewhere.example"])

    async def skip(*_args, **_kwargs) -> bytes:
        return named.der

    monkeypatch.setattr(peer_certificate, "fetch", skip)
    with pytest.raises(Unavailable, match="server name"):
        scenario(Server(streams={REQUESTS: once(0)}), named, identity, keys, requests_of)


def test_a_node_of_another_ca_is_refused(identity, keys):
    foreign = Authority()
    certificate = foreign.issue(f"GL /users/{keys.node_id.hex()}/node")
    with pytest.raises(Unavailable, match="its certificate is refused"):
        scenario(Server(streams={REQUESTS: once(0)}), certificate, identity, keys, requests_of)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "junk", "", "https://127.0.0.1:1/x"])
def test_a_bad_address_is_the_scheduler_s_fault(identity, keys, uri):
    async def run() -> None:
        async with NodeClient(uri, identity, node_id=keys.node_id):
            raise AssertionError

    with pytest.raises(ProtocolViolation, match="handed out"):
        asyncio.run(run())


def test_an_address_where_nobody_listens_is_unavailable(identity, keys, node_certificate):
    async def read_on(reader, _writer) -> None:
        await reader.read(100)

    async def run() -> None:
        async with listening(read_on, server_context(node_certificate)) as port:
            pass
        async with NodeClient(f"https://localhost:{port}", identity, node_id=keys.node_id):
            raise AssertionError

    with pytest.raises(Unavailable):
        asyncio.run(run())


def test_a_node_that_goes_away_between_is_unavailable(identity, keys, node_certificate):
    async def act(node):
        await node.respond(pb.HsmResponse())

    async def run() -> None:
        async with serving(Server(), node_certificate) as server:
            node = NodeClient(
                f"https://localhost:{server.port}",
                identity,
                ClientOptions(deadline=20),
                node_id=keys.node_id,
            )
            await node.__aenter__()
        try:
            await act(node)
        finally:
            await node.__aexit__(None, None, None)

    with pytest.raises(RemoteError) as failure:
        asyncio.run(run())
    assert failure.value.code == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gl1qqq.gl.blckstrm.com", "gl1qqq.gl.blckstrm.com"),
        ("node.example", "localhost"),
        ("127.0.0.1", "localhost"),
        ("::1", "localhost"),
    ],
)
def test_expects_localhost_except_at_the_hosted_service(host, name):
    assert nodes.server_name(Endpoint(host, 443)) == name
