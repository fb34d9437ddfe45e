"""PairDevice, GetPairingData, ApprovePairing, SignerRequestsStream: the three parties, played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.greenlight import Device, asynchronous, changed, code_of, device_stubs, nobody, registered, stubs

from signerd.core import certificates, csr
from signerd.core.keys import p256
from signerd.core.runes import rune as runes
from signerd.dev.backend import Settings
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
DENIED = grpc.StatusCode.PERMISSION_DENIED

NEW_KEY = ec.generate_private_key(ec.SECP256R1())
DEVICE_ID = p256.public_bytes(NEW_KEY).hex()
RESTRICTIONS = f"pubkey={DEVICE_ID}&method^list"
REQUEST = csr.build(NEW_KEY, csr.pairing_common_name("phone"))


def pair_request() -> pb.PairDeviceRequest:
    return pb.PairDeviceRequest(
        device_id=DEVICE_ID,
        csr=REQUEST,
        device_name="phone",
        description="my phone",
        restrictions=RESTRICTIONS,
    )


def approval(device: Device) -> pb.ApprovePairingRequest:
    timestamp = 1_700_000_000
    signed = (
        DEVICE_ID.encode() + timestamp.to_bytes(8, "big") + device.node_id + b"phone" + RESTRICTIONS.encode()
    )
    return pb.ApprovePairingRequest(
        device_id=DEVICE_ID,
        timestamp=timestamp,
        device_name="phone",
        restrictions=RESTRICTIONS,
        sig=p256.sign(device.key, signed),
        pubkey=p256.public_bytes(device.key),
        rune=device.rune,
    )


def granted(device: Device, request: pb.SignerRequest) -> pb.SignerResponse:
    """The answer of a signer that agrees to everything."""
    rune = runes.create(device.keys.rune_secret, RESTRICTIONS.split("&")).to_base64()
    answer = pb.ApprovePairingResponse(device_id=DEVICE_ID, node_id=device.node_id, rune=rune)
    return pb.SignerResponse(request_id=request.request_id, approve_pairing=answer)


def refused(request: pb.SignerRequest) -> pb.SignerResponse:
    return pb.SignerResponse(request_id=request.request_id, empty=greenlight_pb2.Empty())


@asynccontextmanager
async def signer(greenlight: LocalGreenlight, device: Device) -> AsyncIterator[Any]:
    """A signer's open stream: `.read()` and `.write()`."""
    async with device_stubs(greenlight, device) as called:
        stream = called.scheduler.SignerRequestsStream()
        try:
            yield stream
        finally:
            stream.cancel()


@asynccontextmanager
async def waiting_phone(greenlight: LocalGreenlight) -> AsyncIterator[asyncio.Future[Any]]:
    """A new device whose PairDevice call is open."""
    async with stubs(greenlight, nobody(greenlight)) as anonymous:
        call = anonymous.pairing.PairDevice(pair_request())
        await greenlight.calls.reach("PairDevice", 1)
        try:
            yield asyncio.ensure_future(call)
        finally:
            call.cancel()


