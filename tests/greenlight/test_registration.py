from __future__ import annotations

import asyncio
import datetime
import time

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.ca import Authority, Issued
from helpers.grpc_server import Server, failing, serving, unary

from signerd.core import certificates, csr, startup
from signerd.core.keys import node, p256, secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.core.runes.rune import Rune
from signerd.errors import AccessDenied, AlreadyExists, NotFound, ProtocolViolation
from signerd.greenlight import registration
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.pb import scheduler_pb2 as pb
from signerd.greenlight.scheduler import SchedulerClient
from signerd.units import Secret, UnixTime

CHALLENGE = bytes(range(32))
GET_CHALLENGE = "/scheduler.Scheduler/GetChallenge"
REGISTER = "/scheduler.Scheduler/Register"
RECOVER = "/scheduler.Scheduler/Recover"

SENT = {
    GET_CHALLENGE: pb.ChallengeRequest,
    REGISTER: pb.RegistrationRequest,
    RECOVER: pb.RecoveryRequest,
}


class World:
    """A scheduler that issues what `issue` makes of a certificate request, and a client of it."""

    def __init__(self, authority: Authority, keys: NodeKeys, server_certificate: Issued, identity) -> None:
        self.authority = authority
        self.keys = keys
        self.device_key = ec.generate_private_key(ec.SECP256R1())
        self.seen: dict[str, list[bytes]] = {path: [] for path in SENT}
        self.challenge = CHALLENGE
        self.issue = self.honest
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self._certificate = server_certificate
        self._identity = identity

    def honest(self, request: csr.CertificateRequest) -> pb.RegistrationResponse:
        return self.certify(request.common_name)

    def certify(self, name: str, authority: Authority | None = None, **chosen) -> pb.RegistrationResponse:
        key = chosen.pop("public_key", self.device_key.public_key())
        issued = (authority or self.authority).issue(name, public_key=key, **chosen)
        return pb.RegistrationResponse(device_cert=issued.chain.decode())

    def run(self, *, recover: bool = False, **chosen) -> Credentials:
        kind = pb.RecoveryRequest if recover else pb.RegistrationRequest

        def answer(raw: bytes) -> bytes:
            return self.issue(csr.read(kind.FromString(raw).csr)).SerializeToString()

        path = RECOVER if recover else REGISTER
        challenge = pb.ChallengeResponse(challenge=self.challenge).SerializeToString()
        behaviour = failing(*self.failure) if self.failure else unary(answer, self.seen[path])
        server = Server({GET_CHALLENGE: unary(challenge, self.seen[GET_CHALLENGE]), path: behaviour})

        async def scenario() -> Credentials:
            async with (
                serving(server, self._certificate),
                SchedulerClient(server.uri, self._identity) as scheduler,
            ):
                common = {
                    "device_key": self.device_key,
                    "ca": self.authority.ca,
                    "now": lambda: UnixTime(int(time.time())),
                }
                if recover:
                    return await registration.recover(scheduler, self.keys, **common)
                return await registration.register(
                    scheduler, self.keys, network="regtest", signer_version="v25.05",
                    invite_code="invite", **common, **chosen,
                )  # fmt: skip

        return asyncio.run(scenario())

    def sent(self, path: str):
        (raw,) = self.seen[path]
        return SENT[path].FromString(raw)


@pytest.fixture
def world(authority, keys, server_certificate, identity) -> World:
    return World(authority, keys, server_certificate, identity)


def signed_by_node(world: World, request) -> bool:
    digest = node.message_digest(request.challenge)
    return secp256k1.verify_compact(world.keys.node_id, request.signature, digest)


def test_registers_with_every_field_and_a_challenge_for_this_scope(world):
    world.run()
    keys = world.keys
    asked = world.sent(GET_CHALLENGE)
    assert (asked.scope, asked.node_id) == (pb.ChallengeScope.REGISTER, keys.node_id)
    sent = world.sent(REGISTER)
    assert sent.node_id == keys.node_id
    assert sent.bip32_key == keys.ext_key("regtest")
    assert [(m.request, m.response) for m in sent.startupmsgs] == [
        (m.request, m.response) for m in startup.startup_messages(keys, "regtest")
    ]
    assert sent.network == "regtest"
    assert sent.challenge == CHALLENGE
    assert signed_by_node(world, sent)
    assert sent.signer_proto == "v25.05"
    assert sent.init_msg == startup.init_message(keys, "regtest")
    assert sent.invite_code == "invite"
    request = csr.read(sent.csr)
    assert request.common_name == f"/users/{keys.node_id.hex()}/default"
    assert request.public_key == p256.public_bytes(world.device_key)
    assert request.signature_valid


