"""One codec per field type of the hsmd wire, reading and writing; strict, and bounded by the message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from signerd.core.keys import secp256k1
from signerd.errors import MalformedMessage

T = TypeVar("T")


class Reader:
    """Consumes a message from the front. Raises MalformedMessage where it ends too early."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > self.left:
            raise MalformedMessage(f"the message ends {count - self.left} bytes too early")
        start, self._position = self._position, self._position + count
        return self._data[start : self._position]


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """How one field type is read and written."""

    read: Callable[[Reader], T]
    write: Callable[[T], bytes]


def _integer(size: int) -> Field[int]:
    return Field(
        read=lambda reader: int.from_bytes(reader.take(size), "big"),
        write=lambda value: value.to_bytes(size, "big"),
    )


def _fixed(size: int) -> Field[bytes]:
    def write(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes where the wire has {size}")
        return value

    return Field(read=lambda reader: reader.take(size), write=write)


def _read_bool(reader: Reader) -> bool:
    value = reader.take(1)[0]
    if value > 1:
        raise MalformedMessage(f"a bool is 0 or 1, not {value}")
    return bool(value)


def _read_point(reader: Reader) -> bytes:
    return secp256k1.require_point(reader.take(secp256k1.POINT_SIZE), what="a public key of the message")


def _read_octets(reader: Reader) -> bytes:
    return reader.take(U16.read(reader))


def _write_octets(value: bytes) -> bytes:
    return U16.write(len(value)) + value


U8 = _integer(1)
U16 = _integer(2)
U32 = _integer(4)
U64 = _integer(8)
BOOL = Field(read=_read_bool, write=lambda value: bytes([value]))
SHA256 = _fixed(32)
SECRET = _fixed(32)
CHAIN_HASH = _fixed(32)
EXT_KEY = _fixed(78)
POINT = Field(read=_read_point, write=_fixed(secp256k1.POINT_SIZE).write)
OCTETS = Field(read=_read_octets, write=_write_octets)
"""u16 length, then that many bytes."""


def optional(inner: Field[T]) -> Field[T | None]:
    """A presence byte (0 or 1), then the value."""
    return Field(
        read=lambda reader: inner.read(reader) if BOOL.read(reader) else None,
        write=lambda value: b"\x00" if value is None else b"\x01" + inner.write(value),
    )


def array(inner: Field[T]) -> Field[tuple[T, ...]]:
    """u16 count, then the items."""
    return Field(
        read=lambda reader: tuple(inner.read(reader) for _ in range(U16.read(reader))),
        write=lambda value: U16.write(len(value)) + b"".join(inner.write(item) for item in value),
    )
