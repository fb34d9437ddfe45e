"""Gossip messages, read: type numbers, lengths, offsets."""

from __future__ import annotations

import pytest

from signerd.core.keys import secp256k1
from signerd.core.tx import gossip
from signerd.errors import MalformedMessage

POINTS = [secp256k1.public_key(bytes([n]) * 32) for n in (1, 2, 3, 4)]
CHAIN = b"\xcc" * 32

ANNOUNCEMENT = (
    (256).to_bytes(2, "big") + bytes(256) + b"\x00\x01\x80" + CHAIN + bytes(range(8)) + b"".join(POINTS)
)
NODE = (
    (257).to_bytes(2, "big")
    + bytes(64)
    + b"\x00\x02\x01\x00"
    + (1_700_000_000).to_bytes(4, "big")
    + POINTS[0]
    + b"\x01\x02\x03"
    + b"alias".ljust(32, b"\x00")
    + b"\x00\x07\x01\x7f\x00\x00\x01\x26\x07"
)
UPDATE = (
    (258).to_bytes(2, "big")
    + bytes(64)
    + CHAIN
    + bytes(range(8))
    + (1_700_000_000).to_bytes(4, "big")
    + b"\x01\x02"
    + (34).to_bytes(2, "big")
    + (1000).to_bytes(8, "big")
    + (1).to_bytes(4, "big")
    + (10).to_bytes(4, "big")
    + (10**9).to_bytes(8, "big")
)
READERS = {
    gossip.CHANNEL_ANNOUNCEMENT: (ANNOUNCEMENT, gossip.channel_announcement),
    gossip.NODE_ANNOUNCEMENT: (NODE, gossip.node_announcement),
    gossip.CHANNEL_UPDATE: (UPDATE, gossip.channel_update),
}


def test_reads_a_channel_announcement():
    read = gossip.channel_announcement(gossip.signed_part(ANNOUNCEMENT, gossip.CHANNEL_ANNOUNCEMENT))
    assert ((POINTS[0], POINTS[1]), (POINTS[2], POINTS[3])) == (read.node_ids, read.bitcoin_keys)
    assert (b"\x80", CHAIN, 0x01020304050607) == (read.features, read.chain_hash, read.short_channel_id)


def test_reads_a_node_announcement():
    read = gossip.node_announcement(gossip.signed_part(NODE, gossip.NODE_ANNOUNCEMENT))
    assert (POINTS[0], 1_700_000_000, b"\x01\x00") == (read.node_id, read.timestamp, read.features)
    assert (b"alias", b"\x01\x7f\x00\x00\x01\x26\x07") == (read.alias.rstrip(b"\x00"), read.addresses)


def test_reads_a_channel_update():
    read = gossip.channel_update(gossip.signed_part(UPDATE, gossip.CHANNEL_UPDATE))
    assert gossip.CHANNEL_UPDATE_SIZE == len(UPDATE)
    assert (CHAIN, 34, 1000, 1, 10, 10**9) == (
        read.chain_hash,
        read.cltv_expiry_delta,
        read.htlc_minimum_msat,
        read.fee_base_msat,
        read.fee_proportional_millionths,
        read.htlc_maximum_msat,
    )


@pytest.mark.parametrize("kind", READERS)
def test_the_signature_covers_what_is_appended(kind):
    message, read = READERS[kind]
    assert read(gossip.signed_part(message + b"more", kind)).signed_part.endswith(b"more")


@pytest.mark.parametrize("kind", READERS)
def test_refuses_a_message_that_is_cut(kind):
    message, read = READERS[kind]
    for end in range(len(message)):
        with pytest.raises(MalformedMessage):
            read(gossip.signed_part(message[:end], kind))


@pytest.mark.parametrize("kind", READERS)
def test_refuses_a_message_of_another_type(kind):
    for other, (message, _) in READERS.items():
        if other != kind:
            with pytest.raises(MalformedMessage, match=f"its type, {kind}"):
                gossip.signed_part(message, kind)


@pytest.mark.parametrize("place", range(4))
def test_refuses_a_channel_between_what_are_no_points(place):
    start = len(ANNOUNCEMENT) - 33 * (4 - place)
    broken = ANNOUNCEMENT[:start] + b"\x04" + ANNOUNCEMENT[start + 1 :]
    with pytest.raises(MalformedMessage, match="a key is not"):
        gossip.channel_announcement(gossip.signed_part(broken, gossip.CHANNEL_ANNOUNCEMENT))


def test_refuses_an_update_whose_constant_flag_is_off():
    broken = UPDATE[:110] + b"\x00" + UPDATE[111:]
    with pytest.raises(MalformedMessage, match="must be one"):
        gossip.channel_update(gossip.signed_part(broken, gossip.CHANNEL_UPDATE))
