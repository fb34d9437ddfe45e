"""The signer state that a node sends along, as the reference signer writes it: read, and left alone.

signerd keeps its own state. What it takes from here is which channels another signer has made: their
numbers are not known here, so nothing is signed for them.
"""

from __future__ import annotations

import string
from collections.abc import Iterable

import msgspec

from signerd.core.requests import Entry
from signerd.core.state.book import ChannelId
from signerd.errors import MalformedMessage

TOMBSTONE = 2**64 - 1
"""The version that marks a deleted entry; its value is null."""

_CHANNEL_KEY_DIGITS = 2 * (33 + 33 + 8)
_HEX = frozenset(string.hexdigits)
# Only the outermost keys matter; what is below them is checked to be JSON, and not built.
_SHALLOW = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw] | str | int | float | bool | None)

_NULL = msgspec.Raw(b"null")

# What an object must hold at least, by the first part of its key.
_REQUIRED: dict[str, set[str]] = {
    "nodestates": {"invoices", "issued_invoices", "preimages", "dbid_high_water_mark"},
    "channels": set(),
}


def channels_of_others(entries: Iterable[Entry]) -> frozenset[ChannelId]:
    """The channels, set up for use, that these entries speak of.

    Raises MalformedMessage for a value that is not JSON, or not of the shape that its key demands.
    """
    return frozenset(
        channel_id
        for entry in entries
        if _is_channel(entry)
        if (channel_id := _channel_id(entry.key)) is not None
    )


def _is_channel(entry: Entry) -> bool:
    kind = entry.key.partition("/")[0]
    try:
        content = _SHALLOW.decode(entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"the state entry {_shown(entry.key)} is not JSON") from error
    if entry.version == TOMBSTONE:
        return False
    required = _REQUIRED.get(kind)
    if required is not None and not (isinstance(content, dict) and required <= content.keys()):
        raise MalformedMessage(f"the state entry {_shown(entry.key)} does not have the shape of its kind")
    # A stub has no setup. What cannot be read as a channel is taken for one that was set up.
    return kind == "channels" and isinstance(content, dict) and content.get("channel_setup") != _NULL


def _channel_id(key: str) -> ChannelId | None:
    digits = key.partition("/")[2]
    if len(digits) != _CHANNEL_KEY_DIGITS or not _HEX.issuperset(digits):
        return None
    raw = bytes.fromhex(digits)
    # Little-endian here, big-endian on the wire.
    return ChannelId(raw[33:66], int.from_bytes(raw[66:], "little"))


def _shown(key: str) -> str:
    return ascii(key[:80])
