"""GetChallenge, Register, Recover: a request that works, and each way in which one thing is wrong."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.greenlight import (
    asynchronous,
    ca_pem,
    challenge_for,
    changed,
    code_of,
    developer,
    nobody,
    node_keys,
    refusal,
    registered,
    registration_request,
    startup_messages,
    stubs,
)

from signerd.core import certificates, csr
from signerd.core.keys import p256
from signerd.dev.backend import Settings
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.pb import scheduler_pb2 as pb
from signerd.units import UnixTime

KEYS, OTHER = node_keys(1), node_keys(2)
INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def fresh_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def spoiled_signature(request_pem: bytes) -> bytes:
    """The request with the last byte of its signature changed."""
    lines = request_pem.decode().split("\r\n")
    der = bytearray(base64.b64decode("".join(lines[1:-2])))
    der[-1] ^= 1
    text = base64.b64encode(bytes(der)).decode()
    return f"{lines[0]}\n{text}\n{lines[-2]}\n".encode()


@asynchronous
async def test_issues_a_chain_for_the_requested_name_and_key(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        certificate = certificates.check_device(
            device.identity.chain,
            ca_pem=ca_pem(greenlight),
            node_id=KEYS.node_id,
            public_key=p256.public_bytes(device.key),
            now=UnixTime(int(time.time())),
        )
        assert certificate.device == "default"
        assert greenlight.devices(KEYS.node_id) == ["default"]


@asynchronous
async def test_leaves_key_rune_and_credentials_to_the_client(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        request = registration_request(KEYS, await challenge_for(anonymous.scheduler, KEYS), fresh_key())
        reply = await anonymous.scheduler.Register(request)
        assert (reply.device_key, reply.rune, reply.creds) == ("", "", b"")


REFUSED: dict[str, tuple[grpc.StatusCode, Callable[[pb.RegistrationRequest], dict[str, Any]]]] = {
    "a node id off the curve": (INVALID, lambda _: {"node_id": b"\x02" + b"\xff" * 32}),
    "a signature by another node": (DENIED, lambda r: {"signature": OTHER.sign_challenge(r.challenge)}),
    "a signature of something else": (DENIED, lambda _: {"signature": KEYS.sign_challenge(bytes(32))}),
    "a truncated signature": (DENIED, lambda r: {"signature": r.signature[:63]}),
    "a recoverable signature": (DENIED, lambda r: {"signature": r.signature + b"\0"}),
    "an invented challenge": (PRECONDITION, lambda _: {"challenge": bytes(32)}),
    "no certificate request": (INVALID, lambda _: {"csr": b""}),
    "a certificate request for another node": (
        DENIED,
        lambda _: {"csr": csr.build(fresh_key(), csr.common_name(OTHER.node_id, "default"))},
    ),
    "a certificate request without a device": (
        DENIED,
        lambda _: {"csr": csr.build(fresh_key(), csr.common_name(KEYS.node_id, ""))},
    ),
    "a certificate request for nobody": (
        DENIED,
        lambda _: {"csr": csr.build(fresh_key(), "GL /users/nobody")},
    ),
    "a certificate request with a bad signature": (DENIED, lambda r: {"csr": spoiled_signature(r.csr)}),
    "an unknown network": (INVALID, lambda _: {"network": "mainnet"}),
    "the keys of another network": (INVALID, lambda _: {"network": "bitcoin"}),
    "an unknown version": (INVALID, lambda _: {"signer_proto": "25.05"}),
    "a short init message": (INVALID, lambda r: {"init_msg": r.init_msg[:-1]}),
    "an init message of another type": (INVALID, lambda r: {"init_msg": b"\0\x71" + r.init_msg[2:]}),
    "another node's init message": (
        INVALID,
        lambda r: {"init_msg": r.init_msg[:36] + OTHER.node_id + r.init_msg[69:]},
    ),
    "an ext key that the init message does not hold": (
        INVALID,
        lambda _: {"bip32_key": OTHER.ext_key("regtest")},
    ),
    "five startup messages": (INVALID, lambda r: {"startupmsgs": list(r.startupmsgs)[:5]}),
    "startup messages in another order": (INVALID, lambda r: {"startupmsgs": list(r.startupmsgs)[::-1]}),
    "a startup answer that is no secret": (
        INVALID,
        lambda r: {
            "startupmsgs": [
                *list(r.startupmsgs)[:5],
                pb.StartupMessage(request=r.startupmsgs[5].request, response=b"\0\x7f" + bytes(31)),
            ]
        },
    ),
    "another node's startup messages": (INVALID, lambda _: {"startupmsgs": startup_messages(OTHER)}),
    "an unknown invite code": (PRECONDITION, lambda _: {"invite_code": "0123456789abcdef"}),
}


@pytest.mark.parametrize("case", REFUSED)
@asynchronous
async def test_refuses_to_register(tmp_path: Path, case: str) -> None:
    expected, change = REFUSED[case]
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        good = registration_request(KEYS, await challenge_for(anonymous.scheduler, KEYS), fresh_key())
        assert expected == await code_of(anonymous.scheduler.Register(changed(good, **change(good))))
        assert not greenlight.nodes
        # The same request but for that one change is accepted.
        challenge = await challenge_for(anonymous.scheduler, KEYS)
        again = changed(good, challenge=challenge, signature=KEYS.sign_challenge(challenge))
        await anonymous.scheduler.Register(again)


@asynchronous
async def test_refuses_a_second_registration(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        await registered(greenlight)
        request = registration_request(KEYS, await challenge_for(anonymous.scheduler, KEYS), fresh_key())
        assert grpc.StatusCode.ALREADY_EXISTS == await code_of(anonymous.scheduler.Register(request))


@asynchronous
async def test_a_challenge_is_spent_by_its_first_use(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        challenge = await challenge_for(anonymous.scheduler, KEYS)
        good = registration_request(KEYS, challenge, fresh_key())
        await code_of(anonymous.scheduler.Register(changed(good, network="mainnet")))
        assert PRECONDITION == await code_of(anonymous.scheduler.Register(good))


@asynchronous
async def test_a_challenge_serves_its_own_scope_and_node_only(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        scheduler = anonymous.scheduler
        for_recovery = await challenge_for(scheduler, KEYS, pb.RECOVER)
        request = registration_request(KEYS, for_recovery, fresh_key())
        assert PRECONDITION == await code_of(scheduler.Register(request))
        for_another = await challenge_for(scheduler, OTHER)
        request = registration_request(KEYS, for_another, fresh_key())
        assert PRECONDITION == await code_of(scheduler.Register(request))


@asynchronous
async def test_a_challenge_expires(tmp_path: Path) -> None:
    now = [1000.0]
    settings = Settings(clock=lambda: now[0])
    async with (
        LocalGreenlight(tmp_path, settings=settings) as greenlight,
        stubs(greenlight, nobody(greenlight)) as anonymous,
    ):
        request = registration_request(KEYS, await challenge_for(anonymous.scheduler, KEYS), fresh_key())
        now[0] += settings.challenge_lifetime
        error = await refusal(anonymous.scheduler.Register(request))
        assert (error.code(), "expired" in (error.details() or "")) == (PRECONDITION, True)


@asynchronous
async def test_challenges_are_random_and_of_32_bytes(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        challenges = {await challenge_for(anonymous.scheduler, KEYS) for _ in range(5)}
        assert [32] * 5 == [len(challenge) for challenge in challenges]


@asynchronous
async def test_a_device_may_not_register_or_recover(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with stubs(greenlight, device.identity) as called:
            assert DENIED == await code_of(challenge_for(called.scheduler, KEYS))
            assert DENIED == await code_of(called.scheduler.Register(pb.RegistrationRequest()))
            assert DENIED == await code_of(called.scheduler.Recover(pb.RecoveryRequest()))


@asynchronous
async def test_recovers_a_registered_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        await registered(greenlight)
        challenge, key = await challenge_for(anonymous.scheduler, KEYS, pb.RECOVER), fresh_key()
        reply = await anonymous.scheduler.Recover(recovery_request(challenge, key))
        assert p256.public_bytes(key) == certificates.read_device(reply.device_cert.encode()).public_key


@asynchronous
async def test_refuses_to_recover_an_unknown_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        challenge = await challenge_for(anonymous.scheduler, KEYS, pb.RECOVER)
        request = recovery_request(challenge, fresh_key())
        assert grpc.StatusCode.NOT_FOUND == await code_of(anonymous.scheduler.Recover(request))


@asynchronous
async def test_refuses_to_recover_with_a_signature_of_another_node(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        await registered(greenlight)
        challenge = await challenge_for(anonymous.scheduler, KEYS, pb.RECOVER)
        good = recovery_request(challenge, fresh_key())
        forged = changed(good, signature=OTHER.sign_challenge(challenge))
        assert DENIED == await code_of(anonymous.scheduler.Recover(forged))


def recovery_request(challenge: bytes, key: ec.EllipticCurvePrivateKey) -> pb.RecoveryRequest:
    name = csr.common_name(KEYS.node_id, f"recovered-{challenge[:8].hex()}")
    return pb.RecoveryRequest(
        challenge=challenge,
        signature=KEYS.sign_challenge(challenge),
        node_id=KEYS.node_id,
        csr=csr.build(key, name),
    )


@asynchronous
async def test_an_invite_code_registers_one_node(tmp_path: Path) -> None:
    settings = Settings(require_invite_codes=True)
    async with (
        LocalGreenlight(tmp_path, settings=settings) as greenlight,
        stubs(greenlight, nobody(greenlight)) as anonymous,
    ):
        code = greenlight.new_invite_code()
        for keys, invite, expected in (
            (KEYS, "", PRECONDITION),
            (KEYS, code, None),
            (OTHER, code, PRECONDITION),
        ):
            challenge = await challenge_for(anonymous.scheduler, keys)
            request = changed(registration_request(keys, challenge, fresh_key()), invite_code=invite)
            if expected is None:
                await anonymous.scheduler.Register(request)
            else:
                assert expected == await code_of(anonymous.scheduler.Register(request))


@asynchronous
async def test_a_developer_needs_no_invite_code(tmp_path: Path) -> None:
    settings = Settings(require_invite_codes=True)
    async with (
        LocalGreenlight(tmp_path, settings=settings) as greenlight,
        stubs(greenlight, developer(greenlight)) as called,
    ):
        challenge = await challenge_for(called.scheduler, KEYS)
        await called.scheduler.Register(registration_request(KEYS, challenge, fresh_key()))
        assert KEYS.node_id in greenlight.nodes


@asynchronous
async def test_serves_nobody_without_a_certificate_of_its_own_root(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path / "a") as greenlight, LocalGreenlight(tmp_path / "b") as other:
        for identity in (None, nobody(other)):
            async with stubs(greenlight, identity) as called:
                assert grpc.StatusCode.UNAVAILABLE == await code_of(challenge_for(called.scheduler, KEYS))
        assert not greenlight.calls.order()


@asynchronous
async def test_refuses_bytes_that_are_no_request(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        garbled: Any = anonymous._channel.unary_unary("/scheduler.Scheduler/GetChallenge")
        assert INVALID == await code_of(garbled(b"\xff\xff\xff"))
