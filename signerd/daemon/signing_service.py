"""Decide, remember, and only then let the answer go."""

from __future__ import annotations

from signerd.core import pairing
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.daemon.clock import Clock
from signerd.store.state_db import StateDb

_PRUNE_EVERY = 1024


class SigningService:
    """Holds signer, policy and store. Not async on purpose: no cancellation falls between the steps."""

    def __init__(self, signer: Signer, policy: PairingPolicy, store: StateDb, clock: Clock) -> None:
        self.signer = signer
        self._policy = policy
        self._store = store
        self._clock = clock
        self._approvals = store.approvals(clock.now())
        self._decided = 0

    def answer(self, request: SigningRequest) -> Signed | Refusal:
        """The answer to a node's request; what it changes is on disk before this returns.

        Raises StateError when it cannot be: then nothing was answered.
        """
        outcome = self.signer.handle(request, self._store, self._clock.now())
        if isinstance(outcome, Signed) and not outcome.changes.empty:
            self._store.commit(outcome.changes)
        return outcome

    def decide_pairing(self, approval: PairingApproval) -> Approved | Denied:
        """The decision on a pairing approval; an approval is on disk before this returns.

        Raises StateError when it cannot be: then nothing was approved.
        """
        now = self._clock.now()
        outcome = pairing.decide(approval, self.signer.keys, self._policy, self._approvals, now)
        if isinstance(outcome, Approved):
            self._store.remember_approval(outcome.digest, expires=outcome.expires, now=now)
            self._approvals[outcome.digest] = outcome.expires
            self._forget_expired(now)
        return outcome

    def _forget_expired(self, now: int) -> None:
        self._decided += 1
        if self._decided % _PRUNE_EVERY == 0:
            self._approvals = {d: e for d, e in self._approvals.items() if e >= now}