def test_recovers_under_a_name_made_of_the_challenge(world):
    world.run(recover=True)
    asked = world.sent(GET_CHALLENGE)
    assert (asked.scope, asked.node_id) == (pb.ChallengeScope.RECOVER, world.keys.node_id)
    sent = world.sent(RECOVER)
    assert (sent.node_id, sent.challenge) == (world.keys.node_id, CHALLENGE)
    assert signed_by_node(world, sent)
    name = f"/users/{world.keys.node_id.hex()}/recovered-0001020304050607"
    assert csr.read(sent.csr).common_name == name


@pytest.mark.parametrize("recover", [False, True])
def test_the_credentials_hold_our_key_the_issued_chain_and_a_rune_for_the_key(world, recover):
    credentials = world.run(recover=recover)
    public_key = p256.public_bytes(world.device_key)
    assert p256.public_bytes(p256.load_private_key(credentials.key)) == public_key
    assert credentials.ca == world.authority.ca
    assert certificates.read_device(credentials.cert).public_key == public_key
    # The first restriction is the rune's own number, the second is ours.
    assert [
        [(a.field, a.op, a.value) for a in restriction.alternatives]
        for restriction in Rune.from_base64(credentials.rune).restrictions
    ][-1] == [("pubkey", "=", public_key.hex())]
    assert Credentials.decode(credentials.encode()) == credentials


@pytest.mark.parametrize("size", [0, 31, 33, 64])
@pytest.mark.parametrize("recover", [False, True])
def test_signs_nothing_but_a_challenge_of_32_bytes(world, recover, size):
    world.challenge = bytes(size)
    with pytest.raises(ProtocolViolation, match="challenge"):
        world.run(recover=recover)
    assert world.seen[REGISTER] == world.seen[RECOVER] == []


def refuses(world: World, issue, match: str) -> None:
    world.issue = issue
    for recover in (False, True):
        with pytest.raises(ProtocolViolation, match=match) as violation:
            world.run(recover=recover)
        assert "no credentials were written" in (violation.value.hint or "")


def test_refuses_a_device_key_made_by_the_scheduler(world):
    def with_key(request):
        reply = world.honest(request)
        reply.device_key = "-----BEGIN PRIVATE KEY-----"
        return reply

    refuses(world, with_key, "private key of its own choice")


def test_refuses_a_certificate_for_another_key(world):
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    refuses(world, lambda request: world.certify(request.common_name, public_key=other), "device key")


def test_refuses_a_certificate_for_another_node(world):
    other = NodeKeys.derive(Secret(bytes(32))).node_id.hex()
    refuses(world, lambda _: world.certify(f"/users/{other}/default"), "belong to node")


@pytest.mark.parametrize("name", ["GL /users/nobody", "default", "/users/xyz/default"])
def test_refuses_a_certificate_that_is_no_device_s(world, name):
    refuses(world, lambda _: world.certify(name), "does not belong to a node")


def test_refuses_a_certificate_of_another_ca(world):
    other = Authority()
    refuses(world, lambda request: world.certify(request.common_name, other), "does not lead to the CA")


def test_refuses_a_certificate_that_has_expired(world):
    past = -datetime.timedelta(hours=1)
    refuses(world, lambda request: world.certify(request.common_name, left=past), "expired")


@pytest.mark.parametrize("text", ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_refuses_what_is_no_certificate(world, text):
    refuses(world, lambda _: pb.RegistrationResponse(device_cert=text), "certificate")


REFUSALS = [
    (False, (grpc.StatusCode.ALREADY_EXISTS, "node exists"), AlreadyExists, "signerd recover"),
    (False, (grpc.StatusCode.UNKNOWN, "ALREADY_EXISTS"), AlreadyExists, "signerd recover"),
    (False, (grpc.StatusCode.PERMISSION_DENIED, "invite"), AccessDenied, "--invite-code"),
    (True, (grpc.StatusCode.NOT_FOUND, ""), NotFound, "signerd register"),
    (True, (grpc.StatusCode.INTERNAL, "no rows returned"), NotFound, "signerd register"),
]


@pytest.mark.parametrize(("recover", "status", "kind", "hint"), REFUSALS)
def test_a_refusal_says_what_to_do_next(world, recover, status, kind, hint):
    world.failure = status
    with pytest.raises(kind) as refusal:
        world.run(recover=recover)
    assert hint in (refusal.value.hint or "")
    assert refusal.value.code == status[0].name
