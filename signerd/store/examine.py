"""Look at a store without changing it, whether or not a daemon is using it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from signerd.errors import StateError
from signerd.store import schema

_RESTORE = (
    "stop signerd, and bring the newest good copy of signerd.db back, with its -wal file if it has one; "
    "never start with an older one than was used last: see docs/operations.md"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """What a store says of itself."""

    schema: int
    channels: int
    bytes: int


def examine(path: Path) -> StoreFacts:
    """Raises StateError for a store that is damaged, unreadable, or of a newer signerd."""
    try:
        with closing(_open(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > schema.VERSION:
                raise StateError(
                    f"{path} was written by a newer signerd: schema {version}, this one has {schema.VERSION}",
                    hint="run the newer signerd",
                )
            problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
            if problems != ["ok"]:
                raise StateError(f"{path} is damaged: {problems[0]}", hint=_RESTORE)
            (channels,) = connection.execute("SELECT count(*) FROM channel").fetchone()
    except (sqlite3.Error, OSError) as error:
        raise StateError(f"cannot read {path}: {error}", hint=_RESTORE) from error
    return StoreFacts(schema=version, channels=channels, bytes=path.stat().st_size)


def _open(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(str(path))}?mode=ro"
    if not path.with_name(path.name + "-wal").exists():
        # Nobody has it open, and what is closed has no log: a reader cannot make the files that it lacks.
        address += "&immutable=1"
    return sqlite3.connect(address, uri=True, timeout=1)
