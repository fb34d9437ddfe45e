"""Edits of invoices, after which their check sums are right again: bytes alone would never get past those.

The key of a BOLT 11 invoice is recovered from its signature, so that nearly every edit is somebody's invoice.
"""

from __future__ import annotations

from fuzz import octets
from fuzz.tape import Tape
from signerd.core.tx import bech32
from signerd.errors import MalformedMessage

LONGEST_PACKED = 8192
"""Symbols: writing them from bytes takes the square of their number. Only we do that, and never for many."""


def edit(text: str, tape: Tape) -> str:
    """Other symbols, or another prefix; a text that is no bech32 stays as it is."""
    way = tape.number()
    try:
        prefix, symbols = bech32.split(text) if way & 1 else bech32.decode(text)
    except MalformedMessage:
        return text
    if way & 2:
        prefix = octets.edit(prefix.encode(), tape).decode("latin-1")
        prefix = "".join(letter for letter in prefix if "!" <= letter <= "~").lower()
    elif way & 4 and len(symbols) < LONGEST_PACKED:
        symbols = bech32.unpack(octets.edit(bech32.pack(symbols), tape))
    else:
        symbols = bytes(symbol & 31 for symbol in octets.edit(symbols, tape))
    return bech32.encode_unchecked(prefix, symbols) if way & 1 else bech32.encode(prefix, symbols)
