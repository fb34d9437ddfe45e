from __future__ import annotations

import asyncio
import datetime

import pytest
from helpers.ca import Authority, Issued
from helpers.grpc_server import listening, server_context

from signerd.errors import CredentialsError, ProtocolViolation, Unavailable
from signerd.greenlight import peer_certificate
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.transport import Identity

WHERE = Endpoint("localhost", 1)


async def read_on(reader, _writer) -> None:
    await reader.read(100)


def fetch(certificate: Issued, identity: Identity, *, name="localhost") -> bytes:
    async def scenario() -> bytes:
        async with listening(read_on, server_context(certificate)) as port:
            return await peer_certificate.fetch(
                Endpoint("localhost", port), identity, server_name=name, seconds=20
            )

    return asyncio.run(scenario())


def test_fetches_the_leaf_that_the_server_holds(node_certificate, identity):
    assert fetch(node_certificate, identity) == node_certificate.der


def test_shows_our_own_certificate(node_certificate, identity, keys):
    shown = []

    async def scenario() -> None:
        looked = asyncio.Event()

        async def look(_reader, writer) -> None:
            subject = dict(pair for (pair,) in writer.get_extra_info("peercert")["subject"])
            shown.append(subject["commonName"])
            looked.set()

        async with listening(look, server_context(node_certificate)) as port:
            await peer_certificate.fetch(
                Endpoint("localhost", port), identity, server_name="localhost", seconds=20
            )
            await asyncio.wait_for(looked.wait(), 20)

    asyncio.run(scenario())
    assert shown == [f"/users/{keys.node_id.hex()}/default"]


def test_refuses_a_certificate_of_another_ca(identity, keys):
    foreign = Authority().issue(f"GL /users/{keys.node_id.hex()}/node")
    # The server takes our CA's clients, so that ours is the side that refuses.
    stranger = Issued(foreign.chain, foreign.key, identity.ca)
    with pytest.raises(Unavailable, match="its certificate is refused") as failure:
        fetch(stranger, identity)
    assert "scheduler.ca_file" in (failure.value.hint or "")


def test_refuses_a_certificate_for_another_name(node_certificate, identity):
    with pytest.raises(Unavailable, match="its certificate is refused"):
        fetch(node_certificate, identity, name="gl1.gl.blckstrm.com")


def test_refuses_an_expired_certificate(authority, identity, keys):
    expired = authority.issue(f"GL /users/{keys.node_id.hex()}/node", left=-datetime.timedelta(hours=1))
    with pytest.raises(Unavailable, match="expired"):
        fetch(expired, identity)


def test_refuses_a_certificate_that_is_for_clients_only(authority, identity, keys):
    client = authority.issue(f"GL /users/{keys.node_id.hex()}/node", usage=["client"])
    with pytest.raises(Unavailable, match="its certificate is refused"):
        fetch(client, identity)


def without_tls(behaviour, identity, *, seconds=20.0) -> Unavailable:
    async def scenario() -> None:
        async with listening(behaviour) as port:
            await peer_certificate.fetch(
                Endpoint("localhost", port), identity, server_name="localhost", seconds=seconds
            )

    with pytest.raises(Unavailable) as failure:
        asyncio.run(scenario())
    return failure.value


@pytest.mark.parametrize("code", [221, 222, 223, 224, 225])
def test_explains_the_alerts_of_the_proxy_before_hosted_nodes(identity, code):
    async def alert(reader, writer) -> None:
        await reader.read(100)
        writer.write(bytes([0x15, 3, 3, 0, 2, 2, code]))
        await writer.drain()

    error = without_tls(alert, identity)
    assert peer_certificate._PROXY_ALERTS[code] in error.message


def test_explains_any_other_alert_as_a_failed_handshake(identity):
    async def alert(reader, writer) -> None:
        await reader.read(100)
        writer.write(bytes([0x15, 3, 3, 0, 2, 2, 40]))
        await writer.drain()

    assert "the handshake failed" in without_tls(alert, identity).message


