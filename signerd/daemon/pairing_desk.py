"""Decide on pairing approvals, and remember what was decided before anybody hears of it.

Nothing here is async, on purpose: no cancellation and no other decision falls between two steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signerd.core import devices, pairing, pairing_inbox
from signerd.core.audit import decision as decisions
from signerd.core.audit.record import Decision
from signerd.core.devices import Device, MintedRune
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.pairing_auto import DAY_SECONDS, AutoRule, fitting_rule
from signerd.core.pairing_inbox import Item, Revoked, Settled, State
from signerd.daemon.clock import Clock
from signerd.daemon.recorder import Recorder
from signerd.errors import Refused
from signerd.store.pairings import MAX_RUNES, Pairings
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

ATTESTED, OWNER, AUTO = "attested", "owner", "auto:"
"""Who said yes to a new device."""

UNREADABLE_RULE = "malformed"
_RELOAD_EVERY = 1024
_OVER = {PairingRule.STALE, PairingRule.FUTURE}
_REVOKED = {PairingRule.RUNE_REVOKED, PairingRule.DEVICE_REVOKED}


@dataclass(frozen=True, slots=True)
class Held:
    """The approval waits for a person; `again` when it came before."""

    item: Item
    again: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The approval is answered with `outcome`, as it may have been before; `by` says who agreed to it."""

    outcome: Approved
    by: str
    again: bool = False


