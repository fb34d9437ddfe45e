"""BIP 173's text form as Lightning uses it: of any length, with a check sum (BOLT 11) or without (BOLT 12).

Data is symbols, one 5-bit value per byte, or the bytes that they hold, padded with zero bits at the end.
"""

from __future__ import annotations

import re

from signerd.errors import MalformedMessage

CHECK_SIZE = 6
"""Symbols of the check sum."""

_CHARSET = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_SYMBOLS = bytes(range(32))
_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
_TO_SYMBOLS = bytes.maketrans(_CHARSET, _SYMBOLS)
_TO_CHARSET = bytes.maketrans(_SYMBOLS, _CHARSET)
# Python reads and writes numbers of base 32 in C and in linear time, only with other letters.
_TO_DIGITS = bytes.maketrans(_SYMBOLS, _DIGITS)

_ONE_CASE = re.compile(r"[\x21-\x40\x5b-\x7e]*|[\x21-\x60\x7b-\x7e]*")
_DATA = re.compile(rb"[%s]*" % _CHARSET)
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _residue(top: int) -> int:
    """What the five bits that are shifted out come back as."""
    residue = 0
    for bit, generator in enumerate(_GENERATOR):
        if top >> bit & 1:
            residue ^= generator
    return residue


_RESIDUES = tuple(_residue(top) for top in range(32))


def split(text: str) -> tuple[str, bytes]:
    """The human-readable part in lower case, and the symbols after the last `1`; nothing else is checked.

    Raises MalformedMessage for mixed case, other characters, and where either part is missing.
    """
    if not _ONE_CASE.fullmatch(text):
        raise MalformedMessage("the text mixes cases, or holds a character that bech32 does not have")
    prefix, separator, data = text.lower().rpartition("1")
    if not separator or not prefix:
        raise MalformedMessage("the text has no prefix that ends in 1")
    raw = data.encode("ascii")
    if not _DATA.fullmatch(raw):
        raise MalformedMessage("the data holds a character that bech32 does not have")
    return prefix, raw.translate(_TO_SYMBOLS)


def decode(text: str) -> tuple[str, bytes]:
    """The human-readable part in lower case and the symbols, once the check sum was right, without it.

    Raises MalformedMessage.
    """
    prefix, symbols = split(text)
    if len(symbols) < CHECK_SIZE or _checked(prefix, symbols) != 1:
        raise MalformedMessage("the check sum is wrong")
    return prefix, symbols[:-CHECK_SIZE]


def encode(prefix: str, symbols: bytes) -> str:
    """The text with its check sum. `prefix` is in lower case."""
    check = _checked(prefix, symbols + bytes(CHECK_SIZE)) ^ 1
    tail = bytes(check >> 5 * (CHECK_SIZE - 1 - place) & 31 for place in range(CHECK_SIZE))
    return encode_unchecked(prefix, symbols + tail)


def encode_unchecked(prefix: str, symbols: bytes) -> str:
    """The text without a check sum, as BOLT 12 has it."""
    return f"{prefix}1{symbols.translate(_TO_CHARSET).decode('ascii')}"


def pack(symbols: bytes) -> bytes:
    """The bytes that hold the symbols, the last one filled with zero bits. Symbols are below 32."""
    size = (5 * len(symbols) + 7) // 8
    return (number(symbols) << (8 * size - 5 * len(symbols))).to_bytes(size, "big")


def unpack(data: bytes) -> bytes:
    """The symbols that hold the bytes, the last one filled with zero bits."""
    count = (8 * len(data) + 4) // 5
    return symbols_of(int.from_bytes(data, "big") << (5 * count - 8 * len(data)), count)


def octets(symbols: bytes) -> bytes:
    """The bytes in the symbols. Raises MalformedMessage unless less than a symbol is left over, and zero."""
    size, rest = divmod(5 * len(symbols), 8)
    value = number(symbols)
    if rest >= 5 or value & ((1 << rest) - 1):
        raise MalformedMessage("the data is not padded with the fewest zero bits")
    return (value >> rest).to_bytes(size, "big")


def number(symbols: bytes) -> int:
    """The symbols as one big-endian number."""
    return int(symbols.translate(_TO_DIGITS), 32) if symbols else 0


def symbols_of(value: int, count: int) -> bytes:
    """`count` symbols, big-endian. Raises OverflowError for a number that does not fit."""
    if value >> 5 * count:
        raise OverflowError(f"the number needs more than {count} symbols")
    return bytes(value >> 5 * place & 31 for place in range(count - 1, -1, -1))


def _checked(prefix: str, symbols: bytes) -> int:
    """The remainder over prefix and symbols: 1 for a right check sum (BIP 173)."""
    letters = prefix.encode("ascii")
    expanded = bytes(letter >> 5 for letter in letters) + b"\x00" + bytes(letter & 31 for letter in letters)
    check = 1
    for value in expanded + symbols:
        check = (check & 0x1FF_FFFF) << 5 ^ value ^ _RESIDUES[check >> 25]
    return check
