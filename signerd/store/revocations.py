"""The keys of revoked devices, in the store."""

from __future__ import annotations

from collections.abc import Mapping

from signerd.store.state_db import StateDb
from signerd.units import UnixTime


def read(store: StateDb) -> dict[bytes, UnixTime]:
    """Key (65 bytes) → since when. Raises StateError."""
    return {key: UnixTime(time) for key, time in store.rows("SELECT key, time FROM revoked")}


def add(store: StateDb, revoked: Mapping[bytes, UnixTime]) -> None:
    """Remember these too. Raises StateError."""
    with store.transaction() as connection:
        connection.executemany("INSERT OR IGNORE INTO revoked VALUES (?, ?)", revoked.items())
