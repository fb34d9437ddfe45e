"""A node that has left its host is not signed for any more: whoever brings it back there has an old state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from signerd.errors import Refused
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.store import export_record
from signerd.store.export_record import ExportRecord
from signerd.units import NodeId

LOOK_SECONDS = 2.0


def check(data_dir: Path, node_id: NodeId, bus: Bus) -> None:
    """Say so when an export was asked for and its outcome is not known: the node may run on.

    Raises Refused when it was exported, StateLost when that cannot be told.
    """
    record = export_record.read(data_dir, node_id)
    if record is not None:
        _refuse(record)
        bus.emit(
            events.ExportUnfinished(
                hint="run `signerd export` again to finish it, or ask the host; if the node was not exported "
                f"and shall stay, remove {export_record.NAME} from the data directory"
            )
        )


@dataclass(frozen=True, slots=True)
class ExportWatch:
    """Looks whether the node is exported while this signer runs."""

    data_dir: Path
    node_id: NodeId

    async def run(self, seconds: float = LOOK_SECONDS) -> None:
        """Until cancelled. Raises Refused and StateLost, as `check` does."""
        seen: tuple[int, int] | None = None
        while True:
            stamp = self._stamp()
            if stamp != seen:
                seen = stamp
                record = export_record.read(self.data_dir, self.node_id)
                if record is not None:
                    _refuse(record)
            await asyncio.sleep(seconds)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self.data_dir / export_record.NAME).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _refuse(record: ExportRecord) -> None:
    if record.exported_at is None:
        return
    taken = f"; its backup was taken home to {record.home.file}" if record.home else ""
    raise Refused(
        "node-exported",
        f"this node was exported, and signing for it at the host could cost it its channels{taken}",
        hint="run it at home, as the RESTORE file says; `signerd export` tells where that is",
    )
