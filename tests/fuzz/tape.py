"""An input, read as a series of small choices. Where it has ended, every choice is 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Tape:
    """Big-endian numbers, and bytes after their length."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def ended(self) -> bool:
        return self._position >= len(self._data)

    def number(self, size: int = 1) -> int:
        """Of `size` bytes."""
        return int.from_bytes(self._take(size).ljust(size, b"\x00"), "big")

    def signed(self) -> int:
        """One byte, -128 to 127."""
        number = self.number()
        return number - 256 if number >= 128 else number

    def octets(self) -> bytes:
        """One byte of length, then so many."""
        return self._take(self.number())

    def one_of(self, items: Sequence[T]) -> T:
        """Chosen by one byte, or two where there are more than a byte can tell apart."""
        return items[self.number(1 if len(items) <= 256 else 2) % len(items)]

    def _take(self, count: int) -> bytes:
        taken = self._data[self._position : self._position + count]
        self._position += count
        return taken
