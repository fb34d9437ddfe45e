"""Sweeps and penalties: each script asks for one kind of input, and no other script will do."""

from __future__ import annotations

import dataclasses

import pytest

from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.tx import script, sweep
from signerd.core.tx.commitment import CommitmentKeys
from signerd.core.tx.transaction import Outpoint, Output
from signerd.errors import Refused

POINT = secp256k1.public_key(b"\x77" * 32)
UNLOCKED = (0, 0xFFFFFFFD, 0xFFFFFFFF)
SPENT = Outpoint(bytes(32), 3)
HOME = (Output(1000, b"\x00\x14" + bytes(20)),)


def side(first) -> Basepoints:
    return Basepoints(*(secp256k1.public_key(bytes([first + n]) * 32) for n in range(5)))


KEYS = CommitmentKeys.derive(POINT, own=side(1), other=side(6))
OTHERS = CommitmentKeys.derive(POINT, own=side(6), other=side(1))


def to_local(keys=KEYS, delay=144, **parts):
    usual = {"revocation_key": keys.revocation, "delayed_key": keys.delayed, "to_self_delay": delay}
    return script.to_local(**usual | parts)


def htlc(keys=KEYS, *, expiry=None, anchors=True, **parts):
    usual = {
        "revocation_key": keys.revocation,
        "own_htlc_key": keys.own_htlc,
        "other_htlc_key": keys.other_htlc,
        "payment_hash": bytes(32),
        "cltv_expiry": expiry,
        "anchors": anchors,
    }
    return script.htlc(**usual | parts)


def test_a_delayed_output_waits_its_delay():
    assert sweep.of_delayed(to_local(), KEYS, 144) == sweep.Sweep((144,), locktime=0)


@pytest.mark.parametrize(
    "other",
    [to_local(delay=145), to_local(OTHERS), to_local(delayed_key=KEYS.own_htlc), htlc(), b""],
)
def test_refuses_a_script_that_is_not_our_delayed_output(other):
    with pytest.raises(Refused) as refusal:
        sweep.of_delayed(other, KEYS, 144)
    assert refusal.value.rule == "policy-commitment-scripts"


@pytest.mark.parametrize(
    ("expiry", "anchors", "expected"),
    [
        (None, True, sweep.Sweep((1,), 0)),
        (700, True, sweep.Sweep((1,), 700)),
        (None, False, sweep.Sweep(UNLOCKED, 0)),
        (700, False, sweep.Sweep(UNLOCKED, 700)),
    ],
)
def test_claims_an_htlc_at_once_and_takes_one_back_when_it_expires(expiry, anchors, expected):
    assert sweep.of_counterparty_htlc(htlc(expiry=expiry, anchors=anchors), KEYS, anchors=anchors) == expected


@pytest.mark.parametrize(
    "other",
    [
        htlc(OTHERS),
        htlc(anchors=False),
        htlc(other_htlc_key=KEYS.own_htlc),
        htlc(own_htlc_key=KEYS.other_htlc),
        htlc(revocation_key=KEYS.delayed),
        to_local(),
        b"",
    ],
)
def test_refuses_a_script_that_is_no_htlc_of_the_peers_commitment(other):
    with pytest.raises(Refused) as refusal:
        sweep.of_counterparty_htlc(other, KEYS, anchors=True)
    assert refusal.value.rule == "policy-sweep-other"


@pytest.mark.parametrize(
    "taken", [to_local(), to_local(delay=6), htlc(), htlc(expiry=9), htlc(anchors=False)]
)
def test_a_penalty_takes_every_output_of_a_revoked_commitment(taken):
    assert sweep.of_penalty(taken, KEYS) == sweep.Sweep(UNLOCKED, locktime=0)


@pytest.mark.parametrize("other", [to_local(OTHERS), htlc(OTHERS), script.anchor(KEYS.own_funding), b""])
def test_refuses_a_penalty_on_what_the_revocation_does_not_open(other):
    with pytest.raises(Refused) as refusal:
        sweep.of_penalty(other, KEYS)
    assert refusal.value.rule == "policy-sweep-other"


@pytest.mark.parametrize("expected", [sweep.Sweep((144,)), sweep.Sweep((1,), 700), sweep.Sweep(UNLOCKED)])
def test_takes_the_sweep_that_it_composes(expected):
    sweep.require(expected, sweep.compose(expected, SPENT, HOME))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"version": 1}, "policy-sweep-version"),
        ({"locktime": 701}, "policy-sweep-locktime"),
        ({"locktime": 0}, "policy-sweep-locktime"),
        ({"inputs": ()}, "policy-sweep-other"),
    ],
)
def test_refuses_a_sweep_that_is_not_as_composed(change, rule):
    expected = sweep.Sweep((1,), 700)
    tx = dataclasses.replace(sweep.compose(expected, SPENT, HOME), **change)
    with pytest.raises(Refused) as refusal:
        sweep.require(expected, tx)
    assert refusal.value.rule == rule


@pytest.mark.parametrize("sequence", [0, 143, 145, 0xFFFFFFFF])
def test_refuses_a_sweep_with_another_sequence(sequence):
    expected = sweep.Sweep((144,))
    tx = sweep.compose(expected, SPENT, HOME)
    tx = dataclasses.replace(tx, inputs=(dataclasses.replace(tx.inputs[0], sequence=sequence),))
    with pytest.raises(Refused) as refusal:
        sweep.require(expected, tx)
    assert refusal.value.rule == "policy-sweep-sequence"


def test_refuses_a_sweep_with_a_second_input():
    expected = sweep.Sweep((144,))
    tx = sweep.compose(expected, SPENT, HOME)
    with pytest.raises(Refused, match="2 inputs"):
        sweep.require(expected, dataclasses.replace(tx, inputs=tx.inputs * 2))


def test_finds_our_anchor_among_what_is_spent():
    ours = Output(330, script.p2wsh(script.anchor(KEYS.own_funding)))
    theirs = Output(330, script.p2wsh(script.anchor(KEYS.other_funding)))
    assert sweep.anchor_input([theirs, None, ours], KEYS.own_funding) == 2
    assert sweep.anchor_input([theirs, None], KEYS.own_funding) is None
    assert sweep.anchor_input([Output(331, ours.script)], KEYS.own_funding) is None