@asynchronous
async def test_a_phone_is_paired(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with (
            signer(greenlight, device) as stream,
            waiting_phone(greenlight) as phone,
            device_stubs(greenlight, device) as called,
        ):
            data = await called.pairing.GetPairingData(pb.GetPairingDataRequest(device_id=DEVICE_ID))
            assert pair_request().SerializeToString() == data.SerializeToString()
            await called.pairing.ApprovePairing(approval(device))
            request = await stream.read()
            assert approval(device).rune == request.approve_pairing.rune
            await stream.write(granted(device, request))
            paired = await phone
            certificate = certificates.read_device(paired.device_cert.encode())
            assert (device.node_id, "phone") == (certificate.node_id, certificate.device)
            assert p256.public_bytes(NEW_KEY) == certificate.public_key
            assert granted(device, request).approve_pairing.rune == paired.rune
            assert (DEVICE_ID, "") == (paired.device_id, paired.device_key)
        assert ["default", "phone"] == greenlight.devices(device.node_id)
        assert not greenlight.pairings


@asynchronous
async def test_a_paired_device_calls_as_the_node_it_belongs_to(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with (
            signer(greenlight, device) as stream,
            waiting_phone(greenlight) as phone,
            device_stubs(greenlight, device) as called,
        ):
            await called.pairing.ApprovePairing(approval(device))
            await stream.write(granted(device, await stream.read()))
            chain = (await phone).device_cert.encode()
        from signerd.dev.certificates import Identity

        async with stubs(greenlight, Identity(chain, p256.private_key_pem(NEW_KEY))) as called:
            info = await called.scheduler.Schedule(pb.ScheduleRequest(node_id=device.node_id))
            assert info.grpc_uri


@asynchronous
async def test_an_approval_waits_for_a_signer_to_attach(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with waiting_phone(greenlight) as phone, device_stubs(greenlight, device) as called:
            await called.pairing.ApprovePairing(approval(device))
            async with signer(greenlight, device) as stream:
                await stream.write(granted(device, await stream.read()))
                assert (await phone).rune


@asynchronous
async def test_the_new_device_hears_of_a_refusal(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with (
            signer(greenlight, device) as stream,
            waiting_phone(greenlight) as phone,
            device_stubs(greenlight, device) as called,
        ):
            await called.pairing.ApprovePairing(approval(device))
            await stream.write(refused(await stream.read()))
            assert DENIED == await code_of(phone)


@asynchronous
async def test_one_signer_that_agrees_is_enough(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with (
            signer(greenlight, device) as one,
            signer(greenlight, device) as two,
            waiting_phone(greenlight) as phone,
            device_stubs(greenlight, device) as called,
        ):
            await greenlight.calls.reach("SignerRequestsStream", 2)
            await called.pairing.ApprovePairing(approval(device))
            await one.write(refused(await one.read()))
            await two.write(granted(device, await two.read()))
            assert (await phone).rune


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: changed(answer, device_id=DEVICE_ID.upper()),
        lambda answer: changed(answer, node_id=bytes(33)),
        lambda answer: changed(answer, rune=""),
        lambda answer: changed(answer, rune="AAAA"),
        lambda answer: changed(answer, rune=runes.Rune(bytes(32), ()).to_base64()),
    ],
    ids=["another device", "another node", "no rune", "half a rune", "a rune bound to no key"],
)
@asynchronous
async def test_an_answer_that_no_signer_gives_is_set_aside(
    tmp_path: Path, spoil: Callable[[pb.ApprovePairingResponse], pb.ApprovePairingResponse]
) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with (
            signer(greenlight, device) as stream,
            waiting_phone(greenlight) as phone,
            device_stubs(greenlight, device) as called,
        ):
            await called.pairing.ApprovePairing(approval(device))
            good = granted(device, await stream.read())
            wrong = pb.SignerResponse(request_id=good.request_id, approve_pairing=spoil(good.approve_pairing))
            await stream.write(wrong)
            await greenlight.node(device.node_id).approvals.wrong_answers.reach(1)
            assert not phone.done()
            await stream.write(good)
            assert (await phone).rune


@asynchronous
async def test_request_ids_rise_and_are_never_used_again(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        approvals = greenlight.node(device.node_id).approvals
        async with signer(greenlight, device) as stream:
            seen = []
            for _ in range(3):
                asking = asyncio.ensure_future(approvals.approve(approval(device)))
                request = await stream.read()
                seen.append(request.request_id)
                await stream.write(granted(device, request))
                await asking
            assert sorted(set(seen)) == seen


@asynchronous
async def test_the_session_dies_with_the_call(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with device_stubs(greenlight, device) as called:
            async with waiting_phone(greenlight):
                await called.pairing.GetPairingData(pb.GetPairingDataRequest(device_id=DEVICE_ID))
            ask = pb.GetPairingDataRequest(device_id=DEVICE_ID)
            # The server hears of the cancelled call a moment later.
            while (await called.pairing.GetPairingData(ask).code()) is grpc.StatusCode.OK:
                pass
            assert NOT_FOUND == await code_of(called.pairing.GetPairingData(ask))
            assert NOT_FOUND == await code_of(called.pairing.ApprovePairing(approval(device)))


@asynchronous
async def test_a_pairing_that_nobody_approves_times_out(tmp_path: Path) -> None:
    settings = Settings(pairing_timeout=0.01)
    async with LocalGreenlight(tmp_path, settings=settings) as greenlight:
        async with stubs(greenlight, nobody(greenlight)) as anonymous:
            call = anonymous.pairing.PairDevice(pair_request())
            assert grpc.StatusCode.DEADLINE_EXCEEDED == await code_of(call)
        assert not greenlight.pairings


@asynchronous
async def test_a_device_waits_once(tmp_path: Path) -> None:
    async with (
        LocalGreenlight(tmp_path) as greenlight,
        waiting_phone(greenlight),
        stubs(greenlight, nobody(greenlight)) as anonymous,
    ):
        call = anonymous.pairing.PairDevice(pair_request())
        assert grpc.StatusCode.ALREADY_EXISTS == await code_of(call)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"csr": b"none"}, INVALID),
        ({"device_id": DEVICE_ID.upper()}, INVALID),
        ({"device_id": "04" + "00" * 64}, INVALID),
        ({"device_name": "phone2"}, INVALID),
        ({"csr": csr.build(NEW_KEY, "/users/0a0a/phone")}, INVALID),
        ({"device_name": "", "csr": csr.build(NEW_KEY, csr.pairing_common_name(""))}, INVALID),
        ({"device_name": "a\nb", "csr": csr.build(NEW_KEY, csr.pairing_common_name("a\nb"))}, INVALID),
        ({"device_name": "a" * 65, "csr": csr.build(NEW_KEY, csr.pairing_common_name("a" * 65))}, INVALID),
    ],
    ids=["no csr", "upper case", "another key", "name", "common name", "no name", "control", "long name"],
)
@asynchronous
async def test_refuses_a_new_device_whose_request_does_not_fit(
    tmp_path: Path, change: dict[str, Any], expected: grpc.StatusCode
) -> None:
    async with LocalGreenlight(tmp_path) as greenlight, stubs(greenlight, nobody(greenlight)) as anonymous:
        call = anonymous.pairing.PairDevice(changed(pair_request(), **change))
        assert expected == await code_of(call)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"device_id": "04" + "00" * 64}, NOT_FOUND),
        ({"device_name": "laptop"}, INVALID),
        ({"restrictions": f"pubkey={DEVICE_ID}"}, INVALID),
        ({"timestamp": 1_700_000_001}, DENIED),
        ({"sig": bytes(64)}, DENIED),
        ({"pubkey": p256.public_bytes(NEW_KEY)}, DENIED),
        ({"rune": "no rune"}, INVALID),
    ],
    ids=["device", "name", "restrictions", "timestamp", "signature", "key", "rune"],
)
@asynchronous
async def test_refuses_an_approval_that_does_not_fit(
    tmp_path: Path, change: dict[str, Any], expected: grpc.StatusCode
) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with waiting_phone(greenlight), device_stubs(greenlight, device) as called:
            call = called.pairing.ApprovePairing(changed(approval(device), **change))
            assert expected == await code_of(call)
            await called.pairing.ApprovePairing(approval(device))


