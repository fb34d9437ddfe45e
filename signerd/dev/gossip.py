"""What our node has signed for the network: its channels, its fees, itself (BOLT 7)."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.wire import gossip as wire
from signerd.dev import judge
from signerd.dev.channel import Channel
from signerd.dev.steps import CHANNELD, Steps, ask, require
from signerd.dev.world import World

_CHANNEL_ANNOUNCEMENT, _NODE_ANNOUNCEMENT, _CHANNEL_UPDATE = 256, 257, 258
_SIGNATURE = bytes(64)
_MUST_BE_ONE, _DONT_FORWARD = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a channel_update asks for forwarding. `age` is how many seconds ago it was made.

    `alias` (8 bytes) stands for the short channel id while there is none, or for ever in a private channel;
    `appended` is what a later version of BOLT 7 may say.
    """

    disabled: bool = False
    private: bool = False
    age: int = 0
    cltv_delta: int = 34
    least_msat: int = 0
    base_msat: int = 1
    millionths: int = 10
    most_msat: int | None = None
    alias: bytes | None = None
    appended: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a node_announcement says. `alias` has up to 32 bytes, `addresses` are descriptors of BOLT 7."""

    alias: bytes = b"hosted here"
    colour: bytes = bytes(3)
    features: bytes = b""
    addresses: tuple[bytes, ...] = (bytes([1, 127, 0, 0, 1]) + (9735).to_bytes(2, "big"),)
    age: int = 0
    appended: bytes = b""


USUAL_PRICE = Price()
USUAL_CARD = Card()


def announce_channel(
    world: World,
    channel: Channel,
    *,
    features: bytes = b"",
    appended: bytes = b"",
    by_channeld: bool = False,
) -> Steps[None]:
    """hsmd 4, or 2 as channeld asked until v23.11: both ends in order, and their keys of the funding."""
    ends = sorted(
        (
            (world.account.node_id, channel.basepoints.funding),
            (channel.peer.node_id, channel.keys.basepoints.funding),
        )
    )
    signed = (
        _sized(features)
        + CHAIN_HASHES[world.account.network]
        + short_channel_id(channel)
        + b"".join(node_id for node_id, _ in ends)
        + b"".join(key for _, key in ends)
        + appended
    )

    def of_both(reply: wire.SignAnyCannouncementReply | wire.CannouncementSigReply) -> None:
        judge.gossip(reply.node_signature, signed, key=world.account.node_id)
        judge.gossip(reply.bitcoin_signature, signed, key=channel.basepoints.funding)

    raw = _type(_CHANNEL_ANNOUNCEMENT) + 4 * _SIGNATURE + signed
    if by_channeld:
        yield from ask(wire.CannouncementSig(raw), of_both, context=channel.context(CHANNELD))
    else:
        yield from ask(wire.SignAnyCannouncement(raw, channel.peer.node_id, channel.dbid), of_both)


def update_channel(world: World, channel: Channel, price: Price = USUAL_PRICE) -> Steps[None]:
    """hsmd 3."""
    direction = world.account.node_id > channel.peer.node_id
    most = channel.value_sat * 990 if price.most_msat is None else price.most_msat
    known = (
        CHAIN_HASHES[world.account.network]
        + (price.alias or short_channel_id(channel))
        + (world.now - price.age).to_bytes(4, "big")
        + bytes([_MUST_BE_ONE | (_DONT_FORWARD if price.private else 0), direction | price.disabled << 1])
        + price.cltv_delta.to_bytes(2, "big")
        + price.least_msat.to_bytes(8, "big")
        + price.base_msat.to_bytes(4, "big")
        + price.millionths.to_bytes(4, "big")
        + most.to_bytes(8, "big")
    )
    signed = known + price.appended
    raw = _type(_CHANNEL_UPDATE) + _SIGNATURE + signed

    def of_update(reply: wire.CupdateSigReply) -> None:
        came = reply.update[:2] + _SIGNATURE + reply.update[66:]
        # Core Lightning's own hsmd gives back what it knows, and signs all.
        require(came in (raw, raw[: 66 + len(known)]), "the update came back with other fields")
        judge.gossip(reply.update[2:66], signed, key=world.account.node_id)

    yield from ask(wire.CupdateSig(raw), of_update)


def announce_node(world: World, card: Card = USUAL_CARD) -> Steps[None]:
    """hsmd 6."""
    signed = (
        _sized(card.features)
        + (world.now - card.age).to_bytes(4, "big")
        + world.account.node_id
        + card.colour
        + card.alias.ljust(32, b"\x00")
        + _sized(b"".join(card.addresses))
        + card.appended
    )

    def of_node(reply: wire.NodeAnnouncementSigReply) -> None:
        judge.gossip(reply.signature, signed, key=world.account.node_id)

    yield from ask(wire.NodeAnnouncementSig(_type(_NODE_ANNOUNCEMENT) + _SIGNATURE + signed), of_node)


def short_channel_id(channel: Channel) -> bytes:
    """8 bytes: block, place in the block, output (BOLT 7). Ours are in blocks of their own."""
    return (
        (channel.dbid % 2**24).to_bytes(3, "big")
        + (1 + channel.moves).to_bytes(3, "big")
        + channel.funding.index.to_bytes(2, "big")
    )


def _type(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
