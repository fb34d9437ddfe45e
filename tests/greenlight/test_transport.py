from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ssl
from pathlib import Path

import grpc
import grpc.aio
import pytest
from helpers.ca import Authority, Issued, key_pem
from helpers.grpc_server import FirstCall, Server, listening, server_context, serving, unary

from signerd.core.keys import p256
from signerd.errors import ConfigError, CredentialsError, Rejected, RemoteError, Unavailable
from signerd.greenlight import endpoint, transport
from signerd.greenlight.pb import scheduler_pb2
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import KEEPALIVE_SECONDS, MIB, ClientOptions, Identity

NODE_ID = bytes([2]) + bytes(32)
INVITES = "/scheduler.Scheduler/ListInviteCodes"
WEBHOOK = "/scheduler.Scheduler/AddOutgoingWebhook"


def invites(total_size: int = 0) -> bytes:
    """An answer to ListInviteCodes of about `total_size` bytes."""
    code = scheduler_pb2.InviteCode(code="c" * total_size)
    return scheduler_pb2.ListInviteCodesResponse(invite_code_list=[code]).SerializeToString()


async def list_invites(uri: str, identity: Identity, options: ClientOptions | None = None) -> int:
    """The size of the first code."""
    async with SchedulerClient(uri, identity, options) as scheduler:
        return len((await scheduler.list_invite_codes())[0].code)


def failure_of(server_certificate: Issued, identity: Identity, host: str = "localhost") -> RemoteError:
    async def scenario() -> None:
        async with serving(Server({INVITES: unary(invites())}), server_certificate) as server:
            await list_invites(f"https://{host}:{server.port}", identity)

    with pytest.raises(RemoteError) as failure:
        asyncio.run(scenario())
    return failure.value


def test_talks_over_mutual_tls(server_certificate, identity):
    async def scenario() -> None:
        async with serving(Server({INVITES: unary(invites(7))}), server_certificate) as server:
            assert await list_invites(server.uri, identity) == 7

    asyncio.run(scenario())


def test_refuses_plain_http_before_any_connection(identity):
    with pytest.raises(ConfigError, match="https"):
        asyncio.run(list_invites("http://localhost:1", identity))


def test_says_that_the_ca_does_not_match(server_certificate, identity):
    foreign = Identity(identity.cert_chain, identity.private_key, Authority().ca)
    error = failure_of(server_certificate, foreign)
    assert isinstance(error, Unavailable)
    assert "not signed by our CA" in error.message
    assert "scheduler.ca_file" in (error.hint or "")


def test_says_that_the_server_name_does_not_match(authority, identity):
    elsewhere = authority.issue("GL /services/scheduler", dns=["scheduler.example"])
    error = failure_of(elsewhere, identity)
    assert "does not carry the server name" in error.message


def test_says_that_the_server_s_certificate_has_expired(authority, identity):
    expired = authority.issue("GL /services/scheduler", left=-datetime.timedelta(hours=1))
    error = failure_of(expired, identity)
    assert "its certificate has expired" in error.message


def test_an_address_needs_a_certificate_for_the_address(server_certificate, identity):
    assert "server name" in failure_of(server_certificate, identity, host="127.0.0.1").message


def test_an_unreachable_scheduler_is_unavailable(identity):
    async def scenario() -> None:
        async with listening(FirstCall()) as port:
            pass
        await list_invites(f"https://localhost:{port}", identity)

    with pytest.raises(Unavailable) as failure:
        asyncio.run(scenario())
    assert failure.value.code == "UNAVAILABLE"
    assert failure.value.hint


def test_a_server_without_tls_is_named(identity):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def scenario() -> None:
        async with listening(refuse) as port:
            await list_invites(f"https://localhost:{port}", identity)

    with pytest.raises(Unavailable, match="does not speak TLS"):
        asyncio.run(scenario())


def test_a_key_that_does_not_fit_the_certificate_is_a_credentials_error(authority, identity):
    other = authority.issue("/users/x/y")
    with pytest.raises(CredentialsError, match="do not work together"):
        asyncio.run(
            list_invites("https://localhost:1", Identity(identity.cert_chain, other.key, identity.ca))
        )


