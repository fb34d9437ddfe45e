"""What our node has signed for the network: its channels, its fees, itself (BOLT 7)."""

from __future__ import annotations

from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.wire import gossip as wire
from signerd.dev import judge
from signerd.dev.channel import Channel
from signerd.dev.steps import Steps, ask, require
from signerd.dev.world import World

_CHANNEL_ANNOUNCEMENT, _NODE_ANNOUNCEMENT, _CHANNEL_UPDATE = 256, 257, 258
_SIGNATURE = bytes(64)
_MUST_BE_ONE = 1


def announce_channel(world: World, channel: Channel) -> Steps[None]:
    """hsmd 4: both node ids in order, and the funding keys as they belong to them."""
    ends = sorted(
        (
            (world.account.node_id, channel.basepoints.funding),
            (channel.peer.node_id, channel.keys.basepoints.funding),
        )
    )
    signed = (
        bytes(2)
        + CHAIN_HASHES[world.account.network]
        + short_channel_id(channel)
        + b"".join(node_id for node_id, _ in ends)
        + b"".join(key for _, key in ends)
    )

    def of_both(reply: wire.SignAnyCannouncementReply) -> None:
        judge.gossip(reply.node_signature, signed, key=world.account.node_id)
        judge.gossip(reply.bitcoin_signature, signed, key=channel.basepoints.funding)

    raw = _type(_CHANNEL_ANNOUNCEMENT) + 4 * _SIGNATURE + signed
    yield from ask(wire.SignAnyCannouncement(raw, channel.peer.node_id, channel.dbid), of_both)


def update_channel(world: World, channel: Channel, *, disabled: bool = False) -> Steps[None]:
    """hsmd 3."""
    direction = world.account.node_id > channel.peer.node_id
    signed = (
        CHAIN_HASHES[world.account.network]
        + short_channel_id(channel)
        + world.now.to_bytes(4, "big")
        + bytes([_MUST_BE_ONE, direction | disabled << 1])
        + (34).to_bytes(2, "big")
        + (0).to_bytes(8, "big")
        + (1).to_bytes(4, "big")
        + (10).to_bytes(4, "big")
        + (channel.terms.value_sat * 990).to_bytes(8, "big")
    )
    raw = _type(_CHANNEL_UPDATE) + _SIGNATURE + signed

    def of_update(reply: wire.CupdateSigReply) -> None:
        require(
            reply.update[:2] + _SIGNATURE + reply.update[66:] == raw, "the update came back with other fields"
        )
        judge.gossip(reply.update[2:66], signed, key=world.account.node_id)

    yield from ask(wire.CupdateSig(raw), of_update)


def announce_node(world: World) -> Steps[None]:
    """hsmd 6."""
    address = bytes([1, 127, 0, 0, 1]) + (9735).to_bytes(2, "big")
    signed = (
        bytes(2)
        + world.now.to_bytes(4, "big")
        + world.account.node_id
        + bytes(3)
        + b"hosted here".ljust(32, b"\x00")
        + len(address).to_bytes(2, "big")
        + address
    )

    def of_node(reply: wire.NodeAnnouncementSigReply) -> None:
        judge.gossip(reply.signature, signed, key=world.account.node_id)

    yield from ask(wire.NodeAnnouncementSig(_type(_NODE_ANNOUNCEMENT) + _SIGNATURE + signed), of_node)


def short_channel_id(channel: Channel) -> bytes:
    """8 bytes: block, place in the block, output (BOLT 7). Ours are in blocks of their own."""
    return (
        (channel.dbid % 2**24).to_bytes(3, "big")
        + (1).to_bytes(3, "big")
        + channel.funding.index.to_bytes(2, "big")
    )


def _type(number: int) -> bytes:
    return number.to_bytes(2, "big")