class PairingDesk:
    """Holds the node's keys, the policy with its rules, and what the store knows of pairings."""

    def __init__(
        self,
        keys: NodeKeys,
        policy: PairingPolicy,
        rules: Sequence[AutoRule],
        store: StateDb,
        recorder: Recorder,
    ) -> None:
        self._keys = keys
        self._policy = policy
        self._rules = tuple(rules)
        self._store = store
        self._recorder = recorder
        self._clock = recorder.clock
        self._pairings = Pairings(store)
        self._approvals = store.approvals()
        self._approval_floor = store.approval_floor()
        self._decided = 0

    def set_policy(self, policy: PairingPolicy, rules: Sequence[AutoRule]) -> None:
        """Decide by these from now on, also what waits already."""
        self._policy = policy
        self._rules = tuple(rules)

    @property
    def clock(self) -> Clock:
        """By which all of this is decided."""
        return self._clock

    @property
    def latest_record(self) -> int | None:
        """The number under which the latest decision is recorded; None for one that is only counted."""
        latest = self._recorder.latest
        return latest.number or None if latest else None

    @property
    def holds_for_a_person(self) -> bool:
        """Whether there is an inbox at all."""
        return self._policy.mode == "confirm"

    @property
    def revoked(self) -> devices.RevokedKeys:
        """The keys of revoked devices, for `devices.require_standing`: those of the moment when it looks."""
        return self._pairings.revoked

    def refuse_unreadable(self, request_id: int, reason: str) -> None:
        """Record that the scheduler sent what is no approval. Raises StateError."""
        now = self._clock.now()
        self._recorder.refusal(decisions.of_pairing(request_id, now, rule=UNREADABLE_RULE, reason=reason))

    def decide(self, approval: PairingApproval, request_id: int = 0) -> Answered | Denied | Held:
        """What becomes of an approval; what it changes is on disk before this returns.

        An approval that came before gets the same again for as long as it is fresh: it waits in its place, or
        has the very rune that it got, or is refused. Raises StateError when the disk fails: then nothing was
        approved.
        """
        outcome = self._decide(approval, request_id)
        if isinstance(outcome, Denied):
            refused = _decision(approval, self._clock.now(), request_id=request_id, denied=outcome)
            self._recorder.refusal(refused)
        elif isinstance(outcome, Answered) and outcome.again:
            # It changes nothing: the rune is out already, and its first answer is recorded.
            now, digest = self._clock.now(), outcome.outcome.digest
            again = _decision(approval, now, request_id=request_id, digest=digest, by=outcome.by)
            self._recorder.routine(again)
        return outcome

    def _decide(self, approval: PairingApproval, request_id: int) -> Answered | Denied | Held:
        now = self._clock.now()
        outcome = pairing.decide(
            approval,
            self._keys,
            self._policy,
            _Answered(self._approvals, self._pairings),
            now,
            self._pairings.revoked,
        )
        if isinstance(outcome, Denied):
            return outcome
        item = self._pairings.items.get(outcome.digest)
        if item is None:
            return self._decide_new(approval, outcome, now, request_id)
        if (item.approval.device_name, item.approval.restrictions) != (
            approval.device_name,
            approval.restrictions,
        ):
            # The signed bytes do not say where the name ends: the same ones, cut in another place.
            return _replayed("this approval came before, with another name")
        if item.state is not State.WAITING:
            return pairing_inbox.answer_again(item) or Answered(outcome, item.rule, again=True)
        if self.holds_for_a_person:
            return Held(item, again=True)
        return self._grant(approval, outcome, ATTESTED, now, request_id, item=item)

    def waiting(self) -> tuple[Item, ...]:
        """What waits for a person, in the order in which it came."""
        now = self._clock.now()
        return tuple(i for i in self._pairings.waiting if not pairing_inbox.is_over(i, self._policy, now))

    @property
    def holds_anything(self) -> bool:
        """Whether something waits, also what has run out and is not closed yet."""
        return bool(self._pairings.waiting)

    def seconds_left(self, item: Item) -> int:
        """How long it may still be approved."""
        return max(0, pairing_inbox.waits_until(item, self._policy) - self._clock.now())

    def approve(self, number: int, request_id: int = 0) -> Settled:
        """A person agrees: everything is checked again, as it is now. Raises Refused."""
        item = self._item(number)
        pairing_inbox.require_waiting(item, State.APPROVED)
        if item.state is State.APPROVED:
            return Settled(item, None)
        now = self._clock.now()
        approval = item.with_rune(self._keys)
        outcome = pairing.decide(approval, self._keys, self._policy, frozenset(), now, self._pairings.revoked)
        if isinstance(outcome, Approved):
            granted = self._grant(approval, outcome, OWNER, now, request_id, item=item)
            outcome = granted if isinstance(granted, Denied) else granted.outcome
        if isinstance(outcome, Denied):
            if outcome.rule in _OVER:
                self._close([item], State.EXPIRED, PairingRule.EXPIRED, request_id)
            elif outcome.rule in _REVOKED:
                self._close([item], State.DENIED, outcome.rule, request_id)
            else:
                # It waits still: what refuses it now may be gone when it is approved again.
                refused = _decision(approval, now, request_id=request_id, digest=item.digest, denied=outcome)
                self._recorder.refusal(refused)
            raise Refused(outcome.rule, f"request {number}: {outcome.reason}", hint=outcome.hint)
        return Settled(self._item(number), outcome)

    def deny(self, number: int, request_id: int = 0) -> Settled:
        """A person does not agree. Raises Refused."""
        item = self._item(number)
        pairing_inbox.require_waiting(item, State.DENIED)
        if item.state is State.DENIED:
            return Settled(item, None)
        (denied,) = self._close([item], State.DENIED, PairingRule.OWNER, request_id)
        return Settled(denied, Denied(PairingRule.OWNER, "the owner of this signer said no"))

    def expire(self) -> tuple[Item, ...]:
        """Close what waited too long, by this clock as it is now; what was closed."""
        now = self._clock.now()
        over = [item for item in self._pairings.waiting if pairing_inbox.is_over(item, self._policy, now)]
        return self._close(over, State.EXPIRED, PairingRule.EXPIRED) if over else ()

    def devices(self) -> tuple[Device, ...]:
        """Every device that is known."""
        return self._pairings.devices()

    def known_devices(self) -> tuple[Device, ...]:
        """As much of it as can be read."""
        return self._pairings.known_devices()

    def revoke(self, name: str, *, with_paired: bool) -> Revoked:
        """Believe a device no more, by its handle, the beginning of that, or its whole key in hex.

        `with_paired`: nor those that it let in, and those that these let in. Raises Refused.
        """
        self._keep_short()
        revoked = revoke(self._pairings, self._recorder, name, with_paired=with_paired)
        self._note(revoked.denied)
        return revoked

    def _decide_new(
        self, approval: PairingApproval, outcome: Approved, now: UnixTime, request_id: int
    ) -> Answered | Denied | Held:
        if approval.timestamp <= self._approval_floor:
            # This clock was ahead once, and approvals of that time are forgotten.
            return _replayed("this approval is as old as some that were answered and forgotten")
        if not self.holds_for_a_person:
            return self._grant(approval, outcome, ATTESTED, now, request_id)
        since = UnixTime(now - DAY_SECONDS)
        rule = fitting_rule(
            self._rules,
            approval.device_name,
            outcome.granted,
            lambda pattern: self._pairings.auto_count(pattern, since),
        )
        if rule is not None:
            item = self._new_item(approval, outcome, now)
            return self._grant(approval, outcome, AUTO + rule.pattern, now, request_id, item=item)
        refusal = pairing_inbox.why_not_held(approval, self._pairings.waiting)
        return refusal or Held(self._pairings.hold(self._new_item(approval, outcome, now)), again=False)

    def _new_item(self, approval: PairingApproval, outcome: Approved, now: UnixTime) -> Item:
        without_rune, approver = pairing_inbox.to_hold(approval)
        return Item(0, outcome.digest, without_rune, approver, received=now, expires=outcome.expires)

    def _grant(
        self,
        approval: PairingApproval,
        outcome: Approved,
        by: str,
        now: UnixTime,
        request_id: int = 0,
        *,
        item: Item | None = None,
    ) -> Answered | Denied:
        if self._pairings.is_full:
            return Denied(
                PairingRule.REGISTER_FULL,
                f"{MAX_RUNES} runes are in the register, of devices that are not revoked",
                hint="revoke devices that you do not know: `signerd devices`",
            )
        minted = MintedRune(
            device=bytes.fromhex(approval.device_id),
            name=devices.cut(approval.device_name, devices.SHOWN_NAME),
            restrictions=devices.cut(approval.restrictions, devices.SHOWN_RESTRICTIONS),
            fingerprint=devices.fingerprint_of(outcome.granted.authcode),
            time=now,
            approver=approval.pubkey,
            by=by,
        )
        self._keep_short()
        timestamp = UnixTime(approval.timestamp)
        decision = _decision(approval, now, request_id=request_id, digest=outcome.digest, by=by)
        with self._recorder.with_changes(decision) as records:
            self._pairings.grant(
                minted,
                digest=outcome.digest,
                timestamp=timestamp,
                expires=outcome.expires,
                item=item,
                records=records,
            )
        self._approvals[outcome.digest] = outcome.expires
        self._decided += 1
        return Answered(outcome, by)

    def _close(self, items: Sequence[Item], state: State, rule: str, request_id: int = 0) -> tuple[Item, ...]:
        self._keep_short()
        now = self._clock.now()
        told = [_closing(item, rule, now, request_id) for item in items]
        with self._recorder.with_changes(*told) as records:
            closed = self._pairings.close(items, state, rule, now, records)
        self._note(closed)
        return closed

    def _note(self, items: Sequence[Item]) -> None:
        self._approvals |= {item.digest: item.expires for item in items}
        self._decided += 1

    def _keep_short(self) -> None:
        """Forget, at times, what the store has forgotten. It may fail: before a change, never after one."""
        if self._decided >= _RELOAD_EVERY:
            self._approvals, self._approval_floor = self._store.approvals(), self._store.approval_floor()
            self._decided = 0

    def _item(self, number: int) -> Item:
        for item in self._pairings.items.values():
            if item.number == number:
                return item
        raise Refused(
            "pairing-unknown",
            f"there is no request {number}",
            hint="`signerd pairing list` shows those that wait",
        )


