"""The store's tables, and the numbered steps from one version to the next."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from signerd.errors import StateError
from signerd.store import ownership

MIGRATIONS = (
    # 1: pairing approvals that were answered, so that none is answered twice.
    """
    CREATE TABLE approval (
        digest  BLOB PRIMARY KEY CHECK (length(digest) = 32),
        expires INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX approval_by_expiry ON approval (expires);
    """,
    # 2: until when approvals are forgotten; channels (peer id, then dbid big-endian), what funds them, those
    # of other signers; payments; the node.
    """
    ALTER TABLE approval ADD COLUMN timestamp INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE approval_floor (
        id INTEGER PRIMARY KEY CHECK (id = 0), timestamp INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE channel (id BLOB PRIMARY KEY, state BLOB NOT NULL) STRICT;
    CREATE TABLE funding (
        outpoint BLOB PRIMARY KEY CHECK (length(outpoint) = 36),
        channel  BLOB NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE payment (
        payment_hash BLOB PRIMARY KEY CHECK (length(payment_hash) = 32),
        invoice_hash BLOB NOT NULL,
        amount_msat  TEXT NOT NULL,
        expires      INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX payment_by_expiry ON payment (expires);
    CREATE TABLE foreign_channel (id BLOB PRIMARY KEY) WITHOUT ROWID, STRICT;
    CREATE TABLE node (id INTEGER PRIMARY KEY CHECK (id = 0), state BLOB NOT NULL) STRICT;
    """,
    # 3: which store this is, whose, and how often it was opened and closed.
    """
    CREATE TABLE lineage (
        id      INTEGER PRIMARY KEY CHECK (id = 0),
        name    BLOB NOT NULL CHECK (length(name) = 16),
        node_id BLOB NOT NULL CHECK (length(node_id) = 33),
        uses    INTEGER NOT NULL
    ) STRICT;
    """,
    # 4: what was decided, as a chain of hashes; and the last record that was forgotten, on which it goes on.
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY CHECK (number > 0),
        record BLOB NOT NULL,
        hash   BLOB NOT NULL CHECK (length(hash) = 32)
    ) STRICT;
    CREATE TABLE audit_anchor (
        id     INTEGER PRIMARY KEY CHECK (id = 0),
        number INTEGER NOT NULL CHECK (number > 0),
        hash   BLOB NOT NULL CHECK (length(hash) = 32)
    ) STRICT;
    """,
    # 5: approvals that wait for a person, and those that were decided so; the public facts of the runes that
    # were made; which devices approved last when, and which are revoked.
    """
    CREATE TABLE pairing (
        number       INTEGER PRIMARY KEY AUTOINCREMENT,
        digest       BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        device_id    TEXT NOT NULL,
        timestamp    INTEGER NOT NULL,
        name         TEXT NOT NULL,
        restrictions TEXT NOT NULL,
        sig          BLOB NOT NULL,
        pubkey       BLOB NOT NULL,
        approver     TEXT NOT NULL,
        received     INTEGER NOT NULL,
        expires      INTEGER NOT NULL,
        state        TEXT NOT NULL,
        rule         TEXT NOT NULL
    ) STRICT;
    CREATE TABLE minted (
        id           INTEGER PRIMARY KEY,
        device       BLOB NOT NULL CHECK (length(device) = 65),
        name         TEXT NOT NULL,
        restrictions TEXT NOT NULL,
        fingerprint  BLOB NOT NULL CHECK (length(fingerprint) = 32),
        time         INTEGER NOT NULL,
        approver     BLOB NOT NULL,
        by           TEXT NOT NULL,
        rule         TEXT
    ) STRICT;
    CREATE INDEX minted_by_rule ON minted (rule, time) WHERE rule IS NOT NULL;
    CREATE TABLE device_use (
        key  BLOB PRIMARY KEY CHECK (length(key) = 65),
        time INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE revoked (
        key  BLOB PRIMARY KEY CHECK (length(key) = 65),
        time INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    """,
)
VERSION = len(MIGRATIONS)


def open_store(path: Path) -> sqlite3.Connection:
    """The store at `path`, made or brought up to date. Raises StateError for a newer one; sqlite3.Error."""
    # 0600 from the first byte: SQLite makes its side files with the mode of the main one, and as root with
    # its owner.
    ownership.make(path)
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=1)
    try:
        # WAL with FULL survives a power cut; with NORMAL the last commits may be lost.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # A short log is soon written over: syncing a file that grows takes twice as long.
        connection.execute("PRAGMA wal_autocheckpoint = 64")
        # What is asked for again and again is kept in a better form (`stored_states.py`).
        connection.execute("PRAGMA cache_size = -256")
        require_integrity(connection)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def require_integrity(connection: sqlite3.Connection) -> None:
    """Read every table that decisions depend on. Raises sqlite3.DatabaseError."""
    # Table by table, but for the one that grows: no decision depends on it, and `audit verify` looks at it.
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name != 'audit'")
    for (name,) in names.fetchall():
        (verdict,) = connection.execute(f"PRAGMA quick_check('{name}')").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StateError(
            f"{path} was written by a newer signerd (schema {version}, this one knows {VERSION})",
            hint="run the newer signerd; going back would forget what it remembered",
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN;{statements}PRAGMA user_version = {number};COMMIT;")
