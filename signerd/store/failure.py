"""What to say of a store that fails, and of one whose bytes are wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from signerd.errors import StateDamaged, StateError

_DAMAGED = (
    "the file is damaged, and room on the disk does not mend it: keep signerd.db and what lies beside it; "
    "docs/operations.md goes on from there, under A damaged store"
)
_NOT_DAMAGE = (
    sqlite3.OperationalError,  # what cannot be done here and now: no room, no access, an error of the disk
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError,  # our own fault
)  # fmt: skip


def failed(path: Path, error: sqlite3.Error | OSError) -> StateError:
    """The store could not be read or written."""
    reason = f"the store {path} failed: {error}"
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _NOT_DAMAGE):
        return StateDamaged(reason, hint=_DAMAGED)
    return StateError(
        reason, hint="signerd signs nothing without its store; check the disk (space, health, permissions)"
    )


def gone_back(path: Path, what: str) -> StateDamaged:
    """It holds something else than this process has committed: what it says may have been revoked since."""
    return StateDamaged(f"the store {path} holds {what} than was written last", hint=_DAMAGED)
