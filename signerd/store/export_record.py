"""What became of this node's export: asked for, exported, taken home. A small file in the data directory.

A file and not the store, because the daemon has the store open while the command runs that writes this.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signerd.errors import InputMissing, StateLost
from signerd.store import files
from signerd.units import NodeId, UnixTime

NAME = "node-export.json"
LOCK_NAME = "node-export.lock"
_LONGEST = 16 * 1024


@dataclass(frozen=True, slots=True)
class TakenHome:
    """When, into which file, of how many bytes, and what it is (`Payload.kind`)."""

    at: UnixTime
    file: Path
    size: int
    payload: str


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """`exported_at` is None while it is not known whether the host did it; `target` is where it goes."""

    node_id: NodeId
    asked_at: UnixTime
    exported_at: UnixTime | None = None
    target: Path | None = None
    home: TakenHome | None = None


def read(data_dir: Path, node_id: NodeId) -> ExportRecord | None:
    """The record, if there is one. Raises StateLost if it cannot be read, or is another node's."""
    path = data_dir / NAME
    try:
        content = files.read_bounded(path, _LONGEST, too_long=StateLost)
    except InputMissing as error:
        # One look, because the command may make or forget it between two. A link to nothing is no answer.
        if not isinstance(error.__cause__, FileNotFoundError) or path.is_symlink():
            raise
        return None
    try:
        record = _decode(json.loads(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise StateLost(
            f"{path} cannot be read: whether this node was exported is not known",
            hint=f"ask the host; if it was not, remove {NAME}",
        ) from None
    if record.node_id != node_id:
        raise StateLost(
            f"{path} is about node {record.node_id.hex()}, and this is node {node_id.hex()}",
            hint="use the secret of that node, or another --data-dir",
        )
    return record


def write(data_dir: Path, record: ExportRecord) -> None:
    """Put it on disk in the place of what was there. Raises OutputError."""
    home = record.home
    document = {
        "v": 1,
        "node_id": record.node_id.hex(),
        "asked_at": record.asked_at,
        "exported_at": record.exported_at,
        "target": None if record.target is None else str(record.target),
        "home": None
        if home is None
        else {"at": home.at, "file": str(home.file), "size": home.size, "payload": home.payload},
    }
    files.write_atomically(data_dir / NAME, json.dumps(document, indent=1).encode("ascii") + b"\n")


def remove(data_dir: Path) -> None:
    """Forget it: the host has not exported the node, and said so."""
    with contextlib.suppress(FileNotFoundError):
        (data_dir / NAME).unlink()


def _decode(document: Any) -> ExportRecord:
    if document["v"] != 1:
        raise ValueError("another version")
    home = document["home"]
    return ExportRecord(
        node_id=NodeId(bytes.fromhex(document["node_id"])),
        asked_at=_time(document["asked_at"]),
        exported_at=None if document["exported_at"] is None else _time(document["exported_at"]),
        target=None if document["target"] is None else Path(document["target"]),
        home=None
        if home is None
        else TakenHome(_time(home["at"]), Path(home["file"]), _number(home["size"]), str(home["payload"])),
    )


def _time(value: object) -> UnixTime:
    return UnixTime(_number(value))


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a number")
    return value
