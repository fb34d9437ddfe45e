"""Count the store's uses while it changes, so that a copy of some time ago is known as one after a crash."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from signerd.daemon.store_health import StoreHealth
from signerd.store import lineage
from signerd.store.state_db import StateDb

COUNT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StoreWatch:
    """Looks once a minute. Writes nothing while nothing changes."""

    store: StateDb
    path: Path
    health: StoreHealth

    async def run(self, seconds: float = COUNT_SECONDS) -> None:
        """Until cancelled. Raises StateLost."""
        counted = self.store.writes
        while True:
            await asyncio.sleep(seconds)
            if self.store.writes != counted:
                with self.health.noting():
                    lineage.count_use(self.store, self.path)
                counted = self.store.writes
