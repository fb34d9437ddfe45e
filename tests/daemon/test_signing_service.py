"""Decide, remember, then answer; and what a clock that is set back may not undo."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.clock import FakeClock

from signerd.core import device_pairing, pairing
from signerd.core.audit import record as records
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.runes import rune
from signerd.core.signer import Signer
from signerd.core.state.book import Book
from signerd.core.wire import codec
from signerd.core.wire.channel import NewChannel
from signerd.core.wire.session import Ping
from signerd.daemon.signing_service import SigningService
from signerd.errors import StateError
from signerd.store.audit_file import AuditFile
from signerd.store.state_db import StateDb
from signerd.units import Secret, UnixTime

PING = codec.encode(Ping(7, "hello"))
KEYS = NodeKeys.derive(Secret(bytes(32)))
KEY, APPROVER = (ec.derive_private_key(n, ec.SECP256R1()) for n in (7, 8))
RUNE = rune.create(KEYS.rune_secret, [f"pubkey={p256.public_bytes(APPROVER).hex()}"]).to_base64()


def approval_at(now: int) -> PairingApproval:
    asked = device_pairing.new_device(KEY, device_name="phone", description="", restrictions="")
    moment = UnixTime(now)
    return PairingApproval(
        device_id=asked.device_id,
        timestamp=moment,
        device_name=asked.device_name,
        restrictions=asked.restrictions,
        sig=device_pairing.approve(asked, key=APPROVER, node_id=KEYS.node_id, now=moment),
        pubkey=p256.public_bytes(APPROVER),
        rune=RUNE,
    )


def service_of(store: StateDb, clock: FakeClock, **policy: int) -> SigningService:
    return SigningService(Signer(KEYS, "regtest"), PairingPolicy(**policy), store, clock)


def rule_of(outcome: pairing.Approved | Denied) -> PairingRule | None:
    return outcome.rule if isinstance(outcome, Denied) else None


def test_an_approval_counts_once_also_after_a_restart(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        service = service_of(store, clock)
        assert isinstance(service.decide_pairing(approval), Approved)
        assert rule_of(service.decide_pairing(approval)) is PairingRule.REPLAYED
    with StateDb(tmp_path / "db") as store:
        assert rule_of(service_of(store, clock).decide_pairing(approval)) is PairingRule.REPLAYED


@pytest.mark.parametrize("restart_between", [False, True])
def test_a_clock_that_is_set_back_revives_no_approval(tmp_path, restart_between):
    """Approved; then the clock runs ahead, the approval is forgotten as expired, the clock is set back."""
    clock = FakeClock()
    old = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        service = service_of(store, clock)
        assert isinstance(service.decide_pairing(old), Approved)
        clock.advance(100_000)
        assert isinstance(service.decide_pairing(approval_at(clock.now())), Approved)
        if restart_between:
            service = service_of(store, clock)
        clock.advance(-100_000)
        assert rule_of(service_of(store, clock).decide_pairing(old)) is PairingRule.REPLAYED
        # What is newer than anything forgotten is approved as ever.
        clock.advance(100)
        assert isinstance(service_of(store, clock).decide_pairing(approval_at(clock.now())), Approved)


def test_a_longer_window_revives_no_approval(tmp_path):
    clock = FakeClock()
    old = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        assert isinstance(service_of(store, clock).decide_pairing(old), Approved)
        clock.advance(1000)
        assert isinstance(service_of(store, clock).decide_pairing(approval_at(clock.now())), Approved)
        patient = service_of(store, clock, max_age_seconds=10_000)
        assert rule_of(patient.decide_pairing(old)) is PairingRule.REPLAYED


def test_what_cannot_be_remembered_is_not_approved(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        service = service_of(store, clock)
        store._connection.execute("PRAGMA query_only = ON")
        approval = approval_at(clock.now())
        with pytest.raises(StateError):
            service.decide_pairing(approval)
        store._connection.execute("PRAGMA query_only = OFF")
        assert isinstance(service.decide_pairing(approval), Approved)


class Stumbling(Signer):
    """A signer with a bug."""

    def handle(self, request: SigningRequest, book: Book, now: UnixTime) -> Signed | Refusal:
        if request.id == 13:
            raise KeyError("what only we may know")
        return super().handle(request, book, now)


def test_a_bug_refuses_one_request_and_tells_its_place_and_nothing_more(tmp_path):
    with StateDb(tmp_path / "db") as store:
        service = SigningService(Stumbling(KEYS, "regtest"), PairingPolicy(), store, FakeClock())
        outcome = service.answer(SigningRequest(13, PING))
        assert isinstance(outcome, Refusal)
        assert outcome.rule == "internal-error"
        assert "KeyError at signing_service:" in outcome.reason
        assert "test_signing_service:" in outcome.reason
        assert "only we may know" not in outcome.reason
        assert isinstance(service.answer(SigningRequest(14, PING)), Signed)


def test_a_store_that_fails_is_no_bug(tmp_path):
    with StateDb(tmp_path / "db") as store:
        service = service_of(store, FakeClock())
    with pytest.raises(StateError):
        service.answer(SigningRequest(1, codec.encode(NewChannel(bytes(KEYS.node_id), 1))))


def test_pairings_are_recorded_however_they_end(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        service = service_of(store, clock)
        assert isinstance(service.decide_pairing(approval, request_id=7), Approved)
        service.decide_pairing(approval, request_id=8)
        service.refuse_pairing(request_id=9, rule="malformed", reason="no approval")
        service.refuse_pairing(request_id=11, rule="some-rule", reason="no", approval=approval)
        service.decide_pairing(replace(approval, device_name="phone\n"), request_id=10)
    with AuditFile(tmp_path / "db") as audit:
        audit.verify()
        rows = list(audit.rows(0))
    approved, replayed, malformed, unseen, misnamed = (records.parse(row.raw).decision for row in rows)

    assert (approved.kind, approved.outcome, approved.request_id) == ("pairing", "answered", 7)
    assert (approved.facts["device"], approved.facts["device_id"]) == ("phone", approval.device_id)
    assert str(approved.facts["restrictions"]).startswith("pubkey=")
    assert (malformed.facts, unseen.facts) == ({}, approved.facts)
    assert [item.rule for item in (replayed, malformed, misnamed)] == [
        "pairing-replayed", "malformed", "pairing-device-name",
    ]  # fmt: skip
    assert misnamed.facts["device"] == "phone\N{REPLACEMENT CHARACTER}"
    assert RUNE.encode() not in b"".join(row.raw for row in rows)
