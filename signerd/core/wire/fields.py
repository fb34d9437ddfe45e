"""One codec per simple field type of the hsmd wire, reading and writing; strict, and bounded by the message.

Reading judges what is read; writing checks sizes only, so that a simulated node can say something wrong.
Integers are big-endian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from signerd.core.keys import secp256k1
from signerd.errors import MalformedMessage

T = TypeVar("T")

_ORDER = secp256k1.ORDER.to_bytes(32, "big")


class Reader:
    """Consumes a message from the front. Raises MalformedMessage where it ends too early."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self._position = position

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self._position
        end = start + count
        if end > len(self._data):
            raise MalformedMessage(f"the message ends {end - len(self._data)} bytes too early")
        self._position = end
        return self._data[start:end]

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, which stay unread; fewer if the message ends before."""
        return self._data[self._position : self._position + count]

    def take_to_nul(self) -> bytes:
        """The bytes before the next NUL, which is consumed as well."""
        start = self._position
        end = self._data.find(b"\x00", start)
        if end < 0:
            raise MalformedMessage("the text has no NUL at its end")
        self._position = end + 1
        return self._data[start:end]


@dataclass(frozen=True, slots=True)
class Field(Generic[T]):
    """How one field type is read and written.

    `name` is the type's name on the wire, `least` the fewest bytes that a value takes.
    """

    name: str
    least: int
    read: Callable[[Reader], T]
    write: Callable[[T], bytes]


def _integer(size: int) -> Field[int]:
    return Field(
        name=f"u{8 * size}",
        least=size,
        read=lambda reader: int.from_bytes(reader.take(size), "big"),
        write=lambda value: value.to_bytes(size, "big"),
    )


def sized(value: bytes, size: int) -> bytes:
    """`value` itself. Raises ValueError if it is not `size` bytes: a mistake of ours, not of a node."""
    if len(value) != size:
        raise ValueError(f"{len(value)} bytes where the wire has {size}")
    return value


def _fixed(name: str, size: int, check: Callable[[bytes], str | None] | None = None) -> Field[bytes]:
    """`size` bytes; `check` returns what is wrong with them."""

    def read(reader: Reader) -> bytes:
        value = reader.take(size)
        if check is not None:
            problem = check(value)
            if problem is not None:
                raise MalformedMessage(problem)
        return value

    return Field(name=name, least=size, read=read, write=lambda value: sized(value, size))


def _read_bool(reader: Reader) -> bool:
    value = reader.take(1)[0]
    if value > 1:
        raise MalformedMessage(f"a bool is 0 or 1, not {value}")
    return value == 1


def _bad_point(value: bytes) -> str | None:
    return None if secp256k1.is_point(value) else "not a compressed secp256k1 point"


def is_signature(value: bytes) -> bool:
    """Whether r and s, the first 64 bytes, are both below the group order."""
    return value[:32] < _ORDER and value[32:64] < _ORDER


def _bad_signature(value: bytes) -> str | None:
    if is_signature(value):
        return None
    return "r or s of a signature is not below the group order"


def _bad_recoverable(value: bytes) -> str | None:
    return f"a recovery id is 0 to 3, not {value[64]}" if value[64] > 3 else _bad_signature(value)


def _read_octets(reader: Reader) -> bytes:
    return reader.take(U16.read(reader))


def _write_octets(value: bytes) -> bytes:
    return U16.write(len(value)) + value


def _read_long(reader: Reader) -> bytes:
    return reader.take(U32.read(reader))


def _write_long(value: bytes) -> bytes:
    return U32.write(len(value)) + value


def _read_raw_text(reader: Reader) -> bytes:
    text = reader.take_to_nul()
    if min(text, default=0x20) < 0x20:
        raise MalformedMessage("the text holds a control character")
    return text


def _write_raw_text(value: bytes) -> bytes:
    if b"\x00" in value:
        raise ValueError("a NUL inside a text of the wire")
    return value + b"\x00"


def _read_text(reader: Reader) -> str:
    try:
        return _read_raw_text(reader).decode()
    except UnicodeDecodeError:
        raise MalformedMessage("the text is not UTF-8") from None


U8 = _integer(1)
U16 = _integer(2)
U32 = _integer(4)
U64 = _integer(8)
BOOL = Field(name="bool", least=1, read=_read_bool, write=lambda value: bytes([value]))
SHA256 = _fixed("sha256", 32)
SECRET = _fixed("secret", 32)
"""Any 32 bytes: whether they are a private key is the handler's to judge."""
CHAIN_HASH = _fixed("chain_hash", 32)
"""The genesis block's hash in internal byte order."""
TXID = _fixed("txid", 32)
"""In internal byte order: as hashed, the reverse of what is displayed."""
EXT_KEY = _fixed("ext_key", 78)
"""BIP 32's public serialization without the checksum of base58."""
POINT = _fixed("pubkey", secp256k1.POINT_SIZE, _bad_point)
"""A compressed point; on the curve."""
NODE_ID = _fixed("node_id", 33)
"""A node's name. Core Lightning's wire does not look whether it is on the curve; keys are derived from
these bytes as they are, so who needs a point of it asks for one."""
SIGNATURE = _fixed("sig64", 64, _bad_signature)
"""ECDSA: r || s, both below the group order. Whether it is a signature, its verifier sees."""
RECOVERABLE_SIGNATURE = _fixed("recoverable65", 65, _bad_recoverable)
"""r || s || recovery id: the id comes last."""
SCHNORR_SIGNATURE = _fixed("bip340sig", 64)
OCTETS = Field(name="bytes16", least=2, read=_read_octets, write=_write_octets)
"""u16 length, then that many bytes."""
LONG_OCTETS = Field(name="bytes32", least=4, read=_read_long, write=_write_long)
"""u32 length, then that many bytes."""
PSBT = Field(name="psbt", least=4, read=_read_long, write=_write_long)
"""u32 length, then a BIP 174 version 0 PSBT, unread."""
CHANNEL_TYPE = Field(name="channel_type", least=2, read=_read_octets, write=_write_octets)
"""u16 length, then a bit field: bit 0 is the lowest bit of the last byte."""
RAW_TEXT = Field(name="raw wirestring", least=1, read=_read_raw_text, write=_write_raw_text)
"""Bytes up to a NUL, none of them below 0x20."""
TEXT = Field(name="wirestring", least=1, read=_read_text, write=lambda value: _write_raw_text(value.encode()))
"""As RAW_TEXT, in UTF-8."""
