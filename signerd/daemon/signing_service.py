"""Decide, remember, and only then let the answer go."""

from __future__ import annotations

import traceback
from pathlib import PurePath

from signerd.core.audit import decision as decisions
from signerd.core.audit import routine
from signerd.core.audit.record import Record
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.daemon.recorder import Recorder
from signerd.errors import SignerdError
from signerd.store.state_db import StateDb

BUG_RULE = "internal-error"


class SigningService:
    """Holds signer and store. Not async on purpose: no cancellation falls between the steps."""

    def __init__(self, signer: Signer, store: StateDb, recorder: Recorder) -> None:
        self.signer = signer
        self._store = store
        self._recorder = recorder

    @property
    def latest(self) -> Record | None:
        """The record of the decision that was made last; number 0 if it is only counted."""
        return self._recorder.latest

    def answer(self, request: SigningRequest) -> Signed | Refusal:
        """The answer to a node's request; what it changes is on disk before this returns.

        A bug refuses the one request that met it: a node that knows how to meet it must not be able to end
        us, and what decides has changed nothing. Raises StateError when the store fails: then nothing was
        decided and nothing may be told, but that the store fails. `guarded` does that, and does not end.
        """
        now = self._recorder.clock.now()
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
            self._recorder.refusal(decision)
        elif routine.is_routine(int.from_bytes(request.raw[:2], "big"), outcome):
            self._recorder.routine(decision)
        else:
            self._recorder.record(decision, outcome.changes)
        return outcome


def _place(bug: Exception) -> str:
    """Where it was and what kind; not its words, which may quote what is secret."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = ", ".join(f"{PurePath(frame.filename).stem}:{frame.lineno}" for frame in frames[-4:])
    return f"{type(bug).__name__} at {where}"
