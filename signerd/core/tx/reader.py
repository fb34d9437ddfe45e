"""Bitcoin's serialisation, read from the front: little-endian numbers, compact sizes, nothing left over."""

from __future__ import annotations

from signerd.errors import MalformedMessage

_SIZES = {0xFD: 2, 0xFE: 4, 0xFF: 8}
_SMALLEST = {2: 0xFD, 4: 0x1_0000, 8: 0x1_0000_0000}


class Reader:
    """Consumes bytes from the front. Raises MalformedMessage, naming `what`, where they end too early."""

    __slots__ = ("_data", "_position", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._position = 0
        self._what = what

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self._position
        end = start + count
        if end > len(self._data):
            raise MalformedMessage(f"{self._what} ends {end - len(self._data)} bytes too early")
        self._position = end
        return self._data[start:end]

    def number(self, size: int) -> int:
        """An unsigned little-endian number of `size` bytes."""
        start, end = self._position, self._position + size
        if end > len(self._data):
            self.take(size)
        self._position = end
        return int.from_bytes(self._data[start:end], "little")

    def compact_size(self) -> int:
        """A compact size in its shortest form, as Bitcoin Core requires it."""
        position, data = self._position, self._data
        if position < len(data) and (first := data[position]) < 0xFD:
            self._position = position + 1
            return first
        size = _SIZES[self.take(1)[0]]
        value = self.number(size)
        if value < _SMALLEST[size]:
            raise MalformedMessage(f"{self._what} has a compact size that is not in its shortest form")
        return value

    def count(self, smallest: int) -> int:
        """How many items follow, each of at least `smallest` bytes; refused before anything is allocated."""
        value = self.compact_size()
        if value * smallest > self.left:
            raise MalformedMessage(f"{self._what} announces {value} items in {self.left} bytes")
        return value

    def octets(self) -> bytes:
        """A compact size, then that many bytes."""
        # Most sizes are one byte, and a large commitment has thousands.
        position, data = self._position, self._data
        if position < len(data) and (size := data[position]) < 0xFD:
            end = position + 1 + size
            if end <= len(data):
                self._position = end
                return data[position + 1 : end]
        return self.take(self.compact_size())

    def sole_value(self, key: bytes) -> bytes | None:
        """What follows up to a zero byte: `key` as it stands there, and an item of less than 253 bytes.

        None, and nothing is read, where something else follows.
        """
        data, start = self._data, self._position + len(key) + 1
        if start <= len(data) and data.startswith(key, self._position) and (size := data[start - 1]) < 0xFD:
            end = start + size
            if end < len(data) and data[end] == 0:
                self._position = end + 1
                return data[start:end]
        return None

    def finish(self) -> None:
        """Raises MalformedMessage if anything is left."""
        if self.left:
            raise MalformedMessage(f"{self._what} has {self.left} bytes too many")


def compact_size(value: int) -> bytes:
    """Bitcoin's compact size in its shortest form."""
    if value < 0xFD:
        return value.to_bytes(1, "little")
    for prefix, size in _SIZES.items():
        if value < 1 << (8 * size):
            return bytes([prefix]) + value.to_bytes(size, "little")
    raise ValueError("a compact size is below 2^64")


def octets(value: bytes) -> bytes:
    """A compact size, then the bytes."""
    size = len(value)
    return (size.to_bytes(1, "little") if size < 0xFD else compact_size(size)) + value
