"""What the local Greenlight still knows after a restart: one SQLite file.

A killed process loses nothing; a power failure may (it is not worth an fsync here).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS nodes (
    node_id BLOB PRIMARY KEY, network TEXT NOT NULL, version TEXT NOT NULL,
    init_msg BLOB NOT NULL, export TEXT);
CREATE TABLE IF NOT EXISTS startup (
    node_id BLOB NOT NULL, position INTEGER NOT NULL, request BLOB NOT NULL, response BLOB NOT NULL,
    PRIMARY KEY (node_id, position));
CREATE TABLE IF NOT EXISTS devices (node_id BLOB NOT NULL, name TEXT NOT NULL, chain TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS invites (code TEXT PRIMARY KEY, owner BLOB, redeemed_by BLOB);
CREATE TABLE IF NOT EXISTS webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, node_id BLOB NOT NULL, uri TEXT NOT NULL, secret TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    node_id BLOB NOT NULL, key TEXT NOT NULL, version BLOB NOT NULL, value BLOB NOT NULL,
    signature BLOB NOT NULL, PRIMARY KEY (node_id, key));
"""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a node's owner has told us of it. `startup` holds hsmd requests and answers."""

    node_id: bytes
    network: str
    version: str
    init_msg: bytes
    startup: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    export: str | None = None
    """Path of the export on the file server, once it was made; the node is closed then."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of signer state; `version` is unsigned 64 bit, its maximum marks a deletion."""

    key: str
    version: int
    value: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Invite:
    code: str
    redeemed: bool


@dataclass(frozen=True, slots=True)
class Hook:
    hook_id: int
    uri: str
    secret: str = field(repr=False)


class Ledger:
    """The database. Every method is one transaction."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        # First of all: already the change to the other journal would wait for the disk.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def setting(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def set_setting(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    # Nodes and their devices.

    def nodes(self) -> list[Registration]:
        rows = self._db.execute("SELECT node_id, network, version, init_msg, export FROM nodes")
        return [Registration(i, n, v, m, self._startup(i), e) for i, n, v, m, e in rows.fetchall()]

    def save_node(self, node: Registration) -> None:
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?, ?)",
                (node.node_id, node.network, node.version, node.init_msg, node.export),
            )
            self._db.execute("DELETE FROM startup WHERE node_id = ?", (node.node_id,))
            rows = [(node.node_id, at, *pair) for at, pair in enumerate(node.startup)]
            self._db.executemany("INSERT INTO startup VALUES (?, ?, ?, ?)", rows)

    def add_device(self, node_id: bytes, name: str, chain: str) -> None:
        self._db.execute("INSERT INTO devices VALUES (?, ?, ?)", (node_id, name, chain))

    def devices(self, node_id: bytes) -> list[str]:
        """Names of the devices of a node, oldest first."""
        rows = self._db.execute("SELECT name FROM devices WHERE node_id = ? ORDER BY rowid", (node_id,))
        return [str(row[0]) for row in rows]

    # Invite codes.

    def add_invite(self, code: str, owner: bytes | None) -> None:
        self._db.execute("INSERT INTO invites VALUES (?, ?, NULL)", (code, owner))

    def invites(self, owner: bytes) -> list[Invite]:
        rows = self._db.execute(
            "SELECT code, redeemed_by FROM invites WHERE owner = ? ORDER BY rowid", (owner,)
        )
        return [Invite(code, node is not None) for code, node in rows]

    def invite_is_open(self, code: str) -> bool:
        row = self._db.execute("SELECT redeemed_by FROM invites WHERE code = ?", (code,)).fetchone()
        return row is not None and row[0] is None

    def redeem_invite(self, code: str, node_id: bytes) -> None:
        self._db.execute("UPDATE invites SET redeemed_by = ? WHERE code = ?", (node_id, code))

    # Webhooks.

    def add_webhook(self, node_id: bytes, uri: str, secret: str) -> int:
        cursor = self._db.execute(
            "INSERT INTO webhooks (node_id, uri, secret) VALUES (?, ?, ?)", (node_id, uri, secret)
        )
        return cursor.lastrowid or 0

    def webhooks(self, node_id: bytes) -> list[Hook]:
        rows = self._db.execute(
            "SELECT id, uri, secret FROM webhooks WHERE node_id = ? ORDER BY id", (node_id,)
        )
        return [Hook(*row) for row in rows]

    def delete_webhooks(self, node_id: bytes, ids: Iterable[int]) -> None:
        with self._transaction():
            rows = [(node_id, hook_id) for hook_id in ids]
            self._db.executemany("DELETE FROM webhooks WHERE node_id = ? AND id = ?", rows)

    def set_webhook_secret(self, node_id: bytes, hook_id: int, secret: str) -> None:
        self._db.execute(
            "UPDATE webhooks SET secret = ? WHERE node_id = ? AND id = ?", (secret, node_id, hook_id)
        )

    # Signer state.

    def entries(self, node_id: bytes) -> list[Entry]:
        rows = self._db.execute(
            "SELECT key, version, value, signature FROM entries WHERE node_id = ? ORDER BY rowid", (node_id,)
        )
        return [Entry(key, int.from_bytes(version, "big"), value, sig) for key, version, value, sig in rows]

    def save_entries(self, node_id: bytes, entries: Iterable[Entry]) -> None:
        # SQLite's integers are signed: a version is kept as 8 bytes.
        rows = [(node_id, e.key, e.version.to_bytes(8, "big"), e.value, e.signature) for e in entries]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", rows)

    def _startup(self, node_id: bytes) -> tuple[tuple[bytes, bytes], ...]:
        rows = self._db.execute(
            "SELECT request, response FROM startup WHERE node_id = ? ORDER BY position", (node_id,)
        )
        return tuple((request, response) for request, response in rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
