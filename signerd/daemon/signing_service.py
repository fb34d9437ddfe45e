"""Decide, remember, and only then let the answer go."""

from __future__ import annotations

import traceback
from pathlib import PurePath

from signerd.core import pairing
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.daemon.clock import Clock
from signerd.errors import SignerdError
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

BUG_RULE = "internal-error"
_RELOAD_EVERY = 1024


class SigningService:
    """Holds signer, policy and store. Not async on purpose: no cancellation falls between the steps."""

    def __init__(self, signer: Signer, policy: PairingPolicy, store: StateDb, clock: Clock) -> None:
        self.signer = signer
        self._policy = policy
        self._store = store
        self._clock = clock
        self._approvals = store.approvals()
        self._approval_floor = store.approval_floor()
        self._decided = 0

    def use(self, policy: PairingPolicy) -> None:
        """From the next approval on, decide by this policy."""
        self._policy = policy

    def answer(self, request: SigningRequest) -> Signed | Refusal:
        """The answer to a node's request; what it changes is on disk before this returns.

        A bug refuses the one request that met it: a node that knows how to meet it must not be able to end
        us, and what decides has changed nothing. Raises StateError when the store fails.
        """
        try:
            outcome = self.signer.handle(request, self._store, self._clock.now())
        except SignerdError:
            raise
        except Exception as bug:  # noqa: BLE001 - the one place where a bug is told and not raised
            return Refusal(BUG_RULE, f"a bug in signerd, please report it: {_place(bug)}")
        if isinstance(outcome, Signed) and not outcome.changes.empty:
            self._store.commit(outcome.changes)
        return outcome

    def decide_pairing(self, approval: PairingApproval) -> Approved | Denied:
        """The decision on a pairing approval; an approval is on disk before this returns.

        Raises StateError when it cannot be: then nothing was approved.
        """
        now = self._clock.now()
        outcome = pairing.decide(approval, self.signer.keys, self._policy, self._approvals, now)
        if not isinstance(outcome, Approved):
            return outcome
        timestamp = UnixTime(approval.timestamp)
        if timestamp <= self._approval_floor:
            # This clock was ahead once, and approvals of that time are forgotten.
            return Denied(
                PairingRule.REPLAYED,
                "this approval is as old as some that were answered and forgotten",
                hint="approve again; if it stays so, this machine's clock was set back",
            )
        self._store.remember_approval(outcome.digest, timestamp=timestamp, expires=outcome.expires, now=now)
        self._approvals[outcome.digest] = outcome.expires
        self._decided += 1
        if self._decided % _RELOAD_EVERY == 0:
            self._approvals = self._store.approvals()
            self._approval_floor = self._store.approval_floor()
        return outcome


def _place(bug: Exception) -> str:
    """Where it was and what kind; not its words, which may quote what is secret."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = ", ".join(f"{PurePath(frame.filename).stem}:{frame.lineno}" for frame in frames[-4:])
    return f"{type(bug).__name__} at {where}"
