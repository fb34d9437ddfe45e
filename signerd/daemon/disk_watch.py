"""Say that the store's disk is full or read-only before an answer is lost to it, and when it is well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.store import disk

LOOK_SECONDS = 5.0

_HINT = "free some space or make it writable; signerd needs no restart"


@dataclass(frozen=True, slots=True)
class DiskWatch:
    """The store itself tells of a write that failed, and ends the daemon; this looks ahead."""

    path: Path
    bus: Bus

    async def run(self) -> None:
        """Until cancelled."""
        trouble: str | None = None
        while True:
            before, trouble = trouble, disk.trouble(self.path)
            if trouble is not None and trouble != before:
                self.bus.emit(events.StoreFailing(path=str(self.path), reason=trouble, hint=_HINT))
            elif trouble is None and before is not None:
                self.bus.emit(events.StoreWell(path=str(self.path)))
            await asyncio.sleep(LOOK_SECONDS)
