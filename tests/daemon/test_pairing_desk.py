"""Decide, remember, then answer: what waits, what was said to it, and what no clock and no restart undoes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from helpers.clock import FakeClock
from helpers.phones import KEYS, approval_at, key_of, public_key, rune_of

from signerd.core.devices import handle_of
from signerd.core.keys import p256
from signerd.core.pairing import Denied, PairingApproval, PairingPolicy, PairingRule, digest_of
from signerd.core.pairing_auto import AutoRule, read_rules
from signerd.core.pairing_inbox import MAX_OF_ONE_DEVICE, MAX_WAITING, State
from signerd.core.runes.rune import Rune
from signerd.daemon.pairing_desk import Answered, Held, PairingDesk
from signerd.daemon.recorder import Recorder
from signerd.errors import Refused, StateError
from signerd.store import pairings, schema
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

TILL = read_rules([("till-*", "method^list|method^get", 2)])
LISTS = "method^list"


def desk_of(
    store: StateDb,
    clock: FakeClock,
    *,
    rules: tuple[AutoRule, ...] = (),
    mode: Any = "attested",
    **policy: int,
) -> PairingDesk:
    return PairingDesk(KEYS, PairingPolicy(mode=mode, **policy), rules, store, Recorder(store, clock))


def rule_of(outcome: object) -> PairingRule | None:
    return outcome.rule if isinstance(outcome, Denied) else None


def held(desk: PairingDesk, approval: PairingApproval) -> int:
    outcome = desk.decide(approval)
    assert isinstance(outcome, Held)
    return outcome.item.number


def refusal(desk: PairingDesk, decision: str, number: int) -> str:
    with pytest.raises(Refused) as refused:
        getattr(desk, decision)(number)
    assert refused.value.hint
    return refused.value.rule


# What is answered at once


def test_an_approval_counts_once_also_after_a_restart(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock)
        assert isinstance(desk.decide(approval), Answered)
        assert rule_of(desk.decide(approval)) is PairingRule.REPLAYED
    with StateDb(tmp_path / "db") as store:
        assert rule_of(desk_of(store, clock).decide(approval)) is PairingRule.REPLAYED


@pytest.mark.parametrize("restart_between", [False, True])
def test_a_clock_that_is_set_back_revives_no_approval(tmp_path, restart_between):
    """Approved; then the clock runs ahead, the approval is forgotten as expired, the clock is set back."""
    clock = FakeClock()
    old = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock)
        assert isinstance(desk.decide(old), Answered)
        clock.advance(100_000)
        assert isinstance(desk.decide(approval_at(clock.now())), Answered)
        if restart_between:
            desk = desk_of(store, clock)
        clock.advance(-100_000)
        assert rule_of(desk_of(store, clock).decide(old)) is PairingRule.REPLAYED
        # What is newer than anything forgotten is approved as ever.
        clock.advance(100)
        assert isinstance(desk_of(store, clock).decide(approval_at(clock.now())), Answered)


def test_a_longer_window_revives_no_approval(tmp_path):
    clock = FakeClock()
    old = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        assert isinstance(desk_of(store, clock).decide(old), Answered)
        clock.advance(1000)
        assert isinstance(desk_of(store, clock).decide(approval_at(clock.now())), Answered)
        patient = desk_of(store, clock, max_age_seconds=10_000)
        assert rule_of(patient.decide(old)) is PairingRule.REPLAYED


@pytest.mark.parametrize("mode", ["attested", "confirm"])
def test_what_cannot_be_remembered_is_neither_approved_nor_held(tmp_path, mode):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode=mode)
        store._connection.execute("PRAGMA query_only = ON")
        approval = approval_at(clock.now())
        with pytest.raises(StateError):
            desk.decide(approval)
        assert not desk.waiting()
        assert not desk.devices()
        store._connection.execute("PRAGMA query_only = OFF")
        assert isinstance(desk.decide(approval), Answered | Held)


# What waits for a person


def test_what_passes_every_check_waits_and_is_answered_once_a_person_agrees(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        attested = desk_of(store, clock).decide(approval_at(clock.now() - 1, restrictions=LISTS))
        assert isinstance(attested, Answered)
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, approval_at(clock.now(), restrictions=LISTS))
        assert [item.number for item in desk.waiting()] == [number]
        assert desk.seconds_left(desk.waiting()[0]) == 300
        clock.advance(300)
        settled = desk.approve(number)
        assert settled.outcome is not None
        assert not isinstance(settled.outcome, Denied)
        assert settled.outcome.rune == attested.outcome.rune
        assert not desk.waiting()


def test_what_fails_a_check_does_not_even_wait(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        forged = dataclasses.replace(approval_at(clock.now()), sig=bytes(64))
        assert rule_of(desk.decide(forged)) is PairingRule.SIGNATURE
        assert not desk.waiting()


def test_an_approval_that_comes_again_is_the_same_request(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now())
    s = int.from_bytes(approval.sig[32:], "big")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    mirrored = dataclasses.replace(approval, sig=approval.sig[:32] + (order - s).to_bytes(32, "big"))
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, approval)
        for copy in (approval, mirrored, dataclasses.replace(approval, rune=rune_of(1, "time<99999999999"))):
            again = desk.decide(copy)
            if copy.rune != approval.rune:
                # The same signature with a narrower rune: whatever it is, it makes no second request.
                assert rule_of(again) is PairingRule.WIDENING
                continue
            assert again == Held(desk.waiting()[0], again=True)
        assert [item.number for item in desk.waiting()] == [number]
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        assert held(desk, approval) == number
        newer = approval_at(clock.now() + 1)
        assert held(desk, newer) != number


def test_the_same_signed_bytes_under_another_name_are_no_second_request(tmp_path):
    """The signed bytes do not say where the name ends and the restrictions begin."""
    clock = FakeClock()
    device = public_key(2).hex()
    honest = approval_at(clock.now(), restrictions="")
    text = f"method^list&pubkey={device}"
    message = honest.device_id.encode() + honest.timestamp.to_bytes(8, "big") + KEYS.node_id
    message += ("phone" + text).encode()
    signed = dataclasses.replace(honest, restrictions=text, sig=p256.sign(key_of(1), message))
    shifted = dataclasses.replace(signed, device_name="phoneme", restrictions=text[2:])
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, signed)
        assert rule_of(desk.decide(shifted)) is PairingRule.REPLAYED
        desk.approve(number)
        assert rule_of(desk.decide(shifted)) is PairingRule.REPLAYED


@pytest.mark.parametrize("restart_between", [False, True])
def test_an_approved_request_that_comes_again_gets_the_same_rune_while_it_is_fresh(tmp_path, restart_between):
    """The answer may have been lost on its way, or with the daemon."""
    clock = FakeClock()
    approval = approval_at(clock.now())
    store = StateDb(tmp_path / "db")
    desk = desk_of(store, clock, mode="confirm")
    first = desk.approve(held(desk, approval)).outcome
    if restart_between:
        store.close()
        store = StateDb(tmp_path / "db")
        desk = desk_of(store, clock, mode="confirm")
    with store:
        again = desk.decide(approval)
        assert isinstance(again, Answered)
        assert again.outcome == first
        assert again.by == "owner"
        assert len(desk.devices()[0].runes) == 1
        clock.advance(301)
        assert rule_of(desk.decide(approval)) is PairingRule.STALE
        clock.advance(-301)
        desk.revoke(handle_of(public_key(2)), with_paired=False)
        assert rule_of(desk.decide(approval)) is PairingRule.DEVICE_REVOKED


def test_a_denied_request_stays_denied_whatever_comes(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, approval)
        assert desk.deny(number).item.state is State.DENIED
        assert desk.deny(number).outcome is None
        assert rule_of(desk.decide(approval)) is PairingRule.OWNER
        assert refusal(desk, "approve", number) == "pairing-not-waiting"
    with StateDb(tmp_path / "db") as store:
        assert rule_of(desk_of(store, clock, mode="confirm").decide(approval)) is PairingRule.OWNER
        # Also where nobody would be asked.
        lax = desk_of(store, clock)
        assert rule_of(lax.decide(approval)) is PairingRule.OWNER
        clock.advance(100_000)
        lax.decide(approval_at(clock.now()))
        clock.advance(-100_000)
        assert rule_of(desk_of(store, clock).decide(approval)) in {PairingRule.REPLAYED, PairingRule.OWNER}


def test_an_approved_request_is_not_denied_and_is_approved_twice_without_a_second_rune(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, approval_at(clock.now()))
        desk.approve(number)
        assert desk.approve(number).outcome is None
        assert refusal(desk, "deny", number) == "pairing-not-waiting"
        assert len(desk.devices()[0].runes) == 1


@pytest.mark.parametrize("jump", [301, 10**6, -61, -(10**6)])
@pytest.mark.parametrize("restart_between", [False, True])
def test_what_waited_too_long_by_any_clock_is_over(tmp_path, jump, restart_between):
    clock = FakeClock()
    approval = approval_at(clock.now())
    store = StateDb(tmp_path / "db")
    desk = desk_of(store, clock, mode="confirm")
    number = held(desk, approval)
    assert not desk.expire()
    clock.advance(jump)
    if restart_between:
        store.close()
        store = StateDb(tmp_path / "db")
        desk = desk_of(store, clock, mode="confirm")
    with store:
        assert not desk.waiting()
        assert [item.number for item in desk.expire()] == [number]
        assert not desk.expire()
        assert refusal(desk, "approve", number) in {"pairing-not-waiting", "pairing-unknown"}
        clock.advance(-jump)
        assert rule_of(desk.decide(approval)) in {PairingRule.EXPIRED, PairingRule.REPLAYED}


@pytest.mark.parametrize("jump", [301, -61])
def test_a_request_that_is_over_is_not_approved_even_before_the_clock_was_looked_at(tmp_path, jump):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, approval_at(clock.now()))
        clock.advance(jump)
        assert refusal(desk, "approve", number) in {PairingRule.STALE, PairingRule.FUTURE}
        clock.advance(-jump)
        assert refusal(desk, "approve", number) == "pairing-not-waiting"
        assert not desk.devices()


def test_everything_is_checked_again_when_a_person_agrees(tmp_path):
    clock = FakeClock()
    end = clock.now() + 60
    short = approval_at(clock.now(), restrictions=f"time<{end}", approving=rune_of(1, f"time<{end}"))
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        number = held(desk, short)
        clock.advance(60)
        assert refusal(desk, "approve", number) == PairingRule.RUNE_TIME
        desk.set_policy(PairingPolicy(mode="deny"), ())
        assert refusal(desk, "approve", number) == PairingRule.POLICY
        assert not desk.devices()


def test_a_person_who_agrees_to_nothing_is_told(tmp_path):
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, FakeClock(), mode="confirm")
        assert refusal(desk, "approve", 1) == "pairing-unknown"
        assert refusal(desk, "deny", 0) == "pairing-unknown"


def test_a_number_is_never_given_twice(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        first = held(desk, approval_at(clock.now()))
        clock.advance(100_000)
        desk.expire()
        held(desk, approval_at(clock.now()))
        clock.advance(100_000)
        desk.expire()
    with StateDb(tmp_path / "db") as store:
        assert held(desk_of(store, clock, mode="confirm"), approval_at(clock.now())) == first + 2


def test_one_device_cannot_fill_the_inbox_and_all_of_them_cannot_overflow_it(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        for approver in range(100, 100 + MAX_WAITING // MAX_OF_ONE_DEVICE):
            for number in range(MAX_OF_ONE_DEVICE):
                held(desk, approval_at(clock.now(), device=200 + number, by=approver))
            flood = approval_at(clock.now(), device=300, by=approver)
            assert rule_of(desk.decide(flood)) is PairingRule.INBOX_FULL
        assert len(desk.waiting()) == MAX_WAITING
        late = approval_at(clock.now(), by=1)
        assert rule_of(desk.decide(late)) is PairingRule.INBOX_FULL
        # What is refused for want of room is not remembered: it may come once there is some.
        desk.deny(desk.waiting()[0].number)
        assert isinstance(desk.decide(late), Held)


def test_nobody_is_asked_to_read_what_nobody_reads(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        for long in (
            approval_at(clock.now(), name="n" * 201),
            approval_at(clock.now(), restrictions="method=" + "x" * 5000),
        ):
            assert rule_of(desk.decide(long)) is PairingRule.SIZE
        assert not desk.waiting()


def test_a_policy_that_asks_nobody_any_more_answers_what_waits_when_it_comes_again(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now())
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        held(desk, approval)
        desk.set_policy(PairingPolicy(), ())
        answered = desk.decide(approval)
        assert isinstance(answered, Answered)
        assert answered.by == "attested"
        assert not desk.waiting()


# Without a person


def test_what_fits_a_rule_is_answered_until_the_rules_day_is_used_up(tmp_path):
    clock = FakeClock()

    def decided(device: int, *, name: str = "till-3", restrictions: str = LISTS) -> object:
        return desk.decide(approval_at(clock.now(), device=device, name=name, restrictions=restrictions))

    store = StateDb(tmp_path / "db")
    desk = desk_of(store, clock, mode="confirm", rules=TILL)
    assert isinstance(decided(10, name="phone"), Held)
    assert isinstance(decided(11, restrictions="method^pay"), Held)
    assert isinstance(decided(12, restrictions=""), Held)
    first = decided(13)
    assert isinstance(first, Answered)
    assert first.by == "auto:till-*"
    clock.advance(3600)
    assert isinstance(decided(14, name="till-", restrictions="method=getinfo"), Answered)
    store.close()
    store = StateDb(tmp_path / "db")
    desk = desk_of(store, clock, mode="confirm", rules=TILL)
    assert isinstance(decided(15), Held)
    # Within 24 hours of the first, a clock that is set back gives nothing either.
    clock.advance(86_400 - 3600 - 1)
    assert isinstance(decided(16), Held)
    clock.advance(-200_000)
    assert not isinstance(decided(17), Answered)
    clock.advance(200_001)
    with store:
        assert isinstance(decided(18), Answered)
        assert isinstance(decided(19), Held)


def test_an_answer_by_a_rule_that_is_asked_for_again_is_given_again_and_counts_once(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now(), name="till-1", restrictions=LISTS)
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm", rules=TILL)
        first = desk.decide(approval)
        assert isinstance(first, Answered)
        for _ in range(5):
            again = desk.decide(approval)
            assert isinstance(again, Answered)
            assert (again.outcome, again.again) == (first.outcome, True)
        other = approval_at(clock.now(), device=3, name="till-2", restrictions=LISTS)
        assert isinstance(desk.decide(other), Answered)


def test_what_waits_already_is_not_let_through_by_a_rule_that_comes_later(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now(), name="till-1", restrictions=LISTS)
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        held(desk, approval)
        desk.set_policy(PairingPolicy(mode="confirm"), TILL)
        assert isinstance(desk.decide(approval), Held)


def test_a_rule_answers_nothing_while_every_approval_is_answered_or_none(tmp_path):
    clock = FakeClock()
    approval = approval_at(clock.now(), name="till-1", restrictions=LISTS)
    with StateDb(tmp_path / "db") as store:
        assert rule_of(desk_of(store, clock, mode="deny", rules=TILL).decide(approval)) is PairingRule.POLICY


# The register


def test_the_register_says_who_was_paired_by_whom_and_holds_no_rune(tmp_path):
    clock = FakeClock()
    path = tmp_path / "db"
    with StateDb(path) as store:
        desk = desk_of(store, clock, mode="confirm")
        approval = approval_at(clock.now(), restrictions=LISTS)
        outcome = desk.approve(held(desk, approval)).outcome
        assert outcome is not None
        assert not isinstance(outcome, Denied)
        (phone, first) = desk.devices()
        assert (phone.key, phone.name, phone.last_used, phone.revoked) == (public_key(2), "phone", None, None)
        (rune,) = phone.runes
        assert (rune.restrictions, rune.time, rune.by) == (approval.restrictions, clock.now(), "owner")
        assert (rune.approver, first.key, first.last_used) == (public_key(1), public_key(1), clock.now())
        assert not first.runes
    for secret in (outcome.rune, approval.rune):
        for authcode in (secret.encode(), Rune.from_base64(secret).authcode):
            assert all(authcode not in part.read_bytes() for part in tmp_path.iterdir())
    with StateDb(path) as store:
        assert desk_of(store, clock).devices() == (phone, first)


def test_the_last_use_of_a_device_is_known_to_the_minute(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock)
        seen = []
        for seconds in (0, 59, 1, -3600):
            clock.advance(seconds)
            desk.decide(approval_at(clock.now(), device=10 + len(seen)))
            seen.append(next(d.last_used for d in desk.devices() if d.key == public_key(1)) or 0)
        start = seen[0]
        assert [time - start for time in seen] == [0, 0, 60, -3540]


@pytest.mark.parametrize("mode", ["attested", "confirm"])
def test_a_revoked_device_approves_nothing_and_comes_back_with_no_key_of_its_own(tmp_path, mode):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode=mode)
        assert not isinstance(desk.decide(approval_at(clock.now())), Denied)
        revoked = desk.revoke(
            handle_of(public_key(1))[:6] if mode == "attested" else public_key(1).hex(), with_paired=False
        )
        assert revoked.new == (public_key(1),)
        clock.advance(1)
        assert rule_of(desk.decide(approval_at(clock.now(), device=3))) is PairingRule.RUNE_REVOKED
        narrowed = Rune.from_base64(rune_of(1)).restrict(["method=approvepairing"]).to_base64()
        derived = approval_at(clock.now(), device=3, restrictions="method=approvepairing", approving=narrowed)
        assert rule_of(desk.decide(derived)) is PairingRule.RUNE_REVOKED
        again = approval_at(clock.now(), device=1, by=5)
        assert rule_of(desk.decide(again)) is PairingRule.DEVICE_REVOKED
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode=mode)
        assert rule_of(desk.decide(approval_at(clock.now(), device=3))) is PairingRule.RUNE_REVOKED
        assert desk.revoke(public_key(1).hex(), with_paired=False).new == ()


def test_revoking_a_device_denies_what_waits_for_it_and_by_it_and_nothing_else(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        by_it = held(desk, approval_at(clock.now(), by=1, device=3))
        for_it = held(desk, approval_at(clock.now(), by=4, device=1))
        other = held(desk, approval_at(clock.now(), by=4, device=5))
        denied = desk.revoke(public_key(1).hex(), with_paired=False).denied
        assert [item.number for item in denied] == [by_it, for_it]
        assert [item.number for item in desk.waiting()] == [other]
        assert refusal(desk, "approve", by_it) == "pairing-not-waiting"
        assert desk.approve(other).outcome is not None


def test_revoking_a_device_with_all_that_it_let_in_goes_down_to_the_last(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock)
        for approver, device in ((1, 2), (2, 3), (3, 4), (1, 5), (6, 7), (4, 2)):
            assert isinstance(desk.decide(approval_at(clock.now(), by=approver, device=device)), Answered)
            clock.advance(1)
        revoked = desk.revoke(public_key(2).hex(), with_paired=True)
        assert set(revoked.new) == {public_key(n) for n in (2, 3, 4)}
        assert revoked.devices[0].key == public_key(2)
        assert rule_of(desk.decide(approval_at(clock.now(), by=4, device=9))) is PairingRule.RUNE_REVOKED
        assert isinstance(desk.decide(approval_at(clock.now(), by=5, device=9)), Answered)


@pytest.mark.parametrize("name", ["", "ab", "zzzz", "00" * 65, "04" + "00" * 64, "0123456789abcdef"])
def test_a_device_that_there_is_not_is_not_revoked(tmp_path, name):
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, FakeClock())
        with pytest.raises(Refused, match="no device") as refused:
            desk.revoke(name, with_paired=False)
        assert refused.value.rule == "device-unknown"
        assert not desk.devices()


def test_a_full_register_makes_no_further_runes_until_devices_are_revoked(tmp_path, monkeypatch):
    monkeypatch.setattr(pairings, "MAX_RUNES", 3)
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock)
        for device in (2, 3, 4):
            assert isinstance(desk.decide(approval_at(clock.now(), device=device)), Answered)
        one_more = approval_at(clock.now(), device=5)
        assert rule_of(desk.decide(one_more)) is PairingRule.REGISTER_FULL
        desk.set_policy(PairingPolicy(mode="confirm"), ())
        number = held(desk, approval_at(clock.now(), device=6))
        assert refusal(desk, "approve", number) == PairingRule.REGISTER_FULL
        desk.revoke(public_key(2).hex(), with_paired=False)
        assert desk.approve(number).outcome is not None
    with StateDb(tmp_path / "db") as store:
        assert rule_of(desk_of(store, clock).decide(one_more)) is PairingRule.REGISTER_FULL


def test_what_a_device_wants_beyond_all_measure_is_kept_in_part(tmp_path):
    clock = FakeClock()
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock)
        long = approval_at(clock.now(), name="n" * 10_000, restrictions="method=" + "x" * 100_000)
        assert isinstance(desk.decide(long), Answered)
        (rune,) = desk.devices()[0].runes
        assert len(rune.name) == 201
        assert len(rune.restrictions) == 4097


def test_the_store_of_before_goes_on(tmp_path, monkeypatch):
    """Approvals that were answered before there was a register stay answered."""
    clock = FakeClock()
    approval = approval_at(clock.now())
    number = next(n for n, text in enumerate(schema.MIGRATIONS) if "TABLE minted" in text)
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:number])
        before.setattr(schema, "VERSION", number)
        with StateDb(tmp_path / "db") as store:
            store.remember_approval(
                digest_of(approval),
                timestamp=UnixTime(approval.timestamp),
                expires=UnixTime(approval.timestamp + 360),
                now=clock.now(),
            )
    with StateDb(tmp_path / "db") as store:
        desk = desk_of(store, clock, mode="confirm")
        assert rule_of(desk.decide(approval)) is PairingRule.REPLAYED
        assert not desk.devices()