def revoke(pairings: Pairings, recorder: Recorder, name: str, *, with_paired: bool) -> Revoked:
    """As `PairingDesk.revoke`, for who owns the store while no signer runs."""
    now, rule = recorder.clock.now(), PairingRule.RUNE_REVOKED
    plan = pairings.plan_revocation(name, with_paired=with_paired)
    told = [_closing(item, rule, now) for item in plan.waiting]
    if plan.new:
        told.insert(0, decisions.of_revocation(now, plan.concerned[0].handle, len(plan.new) - 1))
    with recorder.with_changes(*told) as records:
        return pairings.revoke(plan, rule=rule, now=now, records=records)


def _closing(item: Item, rule: str, now: UnixTime, request_id: int = 0) -> Decision:
    denied = Denied(PairingRule(rule), "it was not approved while it could be")
    return _decision(item.approval, now, request_id=request_id, digest=item.digest, denied=denied)


def _decision(
    approval: PairingApproval,
    now: UnixTime,
    *,
    request_id: int = 0,
    digest: bytes | None = None,
    denied: Denied | None = None,
    by: str = "",
) -> Decision:
    return decisions.of_pairing(
        request_id,
        now,
        device_id=approval.device_id,
        device_name=approval.device_name,
        restrictions=approval.restrictions,
        approval_digest=digest,
        rule=None if denied is None else str(denied.rule),
        reason=None if denied is None else denied.reason,
        by=by,
    )


def _replayed(reason: str) -> Denied:
    return Denied(
        PairingRule.REPLAYED, reason, hint="approve again; if it stays so, this machine's clock was set back"
    )


@dataclass(frozen=True, slots=True)
class _Answered:
    """What was answered and is not to be answered again. What the inbox knows has its own answer."""

    approvals: dict[bytes, UnixTime]
    pairings: Pairings

    def __contains__(self, digest: object) -> bool:
        return digest in self.approvals and digest not in self.pairings.items