@pytest.mark.parametrize("part", ["cert_chain", "private_key", "ca"])
@pytest.mark.parametrize("bad", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_unreadable_identity_is_a_credentials_error(identity, part, bad):
    parts = {
        "cert_chain": identity.cert_chain, "private_key": identity.private_key, "ca": identity.ca,
    }  # fmt: skip
    with pytest.raises(CredentialsError):
        transport.tls_context(Identity(**{**parts, part: bad}))


def identities_left_open() -> list[str]:
    """Descriptors of the memory that a key passes through; others come and go with earlier tests' garbage."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them is gone by now
            found.append(str(descriptor.readlink()))
    assert found
    return [target for target in found if target.startswith("/memfd:signerd-identity")]


def test_the_private_key_is_written_to_no_file_and_its_descriptor_is_closed(identity, monkeypatch, tmp_path):
    seen = []

    load_cert_chain = ssl.SSLContext.load_cert_chain

    def watched(*arguments, **options):
        seen.extend(identities_left_open())
        load_cert_chain(*arguments, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watched)
    transport.tls_context(identity)
    with pytest.raises(CredentialsError):
        transport.tls_context(Identity(identity.cert_chain, b"no key", identity.ca))
    assert len(seen) == 2  # open while it is read, once each time
    assert identities_left_open() == []
    assert list(tmp_path.iterdir()) == []


def test_an_identity_does_not_show_its_key(identity):
    assert "PRIVATE KEY" not in repr(identity)


def first_call(server_certificate, identity, options: ClientOptions) -> tuple[int, dict[int, bytes]]:
    """The frames of a webhook's addition, as they are on the wire, and the port."""
    wire = FirstCall()

    async def scenario() -> int:
        async with listening(wire, server_context(server_certificate)) as port:
            async with SchedulerClient(f"https://localhost:{port}", identity, options) as scheduler:
                with pytest.raises(Unavailable):
                    await scheduler.add_outgoing_webhook(NODE_ID, "https://hook.example/" + "a" * 2000)
            return port

    return asyncio.run(scenario()), wire.frames


@pytest.mark.parametrize("compression", [True, False])
def test_sends_gzip_if_asked_to(server_certificate, identity, compression):
    _, frames = first_call(server_certificate, identity, ClientOptions(compression=compression))
    flag, message = frames[FirstCall.DATA][0], frames[FirstCall.DATA][5:]
    assert flag == int(compression)
    plain = gzip.decompress(message) if compression else message
    assert scheduler_pb2.AddOutgoingWebhookRequest.FromString(plain).uri.endswith("a" * 2000)


def test_takes_gzip_without_being_asked(server_certificate, identity):
    async def scenario() -> None:
        server = Server({INVITES: unary(invites(1_000_000))})
        async with serving(server, server_certificate, compression=grpc.Compression.Gzip):
            assert await list_invites(server.uri, identity) == 1_000_000

    asyncio.run(scenario())


def refused_size(server_certificate, identity, reply: bytes, options: ClientOptions, **server_options):
    async def scenario() -> None:
        async with serving(Server({INVITES: unary(reply)}), server_certificate, **server_options) as server:
            await list_invites(server.uri, identity, options)

    with pytest.raises(Rejected) as failure:
        asyncio.run(scenario())
    assert "size limit" in failure.value.message
    assert failure.value.code == "RESOURCE_EXHAUSTED"


def test_takes_four_mebibytes_and_no_more(server_certificate, identity):
    refused_size(server_certificate, identity, invites(4 * MIB), ClientOptions())


def test_the_decoding_limit_is_an_option(server_certificate, identity):
    async def scenario() -> None:
        async with serving(Server({INVITES: unary(invites(5 * MIB))}), server_certificate) as server:
            options = ClientOptions(max_decoding_message_size=6 * MIB)
            assert await list_invites(server.uri, identity, options) == 5 * MIB

    asyncio.run(scenario())
    refused_size(server_certificate, identity, invites(5000), ClientOptions(max_decoding_message_size=5000))


def test_the_decoding_limit_holds_for_what_gzip_unpacks(server_certificate, identity):
    reply = invites(20 * MIB)
    assert len(gzip.compress(reply)) < MIB
    refused_size(server_certificate, identity, reply, ClientOptions(), compression=grpc.Compression.Gzip)


def test_the_encoding_limit_stops_a_message_before_it_is_sent(server_certificate, identity):
    seen: list[bytes] = []

    async def scenario() -> None:
        async with serving(Server({WEBHOOK: unary(b"", seen)}), server_certificate) as server:
            options = ClientOptions(max_encoding_message_size=1000)
            async with SchedulerClient(server.uri, identity, options) as scheduler:
                await scheduler.add_outgoing_webhook(NODE_ID, "https://x.example/" + "a" * 2000)

    with pytest.raises(Rejected, match="size limit"):
        asyncio.run(scenario())
    assert seen == []


def test_interceptors_see_every_call(server_certificate, identity):
    paths = []

    class Watch(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, client_call_details, request):
            paths.append((client_call_details.method, type(request)))
            client_call_details.metadata.add("x-test", "seen")
            return await continuation(client_call_details, request)

    async def scenario() -> dict[str, str | bytes]:
        async with serving(Server({INVITES: unary(invites())}), server_certificate) as server:
            await list_invites(server.uri, identity, ClientOptions(interceptors=[Watch()]))
            return server.metadata[0]

    assert asyncio.run(scenario())["x-test"] == "seen"
    (path, request), *others = paths
    assert path in (INVITES, INVITES.encode())
    assert request is scheduler_pb2.ListInviteCodesRequest
    assert others == []


@pytest.mark.parametrize(
    ("origin", "authority_seen"),
    [
        ("scheduler.example", "scheduler.example"),
        ("https://scheduler.example", "scheduler.example"),
        (None, "localhost:{port}"),
        ("https://localhost:99", "localhost:99"),
    ],
)
def test_the_origin_replaces_the_authority(server_certificate, identity, origin, authority_seen):
    port, frames = first_call(server_certificate, identity, ClientOptions(origin=origin))
    expected = authority_seen.format(port=port).encode()
    # RFC 7541: a literal name and a literal value, each after its length.
    assert b":authority" + bytes([len(expected)]) + expected in frames[FirstCall.HEADERS]


@pytest.mark.parametrize("origin", ["scheduler.example:99", "http://x", "a b", "[::1]", "https://x/y"])
def test_an_origin_that_cannot_be_used_is_a_configuration_error(identity, origin):
    with pytest.raises(ConfigError, match="origin"):
        asyncio.run(list_invites("https://localhost:1", identity, ClientOptions(origin=origin)))


def arguments(**chosen) -> dict[str, int | str]:
    where = endpoint.parse("https://scheduler.example:99")
    return dict(transport.channel_arguments(where, ClientOptions(**chosen)))


def test_pings_no_more_often_than_a_default_server_tolerates():
    # Two strikes, and a strike for a ping within 300 s of the last while no data goes either way.
    assert KEEPALIVE_SECONDS > 300
    set_up = arguments()
    assert set_up["grpc.keepalive_time_ms"] == 330_000
    assert set_up["grpc.keepalive_timeout_ms"] == 20_000
    assert set_up["grpc.keepalive_permit_without_calls"] == 0
    assert set_up["grpc.http2.max_pings_without_data"] == 0
    assert arguments(keepalive_seconds=400.5)["grpc.keepalive_time_ms"] == 400_500


def test_leaves_repeating_to_us_and_proxies_to_the_user():
    assert arguments()["grpc.enable_retries"] == 0
    assert arguments()["grpc.enable_http_proxy"] == 0
    assert arguments(http_proxy=True)["grpc.enable_http_proxy"] == 1


def test_a_device_key_as_the_peer_writes_it_is_accepted(authority):
    issued = authority.issue("/users/x/y")
    key = p256.load_private_key(issued.key)
    assert b"\r\n" in p256.private_key_pem(key)
    transport.tls_context(Identity(issued.chain, p256.private_key_pem(key), issued.ca))
    transport.tls_context(Identity(issued.chain, key_pem(key), issued.ca))
