"""The audit chain of a store that may be in use: read, never written, and never in the daemon's way.

Rows are fetched a few at a time. No reading transaction stays open in between, because the daemon's log could
not be written over for as long.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from signerd.core.audit.record import Head
from signerd.core.audit.verify import Broken, Row, Walker
from signerd.errors import InputMissing, StateError
from signerd.store import audit_table, schema

AT_ONCE = 1000
_FIRST_VERSION = 4
T = TypeVar("T")


class AuditFile:
    """Raises InputMissing where there is no store, StateError for one that cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise InputMissing(
                f"there is no store at {path}", hint="it is made by the first `signerd run`; see --data-dir"
            )
        self._connection = self._open()
        try:
            self._require_version()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def head(self) -> Head:
        """The last record."""
        return self._read(audit_table.head)

    @property
    def start(self) -> Head:
        """What comes before the first record that is kept: number 0, or the last one that was forgotten."""
        return self._read(audit_table.start)

    def row(self, number: int) -> Row | None:
        """One record."""
        rows = self._read(lambda connection: audit_table.read(connection, number - 1, 1))
        return rows[0] if rows and rows[0].number == number else None

    def rows(self, after: int) -> Iterator[Row]:
        """Those after that number, in order."""
        while rows := self._after(after):
            yield from rows
            after = rows[-1].number

    def rows_back(self) -> Iterator[Row]:
        """All that are kept, the newest first."""
        before = self.head.number + 1
        while rows := self._before(before):
            yield from rows
            before = rows[-1].number

    def verify(self, expected: Head | None = None) -> tuple[Head, Head]:
        """What comes before the first record, and the head. Raises verify.Broken."""
        while True:
            start, rows = self._beginning()
            try:
                walker = Walker(start, expected)
                while rows:
                    for row in rows:
                        walker.step(row)
                    rows = self._after(walker.head.number)
                walker.finish()
            except Broken:
                # Unless the daemon forgot the oldest ones while we read: then what is left hangs elsewhere.
                if self.start == start:
                    raise
            else:
                return start, walker.head

    def _beginning(self) -> tuple[Head, list[Row]]:
        """In one transaction: what the first row hangs on, and the first rows."""

        def read(connection: sqlite3.Connection) -> tuple[Head, list[Row]]:
            connection.execute("BEGIN")
            try:
                start = audit_table.start(connection)
                return start, audit_table.read(connection, 0, AT_ONCE)
            finally:
                connection.execute("ROLLBACK")

        return self._read(read)

    def _after(self, number: int) -> list[Row]:
        return self._read(lambda connection: audit_table.read(connection, number, AT_ONCE))

    def _before(self, number: int) -> list[Row]:
        return self._read(lambda connection: audit_table.read_back(connection, number, AT_ONCE))

    def _open(self) -> sqlite3.Connection:
        # A store that was closed has no log beside it; in a directory that we may not write, SQLite could
        # not even make an empty one, and need not: nobody is at work there.
        modes = ["mode=ro"]
        if not self._path.with_name(self._path.name + "-wal").exists():
            modes.append("mode=ro&immutable=1")
        error: sqlite3.Error | None = None
        for mode in modes:
            connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?{mode}", timeout=5, uri=True)
            try:
                connection.execute("PRAGMA query_only = ON")
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.Error as problem:
                connection.close()
                error = problem
            else:
                return connection
        assert error is not None
        raise self._failed(error) from error

    def _require_version(self) -> None:
        (version,) = self._read(lambda connection: connection.execute("PRAGMA user_version").fetchone())
        if version > schema.VERSION:
            raise StateError(
                f"{self._path} was written by a newer signerd (schema {version}, this one knows "
                f"{schema.VERSION})",
                hint="use the newer signerd",
            )
        if version < _FIRST_VERSION:
            raise StateError(
                f"{self._path} is of a signerd that kept no audit records (schema {version})",
                hint="they begin when this signerd runs with it for the first time",
            )

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return read(self._connection)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> StateError:
        return StateError(
            f"cannot read the audit records in {self._path}: {error}",
            hint="whoever reads them must be able to read the file and what is beside it",
        )
