"""The audit chain's rows: appended, read, and forgotten from the front. Whoever calls has the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from signerd.core.audit import record as records
from signerd.core.audit.record import Head, Record
from signerd.core.audit.verify import Row
from signerd.errors import MalformedMessage
from signerd.store.mark import Mark

PRUNED_AT_ONCE = 1000
"""Rows that one transaction forgets at most, so that no answer waits long for it."""


def start(connection: sqlite3.Connection) -> Head:
    """The head before the first row: the last record that was forgotten, or the store's beginning."""
    row = connection.execute("SELECT number, hash FROM audit_anchor WHERE id = 0").fetchone()
    if row is not None:
        return Head(*row)
    mark = connection.execute("SELECT name, node_id, uses FROM lineage WHERE id = 0").fetchone()
    return genesis(None if mark is None else Mark(*mark))


def genesis(mark: Mark | None) -> Head:
    """Before the first record of this store; one that is nobody's yet has no name in it."""
    return records.genesis(b"", b"") if mark is None else records.genesis(mark.name, mark.node_id)


def head(connection: sqlite3.Connection) -> Head:
    """The last record, or what comes before the first one."""
    row = connection.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return start(connection) if row is None else Head(*row)


def append(connection: sqlite3.Connection, before: Head, appended: Sequence[Record]) -> Head:
    """The head after them. Their numbers go on from `before`."""
    rows = []
    for record in appended:
        raw = records.canonical(record)
        before = before.next(raw)
        if record.number != before.number:
            raise ValueError(f"record {record.number} where {before.number} comes next: a mistake of ours")
        rows.append((record.number, raw, before.hash))
    connection.executemany("INSERT INTO audit VALUES (?, ?, ?)", rows)
    return before


def read(connection: sqlite3.Connection, after: int, limit: int) -> list[Row]:
    """Up to `limit` rows after that number, in order."""
    found = connection.execute(
        "SELECT number, record, hash FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
    )
    return [Row(*row) for row in found.fetchall()]


def read_back(connection: sqlite3.Connection, before: int, limit: int) -> list[Row]:
    """Up to `limit` rows before that number, the newest first."""
    found = connection.execute(
        "SELECT number, record, hash FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",
        (before, limit),
    )
    return [Row(*row) for row in found.fetchall()]


def prune(connection: sqlite3.Connection, last: int, *, keep: int, oldest: int) -> int:
    """Forget what is beyond the newest `keep` records, or from before the time `oldest`.

    `last` is the number of the last record, which stays. Returns how many are gone; if that is
    PRUNED_AT_ONCE, there may be more to forget.
    """
    first = start(connection).number + 1
    surplus = min(last - 1, last - keep)
    upto = first - 1
    # One row first: mostly there is nothing to forget.
    for limit in (1, PRUNED_AT_ONCE):
        for row in read(connection, upto, limit):
            if not (row.number <= surplus or (row.number < last and _is_older(row, oldest))):
                break
            upto = row.number
        if upto < first:
            return 0
    connection.execute(
        "INSERT OR REPLACE INTO audit_anchor SELECT 0, number, hash FROM audit WHERE number = ?", (upto,)
    )
    return connection.execute("DELETE FROM audit WHERE number <= ?", (upto,)).rowcount


def _is_older(row: Row, than: int) -> bool:
    """A row that cannot be read is not: whoever verifies has to see it."""
    try:
        return records.parse(row.raw).decision.time < than
    except MalformedMessage:
        return False
