"""Whether a chain of records is whole: walks it once, in order, and says where it breaks first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from signerd.core.audit import record as records
from signerd.core.audit.record import Head, Record
from signerd.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it is stored: its number, its canonical bytes, the hash that binds it."""

    number: int
    raw: bytes
    hash: bytes


class Broken(Exception):
    """The chain breaks at `number`."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"record {number}: {what}")
        self.number = number
        self.what = what


class Walker:
    """Goes from `start`, the head before the first row. `expected` is a head that was noted earlier."""

    def __init__(self, start: Head, expected: Head | None = None) -> None:
        self.head = start
        self._expected = expected
        self._compare(start)

    def step(self, row: Row) -> Record:
        """One row further. Raises Broken."""
        number = self.head.number + 1
        if row.number != number:
            raise Broken(number, f"it is missing: {row.number} is in its place")
        try:
            record = records.parse(row.raw)
        except MalformedMessage as problem:
            raise Broken(number, problem.message) from None
        if record.number != number:
            raise Broken(number, f"it says that it is record {record.number}")
        head = self.head.next(row.raw)
        if head.hash != row.hash:
            raise Broken(number, "its hash does not follow from it and from the one before")
        self.head = head
        self._compare(head)
        return record

    def finish(self) -> None:
        """All rows were there. Raises Broken if the expected head was not among them."""
        if self._expected is not None and self._expected.number > self.head.number:
            raise Broken(
                self.head.number + 1,
                f"it and all up to {self._expected.number} are missing: the end was cut off",
            )

    def _compare(self, head: Head) -> None:
        expected = self._expected
        if expected is not None and expected.number == head.number and expected.hash != head.hash:
            raise Broken(head.number, "it has another hash than the head that was noted")


def walk(start: Head, rows: Iterable[Row], expected: Head | None = None) -> Head:
    """The head after all rows. Raises Broken."""
    walker = Walker(start, expected)
    for row in rows:
        walker.step(row)
    walker.finish()
    return walker.head
