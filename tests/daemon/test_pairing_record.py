"""However a pairing ends, and whoever ends it, there is one record of it, written with what it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.clock import FakeClock
from helpers.phones import KEYS, approval_at, public_key, rune_of

from signerd.core.audit import record as records
from signerd.core.audit.record import Decision
from signerd.core.pairing import PairingPolicy
from signerd.daemon.pairing_desk import Held, PairingDesk
from signerd.daemon.recorder import Recorder
from signerd.errors import StateError
from signerd.store.audit_file import AuditFile
from signerd.store.state_db import StateDb


def desk_of(store: StateDb, clock: FakeClock, mode: str = "attested") -> PairingDesk:
    return PairingDesk(KEYS, PairingPolicy(mode=mode), (), store, Recorder(store, clock))


def decisions(path: Path) -> list[Decision]:
    with AuditFile(path) as audit:
        audit.verify()
        return [records.parse(row.raw).decision for row in audit.rows(0)]


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