@asynchronous
async def test_each_party_may_do_its_own_part_only(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device = await registered(greenlight)
        async with stubs(greenlight, nobody(greenlight)) as anonymous:
            ask = pb.GetPairingDataRequest(device_id=DEVICE_ID)
            assert DENIED == await code_of(anonymous.pairing.GetPairingData(ask))
            assert DENIED == await code_of(anonymous.pairing.ApprovePairing(approval(device)))
            assert DENIED == await code_of(anonymous.scheduler.SignerRequestsStream().read())
        async with device_stubs(greenlight, device) as called:
            assert DENIED == await code_of(called.pairing.PairDevice(pair_request()))


@asynchronous
async def test_an_approval_reaches_the_approvers_own_signer_only(tmp_path: Path) -> None:
    async with LocalGreenlight(tmp_path) as greenlight:
        device, other = await registered(greenlight, 1), await registered(greenlight, 2)
        async with (
            signer(greenlight, other) as foreign,
            signer(greenlight, device) as own,
            waiting_phone(greenlight) as phone,
            device_stubs(greenlight, device) as called,
        ):
            reading = asyncio.ensure_future(foreign.read())
            await called.pairing.ApprovePairing(approval(device))
            await own.write(granted(device, await own.read()))
            await phone
            assert not reading.done()
            reading.cancel()
