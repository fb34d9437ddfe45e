"""What the network is told (BOLT 7), read: channel_announcement, node_announcement, channel_update.

Each begins with its type and its signatures, and the signatures cover all that follows, also what a later
version may append.
"""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.keys import secp256k1
from signerd.errors import MalformedMessage

CHANNEL_ANNOUNCEMENT, NODE_ANNOUNCEMENT, CHANNEL_UPDATE = 256, 257, 258

SIGNED_FROM = {CHANNEL_ANNOUNCEMENT: 2 + 4 * 64, NODE_ANNOUNCEMENT: 2 + 64, CHANNEL_UPDATE: 2 + 64}
"""Type → where its signatures end, and what they cover begins."""
_NAMES = {
    CHANNEL_ANNOUNCEMENT: "channel_announcement",
    NODE_ANNOUNCEMENT: "node_announcement",
    CHANNEL_UPDATE: "channel_update",
}
SIGNATURE_AT = 2
"""Where a channel_update and a node_announcement have their one signature of 64 bytes."""
CHANNEL_UPDATE_SIZE = 138
"""Bytes of a channel_update's known fields, type and signature with them."""


@dataclass(frozen=True, slots=True)
class ChannelAnnouncement:
    """`node_ids` and `bitcoin_keys` are those of the two ends, 33 bytes each, in the same order."""

    features: bytes
    chain_hash: bytes
    short_channel_id: int
    node_ids: tuple[bytes, bytes]
    bitcoin_keys: tuple[bytes, bytes]
    signed_part: bytes


@dataclass(frozen=True, slots=True)
class NodeAnnouncement:
    """`alias` is 32 bytes, `addresses` their descriptors one after the other."""

    features: bytes
    timestamp: int
    node_id: bytes
    alias: bytes
    addresses: bytes
    signed_part: bytes


@dataclass(frozen=True, slots=True)
class ChannelUpdate:
    """What one end of a channel asks for forwarding; which end, is the lowest bit of `channel_flags`."""

    chain_hash: bytes
    short_channel_id: int
    timestamp: int
    message_flags: int
    channel_flags: int
    cltv_expiry_delta: int
    htlc_minimum_msat: int
    fee_base_msat: int
    fee_proportional_millionths: int
    htlc_maximum_msat: int
    signed_part: bytes


Gossip = ChannelAnnouncement | NodeAnnouncement | ChannelUpdate


def signed_part(raw: bytes, kind: int) -> bytes:
    """What the signatures of a message of this type cover. Raises MalformedMessage for another message."""
    start = SIGNED_FROM[kind]
    if int.from_bytes(raw[:2], "big") != kind:
        raise MalformedMessage(f"{_NAMES[kind]} begins with its type, {kind}")
    if len(raw) < start:
        raise MalformedMessage(f"{_NAMES[kind]}: {len(raw)} bytes end inside of its signatures")
    return raw[start:]


def channel_announcement(signed: bytes) -> ChannelAnnouncement:
    """From what the four signatures cover. Raises MalformedMessage."""
    reader = _Reader(signed, _NAMES[CHANNEL_ANNOUNCEMENT])
    features = reader.octets()
    chain_hash, short_channel_id = reader.take(32), reader.number(8)
    node_ids, bitcoin_keys = (reader.point(), reader.point()), (reader.point(), reader.point())
    return ChannelAnnouncement(features, chain_hash, short_channel_id, node_ids, bitcoin_keys, signed)


def node_announcement(signed: bytes) -> NodeAnnouncement:
    """From what the signature covers. Raises MalformedMessage."""
    reader = _Reader(signed, _NAMES[NODE_ANNOUNCEMENT])
    features, timestamp, node_id = reader.octets(), reader.number(4), reader.point()
    reader.take(3)  # its colour
    return NodeAnnouncement(features, timestamp, node_id, reader.take(32), reader.octets(), signed)


def channel_update(signed: bytes) -> ChannelUpdate:
    """From what the signature covers. Raises MalformedMessage."""
    reader = _Reader(signed, _NAMES[CHANNEL_UPDATE])
    update = ChannelUpdate(
        chain_hash=reader.take(32),
        short_channel_id=reader.number(8),
        timestamp=reader.number(4),
        message_flags=reader.number(1),
        channel_flags=reader.number(1),
        cltv_expiry_delta=reader.number(2),
        htlc_minimum_msat=reader.number(8),
        fee_base_msat=reader.number(4),
        fee_proportional_millionths=reader.number(4),
        htlc_maximum_msat=reader.number(8),
        signed_part=signed,
    )
    if not update.message_flags & 1:
        raise MalformedMessage("channel_update: the message flag that must be one is not")
    return update


class _Reader:
    """Big-endian fields from the front."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._position = 0
        self._what = what

    def take(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if self._position > len(self._data):
            raise MalformedMessage(f"{self._what} ends {self._position - len(self._data)} bytes too early")
        return self._data[start : self._position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def octets(self) -> bytes:
        return self.take(self.number(2))

    def point(self) -> bytes:
        return secp256k1.require_point(self.take(33), what=f"{self._what}: a key")
