"""Decide, remember, and only then let the answer go."""

from __future__ import annotations

import traceback
from pathlib import PurePath

from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.daemon.clock import Clock
from signerd.errors import SignerdError
from signerd.store.state_db import StateDb

BUG_RULE = "internal-error"


class SigningService:
    """Holds signer and store. Not async on purpose: no cancellation falls between the steps."""

    def __init__(self, signer: Signer, store: StateDb, clock: Clock) -> None:
        self.signer = signer
        self._store = store
        self._clock = clock

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


def _place(bug: Exception) -> str:
    """Where it was and what kind; not its words, which may quote what is secret."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = ", ".join(f"{PurePath(frame.filename).stem}:{frame.lineno}" for frame in frames[-4:])
    return f"{type(bug).__name__} at {where}"
