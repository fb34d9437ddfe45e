"""The one door, against what the reference signer answers where no channel is needed."""

from __future__ import annotations

import hashlib

import pytest
from coincurve import PublicKeyXOnly
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import handlers, startup
from signerd.core.keys.node import NodeKeys
from signerd.core.policy import permissions
from signerd.core.requests import Context, Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import MemoryBook
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec, names
from signerd.units import NETWORKS, Secret, UnixTime

NOW = UnixTime(vectors.load("hsm_basic")["made_at"])
HEARTBEAT = 2008
# Filler in place of a message to sign, channels that nobody set up, and what no hosted node asks.
REFUSED_WHERE_EITHER_WILL_DO = {"malformed", "channel-unknown", "unsupported-message", "sign-message"}
STEPS = [
    pytest.param(script, step, id=f"{script['script']}-{step['what']}")
    for script in vectors.load("hsm_basic")["cases"]
    for step in script["steps"]
]


def signer_of(script) -> Signer:
    return Signer(NodeKeys.derive(Secret(bytes.fromhex(script["seed"]))), script["network"])


def request_of(step) -> SigningRequest:
    context = step["context"]
    return SigningRequest(
        id=1,
        raw=bytes.fromhex(step["raw"]),
        context=Context(bytes.fromhex(context["node_id"]), context["dbid"], context["capabilities"])
        if context
        else None,
    )


@pytest.mark.parametrize(("script", "step"), STEPS)
def test_answers_as_the_reference_signer_or_refuses_by_name(script, step):
    outcome = signer_of(script).handle(request_of(step), MemoryBook(), NOW)
    if step["type"] not in handlers.ANSWERED or step["should"] == "refuse":
        assert isinstance(outcome, Refusal)
    elif step["should"] == "either" and isinstance(outcome, Refusal):
        assert outcome.rule in REFUSED_WHERE_EITHER_WILL_DO
    elif step["outcome"] == "reply":
        assert isinstance(outcome, Signed)
        if step["type"] == HEARTBEAT:
            assert len(step["reply"]) == 2 * len(outcome.reply)
        else:
            assert step["reply"] == outcome.reply.hex()


def test_heartbeat_carries_the_references_tip_and_a_valid_signature():
    for script in vectors.load("hsm_basic")["cases"]:
        step = next(s for s in script["steps"] if s["type"] == HEARTBEAT)
        signer = signer_of(script)
        outcome = signer.handle(request_of(step), MemoryBook(), NOW)
        assert isinstance(outcome, Signed)
        ours, theirs = outcome.reply, bytes.fromhex(step["reply"])
        assert theirs[:5] == ours[:5]
        assert theirs[69:-4] == ours[69:-4]
        assert NOW == int.from_bytes(ours[-4:], "big")
        point = signer.keys.ext_key("regtest")[45:]
        digest = hashlib.sha256(b"vls" + b"heartbeat" + ours[-44:]).digest()
        assert PublicKeyXOnly(point[1:]).verify(ours[5:69], digest)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_live_init_gets_the_registered_init_message(network):
    signer = Signer(NodeKeys.derive(Secret(bytes(32))), network)
    outcome = signer.handle(SigningRequest(1, startup.init_request()), MemoryBook(), NOW)
    assert isinstance(outcome, Signed)
    assert startup.init_message(signer.keys, network) == outcome.reply


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"min_version": 7, "max_version": 9}, "init-version"),
        ({"min_version": 1, "max_version": 4}, "init-version"),
        ({"dev_privkey": bytes(32)}, "init-foreign-secret"),
        ({"encryption_key": bytes(32)}, "init-foreign-secret"),
        ({"tlvs": ((1, b"passphrase"),)}, "init-unknown-tlv"),
    ],
    ids=str,
)
def test_refuses_an_init_that_is_not_for_this_signer(change, rule):
    import dataclasses

    message = dataclasses.replace(codec.decode(startup.init_request()), **change)
    signer = Signer(NodeKeys.derive(Secret(bytes(32))), "regtest")
    outcome = signer.handle(SigningRequest(1, codec.encode(message)), MemoryBook(), NOW)
    assert isinstance(outcome, Refusal)
    assert rule == outcome.rule


def test_every_message_that_has_a_name_is_answered_to_some_node():
    assert set(names.NAMES) == handlers.ANSWERED


@pytest.mark.parametrize("number", sorted(permissions.UNSPOKEN[Dialect.HOSTED]))
def test_every_message_that_no_hosted_node_sends_is_refused_with_its_name(number):
    signer = Signer(NodeKeys.derive(Secret(bytes(32))), "regtest")
    outcome = signer.handle(SigningRequest(1, number.to_bytes(2, "big") + bytes(40)), MemoryBook(), NOW)
    assert isinstance(outcome, Refusal)
    assert outcome.rule == "unsupported-message"
    assert f"{names.NAMES[number]} (type {number})" in outcome.reason


def test_dev_preinit_is_taken_from_a_plain_node_and_nothing_is_sent():
    signer = Signer(NodeKeys.derive(Secret(bytes(32))), "regtest", Dialect.CORE_LIGHTNING)
    outcome = signer.handle(SigningRequest(1, bytes.fromhex("0063")), MemoryBook(), NOW)
    assert outcome == Signed(b"")


@given(
    st.binary(max_size=200),
    st.none() | st.builds(Context, st.binary(max_size=40), st.integers(0, 9), st.just(0)),
)
def test_no_bytes_make_the_door_raise(raw, context):
    signer = Signer(NodeKeys.derive(Secret(bytes(32))), "regtest")
    assert isinstance(signer.handle(SigningRequest(1, raw, context), MemoryBook(), NOW), Signed | Refusal)


@given(st.sampled_from(sorted(handlers.ANSWERED)), st.binary(max_size=200))
def test_no_body_makes_the_door_raise(number, body):
    signer = Signer(NodeKeys.derive(Secret(bytes(32))), "regtest")
    outcome = signer.handle(SigningRequest(1, number.to_bytes(2, "big") + body), MemoryBook(), NOW)
    assert isinstance(outcome, Signed | Refusal)
