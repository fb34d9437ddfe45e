"""What this signer must not forget across a restart: one SQLite file, on disk before an answer leaves."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from signerd.errors import StateError
from signerd.units import UnixTime

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE approval (
    digest  BLOB PRIMARY KEY CHECK (length(digest) = 32),
    expires INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
CREATE INDEX approval_by_expiry ON approval (expires);
"""


class StateDb:
    """The store. Every method raises StateError when the disk does not do as it is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = _open(path)
        except sqlite3.Error as error:
            raise _state_error(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush and let go of the file."""
        self._connection.close()

    def approvals(self, now: UnixTime) -> dict[bytes, UnixTime]:
        """Digest (32 bytes) → until when to remember it, of the approvals that could still be replayed."""
        try:
            rows = self._connection.execute(
                "SELECT digest, expires FROM approval WHERE expires >= ?", (now,)
            ).fetchall()
        except sqlite3.Error as error:
            raise _state_error(self._path, error) from error
        return {digest: UnixTime(expires) for digest, expires in rows}

    def remember_approval(self, digest: bytes, *, expires: UnixTime, now: UnixTime) -> None:
        """Remember one approval (and forget the expired). It is on disk when this returns."""
        try:
            with self._connection:
                self._connection.execute("DELETE FROM approval WHERE expires < ?", (now,))
                self._connection.execute("INSERT INTO approval VALUES (?, ?)", (digest, expires))
        except sqlite3.Error as error:
            raise _state_error(self._path, error) from error


def _open(path: Path) -> sqlite3.Connection:
    # 0600 from the first byte: SQLite makes its side files with the mode of the main one.
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=5)
    try:
        # WAL with FULL survives a power cut; with NORMAL the last commits may be lost.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _require_integrity(connection)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_integrity(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(str(verdict))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StateError(
            f"{path} was written by a newer signerd (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="run the newer signerd; going back would forget what it remembered",
        )
    if version == 0:
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")


def _state_error(path: Path, error: sqlite3.Error) -> StateError:
    return StateError(
        f"the store {path} failed: {error}",
        hint="signerd signs nothing without its store; check the disk (space, health, permissions)",
    )
