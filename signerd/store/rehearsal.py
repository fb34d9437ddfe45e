"""Can every table be written? Tried with rows that are rolled back: nothing of them ever was in the store."""

from __future__ import annotations

import secrets
import sqlite3

from signerd.store import schema

_ROWS = (
    "INSERT INTO audit SELECT coalesce(max(number), 0) + 1, zeroblob(500), :b32 FROM audit",
    "INSERT OR REPLACE INTO audit_anchor VALUES (0, 1, :b32)",
    "INSERT INTO channel VALUES (:b41, zeroblob(500))",
    "INSERT INTO funding VALUES (:b36, :b41)",
    "INSERT INTO payment VALUES (:b32, :b32, '1', 1)",
    "INSERT INTO foreign_channel VALUES (:b41)",
    "INSERT OR REPLACE INTO node VALUES (0, zeroblob(500))",
    "INSERT OR REPLACE INTO lineage SELECT 0, :b16, :b33, 1",
    "INSERT INTO approval (digest, expires, timestamp) VALUES (:b32, 1, 1)",
    "INSERT OR REPLACE INTO approval_floor VALUES (0, 1)",
    "INSERT INTO pairing VALUES (NULL, :b32, '', 1, '', '', :b32, :b33, '', 1, 1, '', '')",
    "INSERT INTO minted VALUES (NULL, :b65, '', '', :b32, 1, :b33, '', NULL)",
    "INSERT OR REPLACE INTO device_use VALUES (:b65, 1)",
    "INSERT OR REPLACE INTO revoked VALUES (:b65, 1)",
)


def rehearse(connection: sqlite3.Connection, *, thorough: bool) -> None:
    """Raises sqlite3.Error. `thorough` reads all tables too, but the record, which may be long: a row that is
    written meets few pages.
    """
    # Keys that nobody has, of as many bytes as their names say.
    keys = {f"b{size}": secrets.token_bytes(size) for size in (16, 32, 33, 36, 41, 65)}
    try:
        for row in _ROWS:
            connection.execute(row, keys)
    finally:
        connection.rollback()
    if thorough:
        schema.require_integrity(connection)
