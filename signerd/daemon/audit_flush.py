"""Write the routine records within a second, and forget the oldest beyond what is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from signerd.daemon.clock import Clock
from signerd.daemon.recorder import Recorder
from signerd.daemon.store_health import StoreHealth
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

FLUSH_SECONDS = 0.9
"""Below the second that is promised: the transaction takes its own time."""
PRUNE_EVERY = 60.0
DAY = 86_400


@dataclass(frozen=True, slots=True)
class AuditFlush:
    """The loop of both."""

    recorder: Recorder
    store: StateDb
    health: StoreHealth
    clock: Clock
    keep_records: int
    keep_days: int

    async def run(self, seconds: float = FLUSH_SECONDS) -> None:
        """Until cancelled. Raises StateLost."""
        due = self.clock.monotonic()
        while True:
            await asyncio.sleep(seconds)
            if self.health.reason is not None:
                continue
            with self.health.noting():
                self.recorder.flush()
                if self.clock.monotonic() >= due and not self.prune():
                    due = self.clock.monotonic() + PRUNE_EVERY

    def prune(self) -> bool:
        """One step of forgetting; whether there may be more to forget. Raises StateError."""
        oldest = UnixTime(self.clock.now() - self.keep_days * DAY)
        return self.store.prune_audit(keep=self.keep_records, oldest=oldest)
