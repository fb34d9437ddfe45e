"""Decide, remember, and only then let the answer go."""

from __future__ import annotations

import traceback
from pathlib import PurePath

from signerd.core import pairing
from signerd.core.audit import decision as decisions
from signerd.core.audit import routine
from signerd.core.audit.record import Decision, Record
from signerd.core.audit.trail import Trail
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import NO_CHANGES, Changes
from signerd.daemon.clock import Clock
from signerd.errors import SignerdError
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

BUG_RULE = "internal-error"
_RELOAD_EVERY = 1024


class SigningService:
    """Holds signer, policy and store. Not async on purpose: no cancellation falls between the steps.

    Each decision leaves a record. Which ones are on disk before the answer leaves, and which are written with
    the next one or by `flush`, is in `core/audit/routine.py`.
    """

    def __init__(self, signer: Signer, policy: PairingPolicy, store: StateDb, clock: Clock) -> None:
        self.signer = signer
        self._policy = policy
        self._store = store
        self.clock = clock
        self._approvals = store.approvals()
        self._approval_floor = store.approval_floor()
        self._decided = 0
        self._trail = Trail(store.audit_head.number)
        self._latest: Record | None = None

    @property
    def latest(self) -> Record | None:
        """The record of the decision that was made last; number 0 if it is only counted."""
        return self._latest

    def answer(self, request: SigningRequest) -> Signed | Refusal:
        """The answer to a node's request; what it changes is on disk before this returns.

        A bug refuses the one request that met it: a node that knows how to meet it must not be able to end
        us, and what decides has changed nothing. Raises StateError when the store fails: then nothing was
        decided, and nothing may be told.
        """
        now = self.clock.now()
        outcome: Signed | Refusal
        try:
            outcome = self.signer.handle(request, self._store, now)
            decision = decisions.of_request(request, outcome, now)
        except SignerdError:
            raise
        except Exception as bug:  # noqa: BLE001 - the one place where a bug is told and not raised
            outcome = Refusal(BUG_RULE, f"a bug in signerd, please report it: {_place(bug)}")
            decision = decisions.of_request(request, outcome, now)
        if isinstance(outcome, Refusal):
            self._record_refusal(decision)
        elif routine.is_routine(int.from_bytes(request.raw[:2], "big"), outcome):
            self._latest = self._trail.add(decision)
        else:
            self._record(decision, outcome.changes)
        return outcome

    def decide_pairing(self, approval: PairingApproval, *, request_id: int = 0) -> Approved | Denied:
        """The decision on a pairing approval; it is on disk before this returns.

        Raises StateError when it cannot be: then nothing was approved.
        """
        now = self.clock.now()
        outcome = pairing.decide(approval, self.signer.keys, self._policy, self._approvals, now)
        timestamp = UnixTime(approval.timestamp)
        if isinstance(outcome, Approved) and timestamp <= self._approval_floor:
            # This clock was ahead once, and approvals of that time are forgotten.
            outcome = Denied(
                PairingRule.REPLAYED,
                "this approval is as old as some that were answered and forgotten",
                hint="approve again; if it stays so, this machine's clock was set back",
            )
        refused = outcome if isinstance(outcome, Denied) else None
        decision = decisions.of_pairing(
            request_id,
            now,
            device_id=approval.device_id,
            device_name=approval.device_name,
            restrictions=approval.restrictions,
            approval_digest=outcome.digest if isinstance(outcome, Approved) else None,
            rule=None if refused is None else str(refused.rule),
            reason=None if refused is None else refused.reason,
        )
        if isinstance(outcome, Denied):
            self._record_refusal(decision)
            return outcome
        records = self._trail.with_one_more(decision)
        self._store.remember_approval(
            outcome.digest, timestamp=timestamp, expires=outcome.expires, now=now, records=records
        )
        self._note_written(records)
        self._approvals[outcome.digest] = outcome.expires
        self._decided += 1
        if self._decided % _RELOAD_EVERY == 0:
            self._approvals = self._store.approvals()
            self._approval_floor = self._store.approval_floor()
        return outcome

    def refuse_pairing(
        self, *, request_id: int, rule: str, reason: str, approval: PairingApproval | None = None
    ) -> None:
        """Record that a pairing request was refused without a look at its rules. Raises StateError.

        `approval` is None for one that could not be read.
        """
        self._record_refusal(
            decisions.of_pairing(
                request_id,
                self.clock.now(),
                device_id=approval.device_id if approval else "",
                device_name=approval.device_name if approval else "",
                restrictions=approval.restrictions if approval else "",
                rule=rule,
                reason=reason,
            )
        )

    def flush(self) -> None:
        """Write what is decided and not on disk yet, in its order. Raises StateError, and then keeps it."""
        if self._trail.idle:
            return
        self._trail.close_counts()
        records = self._trail.pending
        self._store.commit(NO_CHANGES, records)
        self._trail.written(records)

    def _record_refusal(self, decision: Decision) -> None:
        counted = self._trail.refused_too_often(decision)
        if counted is not None:
            self._latest = counted
        else:
            self._record(decision, NO_CHANGES)

    def _record(self, decision: Decision, changes: Changes) -> None:
        """In one transaction with what the decision changes, and after all that was decided before."""
        records = self._trail.with_one_more(decision)
        self._store.commit(changes, records)
        self._note_written(records)

    def _note_written(self, records: tuple[Record, ...]) -> None:
        self._trail.written(records)
        self._latest = records[-1]


def _place(bug: Exception) -> str:
    """Where it was and what kind; not its words, which may quote what is secret."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = ", ".join(f"{PurePath(frame.filename).stem}:{frame.lineno}" for frame in frames[-4:])
    return f"{type(bug).__name__} at {where}"
