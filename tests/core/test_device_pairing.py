"""The devices' side of a pairing, and what the approving one sees through."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers import vectors

from signerd.core import csr, device_pairing, pairing
from signerd.core.device_pairing import NewDevice
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.runes import rune
from signerd.errors import MalformedMessage, Refused
from signerd.greenlight.pb import scheduler_pb2
from signerd.units import Secret, UnixTime

KEY = ec.derive_private_key(7, ec.SECP256R1())
APPROVER = ec.derive_private_key(8, ec.SECP256R1())
DEVICE_ID = p256.public_bytes(KEY).hex()
OTHER_ID = p256.public_bytes(APPROVER).hex()


def asked(**changes) -> NewDevice:
    request = device_pairing.new_device(KEY, device_name="phone", description="", restrictions="")
    return dataclasses.replace(request, **changes)


@pytest.mark.parametrize("case", [c for c in vectors.load("csr")["cases"] if c["flow"] == "pairing"])
def test_accepts_what_the_reference_asks(case):
    sent = scheduler_pb2.PairDeviceRequest.FromString(bytes.fromhex(case["pair_request"]))
    request = NewDevice(sent.device_id, sent.csr, sent.device_name, sent.description, sent.restrictions)
    assert device_pairing.check_request(request)
    assert case["qr"] == request.qr_text
    assert sent.device_id == device_pairing.device_id_of(case["qr"])


def test_a_new_device_asks_as_the_reference_does():
    request = device_pairing.new_device(KEY, device_name="tab", description="d", restrictions="method^list")
    assert request.restrictions == f"pubkey={DEVICE_ID}&method^list"
    assert csr.read(request.csr).common_name == "/users/3030/tab"
    words = device_pairing.check_request(request)
    assert len(words) == 2


@pytest.mark.parametrize(
    "restrictions",
    [
        "",
        "method^list",
        f"pubkey={OTHER_ID}",
        f"pubkey={DEVICE_ID}|method^",
        # A search for the text `pubkey=<id>` is fooled by each of these.
        f"x#pubkey={DEVICE_ID}&pubkey={OTHER_ID}",
        f"x=pubkey={DEVICE_ID}&pubkey={OTHER_ID}",
        f"mypubkey={DEVICE_ID}&pubkey={OTHER_ID}",
        f"pubkey={DEVICE_ID}00",
        f"pubkey={DEVICE_ID}&pubkey={OTHER_ID}",
        f"pubkey={DEVICE_ID}&pubkey^04",
        f"pubkey={DEVICE_ID}&&",
    ],
)
def test_sees_through_restrictions_that_bind_to_something_else(restrictions):
    with pytest.raises(Refused) as caught:
        device_pairing.check_request(asked(restrictions=restrictions))
    assert caught.value.rule in ("pairing-data", "pairing-restrictions-grammar")


def test_refuses_a_request_for_another_key_or_without_proof_of_possession():
    other = csr.build(APPROVER, "/users/3030/phone")
    with pytest.raises(Refused, match="another key"):
        device_pairing.check_request(asked(csr=other))
    genuine = asked().csr
    forged = genuine.replace(genuine[-70:-60], b"A" * 10)
    with pytest.raises(Refused):
        device_pairing.check_request(asked(csr=forged))
    with pytest.raises(Refused):
        device_pairing.check_request(asked(csr=b"garbage"))


@pytest.mark.parametrize("name", ["a=b", "x#", "a\nb", "a\x1b[31m", "a|b"])
def test_refuses_a_name_that_could_be_read_as_restrictions_or_lies_to_a_terminal(name):
    with pytest.raises(Refused, match="device name"):
        device_pairing.check_request(asked(device_name=name))
    with pytest.raises(Refused, match="device name"):
        device_pairing.new_device(KEY, device_name=name, description="", restrictions="")


@pytest.mark.parametrize("text", ["nooperator", "a=b&", "&", "=5"])
def test_a_new_device_does_not_ask_for_nonsense(text):
    with pytest.raises(Refused, match="restrictions"):
        device_pairing.new_device(KEY, device_name="phone", description="", restrictions=text)


@pytest.mark.parametrize(
    "text", ["", DEVICE_ID, f"gl-pairing:{DEVICE_ID[:-2]}", f"gl-pairing:{DEVICE_ID.upper()}"]
)
def test_refuses_a_code_that_is_none(text):
    with pytest.raises(MalformedMessage):
        device_pairing.device_id_of(text)


def test_what_one_device_approves_the_signer_grants():
    keys, now = NodeKeys.derive(Secret(bytes(32))), UnixTime(1_800_000_000)
    request = asked()
    approval = pairing.PairingApproval(
        device_id=request.device_id,
        timestamp=now,
        device_name=request.device_name,
        restrictions=request.restrictions,
        sig=device_pairing.approve(request, key=APPROVER, node_id=keys.node_id, now=now),
        pubkey=p256.public_bytes(APPROVER),
        rune=rune.create(keys.rune_secret, [f"pubkey={OTHER_ID}"]).to_base64(),
    )
    outcome = pairing.decide(approval, keys, pairing.PairingPolicy(), frozenset(), now)
    assert isinstance(outcome, pairing.Approved)
    expected = rune.create(keys.rune_secret, [f"pubkey={DEVICE_ID}"]).to_base64()
    assert expected == outcome.rune