def test_a_server_without_tls_fails_the_handshake(identity):
    async def greet(reader, writer) -> None:
        await reader.read(100)
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()

    assert "the handshake failed" in without_tls(greet, identity).message


def test_a_server_that_hangs_up_is_unavailable(identity):
    async def hang_up(reader, _writer) -> None:
        await reader.read(100)

    assert "UNAVAILABLE" in (without_tls(hang_up, identity).code or "")


def test_a_server_that_says_nothing_is_given_up(identity):
    async def silence(_reader, _writer) -> None:
        await asyncio.Event().wait()

    error = without_tls(silence, identity, seconds=0.05)
    assert error.code == "DEADLINE_EXCEEDED"


def test_nobody_there_is_unavailable(identity):
    async def scenario() -> None:
        async with listening(read_on) as port:
            pass
        await peer_certificate.fetch(
            Endpoint("localhost", port), identity, server_name="localhost", seconds=20
        )

    with pytest.raises(Unavailable, match="cannot connect to the node"):
        asyncio.run(scenario())


def test_a_name_that_does_not_resolve_is_unavailable(identity):
    with pytest.raises(Unavailable):
        asyncio.run(
            peer_certificate.fetch(Endpoint("no-such.invalid", 1), identity, server_name="x", seconds=20)
        )


def test_our_own_unfit_key_is_a_credentials_error(authority, identity):
    other = authority.issue("x")
    with pytest.raises(CredentialsError):
        asyncio.run(
            peer_certificate.fetch(
                WHERE, Identity(identity.cert_chain, other.key, identity.ca), server_name="x", seconds=1
            )
        )


OTHER = "02" + "11" * 32


@pytest.mark.parametrize(
    "name", ["GL /users/{id}/node", "/users/{id}/phone", "GL /users/{id}", "x/users/{id}/y/z"]
)
def test_accepts_a_certificate_of_our_node(authority, keys, name):
    leaf = authority.issue(name.format(id=keys.node_id.hex())).der
    peer_certificate.check(leaf, node_id=keys.node_id, endpoint=WHERE)


@pytest.mark.parametrize("name", ["GL /services/nodes", "localhost", "node", "GL /users", "/"])
def test_accepts_the_operator_s_own_services(authority, keys, name):
    peer_certificate.check(authority.issue(name).der, node_id=keys.node_id, endpoint=WHERE)


@pytest.mark.parametrize(
    "name",
    [
        "GL /users/nobody",
        "/users/nobody",
        f"GL /users/{OTHER}/node",
        f"/users/{OTHER}/default",
        "GL /users/",
        "GL /users//{id}",
        "GL /users/{ID}/node",
        "GL /users/ {id}/node",
        "GL /users/{id}00/node",
    ],
)
def test_refuses_a_certificate_of_any_other_user(authority, keys, name):
    leaf = authority.issue(name.format(id=keys.node_id.hex(), ID=keys.node_id.hex().upper())).der
    with pytest.raises(ProtocolViolation, match="somebody else"):
        peer_certificate.check(leaf, node_id=keys.node_id, endpoint=WHERE)


def test_refuses_a_certificate_that_another_user_issued(keys):
    issuer = Authority(issuer_name=f"GL /users/{OTHER}")
    leaf = issuer.issue("localhost").der
    with pytest.raises(ProtocolViolation, match="somebody else"):
        peer_certificate.check(leaf, node_id=keys.node_id, endpoint=WHERE)
    leaf = issuer.issue(f"GL /users/{keys.node_id.hex()}/node").der
    with pytest.raises(ProtocolViolation, match="somebody else"):
        peer_certificate.check(leaf, node_id=keys.node_id, endpoint=WHERE)


def test_an_unreadable_certificate_is_a_protocol_violation(keys):
    with pytest.raises(ProtocolViolation):
        peer_certificate.check(b"junk", node_id=keys.node_id, endpoint=WHERE)
