"""However a pairing ends, and whoever ends it, there is one record of it, written with what it changes."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.clock import FakeClock
from helpers.phones import KEYS, approval_at, public_key, rune_of

from signerd.core.audit import decision as audit_decision
from signerd.core.audit import record as records
from signerd.core.audit.record import Decision, Record
from signerd.core.pairing import PairingPolicy
from signerd.core.state.book import NO_CHANGES
from signerd.daemon import pairing_desk
from signerd.daemon.pairing_desk import Answered, Held, PairingDesk
from signerd.daemon.recorder import Recorder
from signerd.errors import Refused, StateError
from signerd.store.audit_file import AuditFile
from signerd.store.state_db import StateDb


def desk_of(store: StateDb, clock: FakeClock, mode: str = "attested") -> PairingDesk:
    return PairingDesk(KEYS, PairingPolicy(mode=mode), (), store, Recorder(store, clock))


def decisions(path: Path) -> list[Decision]:
    with AuditFile(path) as audit:
        audit.verify()
        return [records.parse(row.raw).decision for row in audit.rows(0)]


def unreadable(store: StateDb, table: str, column: str) -> None:
    """From now on this column cannot be read; writing goes on."""

    def may(action: int, *names: str | None) -> int:
        hidden = action == sqlite3.SQLITE_READ and names[:2] == (table, column)
        return sqlite3.SQLITE_DENY if hidden else sqlite3.SQLITE_OK

    store._connection.set_authorizer(may)


def readable(store: StateDb) -> None:
    store._connection.set_authorizer(None)


def endings(path: Path) -> list[tuple[str, str | None]]:
    return [(item.outcome, item.rule) for item in decisions(path)]


def test_what_the_policy_decides_is_recorded_however_it_ends(tmp_path):
    clock, path = FakeClock(), tmp_path / "db"
    approval = approval_at(clock.now())
    with StateDb(path) as store:
        desk = desk_of(store, clock)
        desk.decide(approval, 7)
        desk.decide(approval, 8)
        desk.refuse_unreadable(9, "no approval")
        desk.decide(replace(approval, device_name="phone\n"), 10)
    approved, *others = decisions(path)
    assert (approved.kind, approved.outcome, approved.request_id) == ("pairing", "answered", 7)
    assert (approved.facts["device"], approved.facts["device_id"]) == ("phone", approval.device_id)
    assert approved.facts["by"] == "attested"
    assert str(approved.facts["restrictions"]).startswith("pubkey=")
    assert [(item.request_id, item.rule) for item in others] == [
        (8, "pairing-replayed"), (9, "malformed"), (10, "pairing-device-name"),
    ]  # fmt: skip
    assert others[-1].facts["device"] == "phone\N{REPLACEMENT CHARACTER}"
    with AuditFile(path) as audit:
        assert rune_of(1).encode() not in b"".join(row.raw for row in audit.rows(0))


def test_what_the_owner_decides_and_what_runs_out_is_recorded_with_its_change(tmp_path):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, "confirm")
        held = [desk.decide(approval_at(clock.now(), by=4, device=n)) for n in (5, 6, 7)]
        assert endings(path) == []
        first, second, _ = (item.item.number for item in held if isinstance(item, Held))
        desk.approve(first)
        desk.deny(second)
        clock.advance(1000)
        desk.expire()
    assert endings(path) == [
        ("answered", None), ("refused", "pairing-denied-by-owner"), ("refused", "pairing-expired"),
    ]  # fmt: skip
    assert decisions(path)[0].facts["by"] == "owner"


def test_a_revocation_and_what_it_denies_are_recorded_together(tmp_path):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, "confirm")
        desk.decide(approval_at(clock.now(), by=1, device=3))
        desk.revoke(public_key(1).hex(), with_paired=False)
        desk.revoke(public_key(1).hex(), with_paired=False)
    revoked, denied = decisions(path)
    assert (revoked.message, revoked.outcome) == ("revoke_device", "answered")
    assert (denied.outcome, denied.rule) == ("refused", "pairing-rune-revoked")


@pytest.mark.parametrize("mode", ["attested", "confirm"])
def test_nothing_is_granted_that_cannot_be_recorded(tmp_path, mode):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, mode)
        approval = approval_at(clock.now())
        held = desk.decide(approval) if mode == "confirm" else None
        store._connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
        with pytest.raises(StateError):
            desk.approve(held.item.number) if isinstance(held, Held) else desk.decide(approval)
        assert desk.devices() == ()
        assert store.approvals() == {}
        store._connection.execute("DROP TRIGGER no")
        desk.approve(held.item.number) if isinstance(held, Held) else desk.decide(approval)
    assert endings(path) == [("answered", None)]


def test_what_a_rule_refuses_to_the_owner_is_recorded_and_waits_still(tmp_path, monkeypatch):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, "confirm")
        held = desk.decide(approval_at(clock.now()))
        assert isinstance(held, Held)
        with monkeypatch.context() as full:
            full.setattr("signerd.store.pairings.MAX_RUNES", 0)
            with pytest.raises(Refused, match="runes are in the register"):
                desk.approve(held.item.number, 7)
        assert desk.waiting() == (held.item,)
        desk.approve(held.item.number, 8)
    refused, approved = decisions(path)
    assert (refused.outcome, refused.rule, refused.request_id) == ("refused", "pairing-register-full", 7)
    assert (approved.outcome, approved.request_id) == ("answered", 8)


def test_a_denial_by_the_owner_is_recorded_with_the_request_that_it_ends(tmp_path):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, "confirm")
        held = desk.decide(approval_at(clock.now()))
        assert isinstance(held, Held)
        desk.deny(held.item.number, 9)
    assert [item.request_id for item in decisions(path)] == [9]


# What fails around a change


def test_records_that_are_on_disk_are_not_written_again_whatever_fails_after_that(tmp_path):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        recorder = Recorder(store, clock)
        decision = audit_decision.of_revocation(clock.now(), "ff", 0)

        def fails(*, after_the_change: bool) -> None:
            with recorder.with_changes(decision) as written:
                if after_the_change:
                    store.commit(NO_CHANGES, written)
                raise ZeroDivisionError

        for after_the_change in (True, False):
            with pytest.raises(ZeroDivisionError):
                fails(after_the_change=after_the_change)
            assert recorder.latest == Record(1, decision)
        recorder.record(decision)
        assert recorder.latest == Record(2, decision)
    assert len(decisions(path)) == 2


def test_a_revocation_that_cannot_be_counted_has_not_happened(tmp_path):
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, "confirm")
        held = desk.decide(approval_at(clock.now(), by=1, device=3))
        assert isinstance(held, Held)
        unreadable(store, "revoked", "key")
        with pytest.raises(StateError):
            desk.revoke(public_key(1).hex(), with_paired=False)
        readable(store)
        assert not desk.revoked
        assert desk.waiting() == desk_of(store, clock, "confirm").waiting() == (held.item,)
        assert store.rows("SELECT * FROM revoked") == []
        desk.revoke(public_key(1).hex(), with_paired=False)
        assert public_key(1) in desk.revoked
        assert not desk.waiting()
    assert [item.message for item in decisions(path)] == ["revoke_device", "approve_pairing"]


@pytest.mark.parametrize("mode", ["attested", "confirm"])
def test_what_is_read_again_at_times_fails_before_a_change_and_not_after(tmp_path, mode, monkeypatch):
    monkeypatch.setattr(pairing_desk, "_RELOAD_EVERY", 1)
    clock, path = FakeClock(), tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock)
        assert isinstance(desk.decide(approval_at(clock.now())), Answered)
        desk = desk_of(store, clock, mode)
        first, second = (approval_at(clock.now(), device=device) for device in (3, 4))
        numbers = [h.item.number for h in map(desk.decide, (first, second)) if isinstance(h, Held)]
        for number in numbers[:1]:
            desk.approve(number)
        known = desk.devices()
        unreadable(store, "approval", "digest")
        third = approval_at(clock.now(), device=5)
        with pytest.raises(StateError):
            desk.approve(numbers[1]) if numbers else desk.decide(third)
        readable(store)
        assert desk.devices() == known
        assert desk.approve(numbers[1]).outcome if numbers else isinstance(desk.decide(third), Answered)
    assert {outcome for outcome, _ in endings(path)} == {"answered"}
