"""Pairing approvals, against the verdicts and runes that the reference signer gave."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from helpers import vectors

from signerd.core import pairing
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import Approved, Denied, PairingPolicy, PairingRule
from signerd.greenlight import translate
from signerd.greenlight.pb import scheduler_pb2
from signerd.units import Secret, UnixTime

VECTORS = vectors.load("pairing")
CASES = {case["what"]: case for case in VECTORS["cases"]}
MADE_AT = UnixTime(VECTORS["made_at"])
ATTENUATED = PairingPolicy()
WIDENING = PairingPolicy(allow_widening=True)


@cache
def keys_of(seed: str) -> NodeKeys:
    return NodeKeys.derive(Secret(bytes.fromhex(seed)))


def recorded(case) -> scheduler_pb2.SignerRequest:
    return scheduler_pb2.SignerRequest.FromString(bytes.fromhex(case["signer_request"]))


APPROVALS = {
    what: translate.pairing_approval(recorded(case))
    for what, case in CASES.items()
    if recorded(case).HasField("approve_pairing")
}


def verdict(what: str, policy: PairingPolicy, seen=frozenset()) -> Approved | Denied:
    return pairing.decide(APPROVALS[what], keys_of(CASES[what]["seed"]), policy, seen, MADE_AT)


def rule_of(outcome: Approved | Denied) -> PairingRule:
    assert isinstance(outcome, Denied), outcome
    return outcome.rule


# The reference approves each of these; we do not.
REFUSED_BY_US = {
    # Judged `refuse`: unsafe whatever one's policy is.
    "boundary shift: part of the restrictions moved into the device name": PairingRule.DEVICE_NAME,
    "rune with pubkey as one alternative only, other key": PairingRule.RUNE_UNBOUND,
    "rune with a comment holding the pubkey text, other key": PairingRule.RUNE_UNBOUND,
    "restrictions with another device's pubkey": PairingRule.UNBOUND,
    "restrictions: pubkey as one alternative": PairingRule.UNBOUND,
    "restrictions: comment alternative beside the pubkey": PairingRule.UNBOUND,
    "restrictions: pubkey=": PairingRule.UNBOUND,
    "timestamp zero": PairingRule.STALE,
    "timestamp one": PairingRule.STALE,
    "timestamp ten years old": PairingRule.STALE,
    "timestamp ten years ahead": PairingRule.FUTURE,
    "timestamp 2^63": PairingRule.FUTURE,
    "timestamp 2^64-1": PairingRule.FUTURE,
    "device id empty": PairingRule.DEVICE_ID,
    "device id not hex": PairingRule.DEVICE_ID,
    "device id differs from restricted pubkey": PairingRule.UNBOUND,
    # Judged `either`, and decided by a check that the reference lacks.
    "valid, device name with control characters": PairingRule.DEVICE_NAME,  # names reach logs and terminals
    "restrictions with the attesting device's own pubkey": PairingRule.UNBOUND,  # not the new device's key
    "timestamp one hour old": PairingRule.STALE,  # five minutes are allowed
    "timestamp one hour ahead": PairingRule.FUTURE,  # one minute is allowed
    # Judged `either`: a field that no signer knows is missing, where these operators fail.
    "rune narrowed: unknown field = empty": PairingRule.RUNE_UNKNOWN_FIELD,
    "rune narrowed: unknown field / value": PairingRule.RUNE_UNKNOWN_FIELD,
    "rune narrowed: unknown field ^ empty": PairingRule.RUNE_UNKNOWN_FIELD,
    "rune narrowed: unknown field ~ empty": PairingRule.RUNE_UNKNOWN_FIELD,
    "rune narrowed: unknown field { a": PairingRule.RUNE_UNKNOWN_FIELD,
}
# Judged `refuse`, because it widens; and so it is approved where widening is allowed.
WIDER = "restrictions: wider than the attesting rune"


@pytest.mark.parametrize("what", APPROVALS)
def test_verdict_and_rune_equal_the_references_where_widening_is_allowed(what):
    outcome = verdict(what, WIDENING)
    if isinstance(outcome, Approved):
        answer = translate.signer_response(recorded(CASES[what]).request_id, outcome)
        assert CASES[what]["signer_response"] == answer.SerializeToString().hex()
    elif CASES[what]["reference_answered"]:
        assert REFUSED_BY_US[what] is outcome.rule


def test_every_difference_to_the_reference_is_a_refusal_and_listed():
    ours = {what for what in APPROVALS if isinstance(verdict(what, WIDENING), Approved)}
    theirs = {what for what in APPROVALS if CASES[what]["reference_answered"]}
    assert set() == ours - theirs
    assert set(REFUSED_BY_US) == theirs - ours


def test_keeps_to_the_judgement_of_what_to_refuse_and_what_to_approve():
    judged = {what: CASES[what]["should"] for what in APPROVALS}
    approved = {what for what in APPROVALS if isinstance(verdict(what, WIDENING), Approved)}
    assert {WIDER} == {what for what in approved if judged[what] == "refuse"}
    assert set() == {what for what, should in judged.items() if should == "approve"} - approved
    assert PairingRule.WIDENING is rule_of(verdict(WIDER, ATTENUATED))


def test_compares_all_recorded_requests():
    """129, of which two hold no approval: nothing to decide, and the reference is silent too."""
    assert {"request without a body", "unknown oneof field"} == set(CASES) - set(APPROVALS)
    assert not any(CASES[what]["reference_answered"] for what in set(CASES) - set(APPROVALS))
    assert (129, 127) == (len(CASES), len(APPROVALS))
    outcomes = Counter(type(verdict(what, WIDENING)).__name__ for what in APPROVALS)
    assert {"Approved": 41, "Denied": 86} == outcomes


def test_in_file_order_only_the_exact_replay_is_a_replay():
    seen: set[bytes] = set()
    replays = []
    for what in APPROVALS:
        outcome = verdict(what, WIDENING, seen)
        if isinstance(outcome, Approved):
            seen.add(outcome.digest)
        elif outcome.rule is PairingRule.REPLAYED:
            replays.append(what)
        else:
            assert outcome == verdict(what, WIDENING)
    assert ["exact replay"] == replays
    assert isinstance(verdict("exact replay", WIDENING), Approved)


# Approved with `allow_widening` only: the new rune lacks a restriction of the approving one.
WIDENING_CASES = {
    "rune narrowed: method=approvepairing",
    "rune narrowed: method^approve",
    "rune narrowed: method$pairing",
    "rune narrowed: method~vepa",
    "rune narrowed: method/pay",
    "rune narrowed: method^get|method^approve",
    "rune narrowed: method{b",
    "rune narrowed: time in the future",
    "rune narrowed: time> past",
    "rune narrowed: time< with plus sign",
    "rune narrowed: expired time as one alternative of two",
    "rune narrowed: unknown field !",
    WIDER,
}


def test_by_default_a_new_rune_is_at_least_as_narrow_as_the_approving_one():
    changed = {what for what in APPROVALS if verdict(what, ATTENUATED) != verdict(what, WIDENING)}
    assert WIDENING_CASES == changed
    assert {PairingRule.WIDENING} == {rule_of(verdict(what, ATTENUATED)) for what in changed}
