"""Every decision leaves a record: here they meet, in their order, and go to disk.

What moves money, is refused or changes anything is written in one transaction with what it changes, before
anybody hears of it. Routine answers are written with the next one, or by `flush` (`core/audit/routine.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from signerd.core.audit.record import Decision, Record
from signerd.core.audit.trail import Trail
from signerd.core.state.book import NO_CHANGES, Changes
from signerd.daemon.clock import Clock
from signerd.store.state_db import StateDb


class Recorder:
    """One for each store in use. Raises StateError when the disk fails, and then nothing has changed."""

    def __init__(self, store: StateDb, clock: Clock) -> None:
        self.clock = clock
        self._store = store
        self._trail = Trail(store.audit_head.number)
        self._latest: Record | None = None

    @property
    def latest(self) -> Record | None:
        """The record of the decision that was made last; number 0 if it is only counted."""
        return self._latest

    def routine(self, decision: Decision) -> None:
        """An answer that moves nothing: its record is written with the next one."""
        self._latest = self._trail.add(decision)

    def refusal(self, decision: Decision) -> None:
        """On disk when this returns, unless too many are alike: those are counted."""
        counted = self._trail.refused_too_often(decision)
        if counted is not None:
            self._latest = counted
        else:
            self.record(decision)

    def record(self, decision: Decision, changes: Changes = NO_CHANGES) -> None:
        """In one transaction with what the decision changes, and after all that was decided before."""
        with self.with_changes(decision) as records:
            self._store.commit(changes, records)

    @contextlib.contextmanager
    def with_changes(self, *decisions: Decision) -> Iterator[Sequence[Record]]:
        """For who writes the changes: these records belong into the transaction, which ends in the block.

        Whatever fails in the block, what is on disk is not written again: its numbers are taken.
        """
        records = self._trail.with_more(*decisions)
        try:
            yield records
        except BaseException:
            if records and self._store.audit_head.number >= records[-1].number:
                self._written(records)
            raise
        self._written(records)

    def _written(self, records: tuple[Record, ...]) -> None:
        self._trail.written(records)
        self._latest = records[-1] if records else self._latest

    def flush(self) -> None:
        """Write what is decided and not on disk yet, in its order. Raises StateError, and then keeps it."""
        if self._trail.idle:
            return
        self._trail.close_counts()
        records = self._trail.pending
        self._store.commit(NO_CHANGES, records)
        self._trail.written(records)
