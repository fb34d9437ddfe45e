"""What is told to the network in our name: about us, signed by us; and what is not, one change at a time."""

from __future__ import annotations

import pytest
from helpers.family_player import Player

from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.keys.node import double_sha256
from signerd.core.requests import Context
from signerd.core.state.book import ChannelId
from signerd.core.state.channel import ChannelState, Funding, Setup
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint
from signerd.core.wire import codec
from signerd.core.wire import gossip as wire
from signerd.errors import MalformedMessage, Refused

SECRET = "03" * 32
PEER, THEIR_KEY, SPLICED_KEY, STRANGER = (secp256k1.public_key(bytes([n]) * 32) for n in (11, 12, 13, 14))
CHANNEL = ChannelId(PEER, 7)
CHAIN = CHAIN_HASHES["regtest"]

SETUP = Setup(
    is_outbound=True,
    push_msat=0,
    holder_delay=144,
    counterparty_delay=144,
    holder_shutdown_script=b"",
    holder_shutdown_index=None,
    counterparty=Basepoints(THEIR_KEY, PEER, PEER, PEER, PEER),
    counterparty_shutdown_script=b"",
    channel_type=bytes.fromhex("401000"),
)
READY = ChannelState().set_up(SETUP, Funding(Outpoint(bytes(32), 0), 10**6, THEIR_KEY))


def player_with(channel: ChannelState | None = READY, dialect=Dialect.CORE_LIGHTNING) -> Player:
    player = Player(SECRET, "regtest", dialect)
    if channel is not None:
        player.book.channels[CHANNEL] = channel
    return player


def announcement(
    player: Player, *, peer=PEER, their_key=THEIR_KEY, our_key=None, node_id=None, chain=CHAIN
) -> bytes:
    our_key = our_key or player.keys.channel(PEER, 7).basepoints.funding
    ends = sorted([(node_id or player.keys.node_id, our_key), (peer, their_key)])
    ids, keys = [end[0] for end in ends], [end[1] for end in ends]
    return b"\x01\x00" + bytes(256) + b"\x00\x00" + chain + bytes(8) + b"".join(ids + keys)


def node_announcement(node_id: bytes) -> bytes:
    return b"\x01\x01" + bytes(64) + b"\x00\x00" + bytes(4) + node_id + bytes(3 + 32 + 2)


def channel_update(chain: bytes = CHAIN, flags: int = 1) -> bytes:
    return b"\x01\x02" + bytes(64) + chain + bytes(12) + bytes([flags, 0]) + bytes(2 + 8 + 4 + 4 + 8)


def ask(player: Player, message, context: Context | None = None):
    return codec.decode_reply(message, player.answer(codec.encode(message), context, 0))


def refusal_of(player: Player, message, context: Context | None = None) -> str:
    with pytest.raises(Refused) as caught:
        ask(player, message, context)
    return caught.value.rule


def test_both_signatures_of_a_channel_verify():
    player = player_with()
    raw = announcement(player)
    reply = ask(player, wire.SignAnyCannouncement(raw, PEER, 7))
    digest = double_sha256(raw[258:])
    funding = player.keys.channel(PEER, 7).basepoints.funding
    assert secp256k1.verify_compact(player.keys.node_id, reply.node_signature, digest)
    assert secp256k1.verify_compact(funding, reply.bitcoin_signature, digest)

    again = ask(player, wire.CannouncementSig(raw), Context(PEER, 7, 447))
    assert (reply.node_signature, reply.bitcoin_signature) == (again.node_signature, again.bitcoin_signature)


def test_a_spliced_channel_is_announced_with_the_peers_new_key():
    channel = READY.splice(SETUP, Funding(Outpoint(b"\x01" * 32, 1), 10**6, SPLICED_KEY))
    player = player_with(channel)
    for their_key in (THEIR_KEY, SPLICED_KEY):
        ask(player, wire.SignAnyCannouncement(announcement(player, their_key=their_key), PEER, 7))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"peer": STRANGER}, "gossip-not-ours"),
        ({"node_id": STRANGER}, "gossip-not-ours"),
        ({"their_key": STRANGER}, "gossip-funding-key"),
        ({"our_key": STRANGER}, "gossip-funding-key"),
        ({"our_key": THEIR_KEY}, "gossip-funding-key"),
        ({"chain": bytes(32)}, "gossip-chain"),
    ],
    ids=str,
)
def test_refuses_to_announce_a_channel_that_is_not_this_one(change, rule):
    player = player_with()
    message = wire.SignAnyCannouncement(announcement(player, **change), PEER, 7)
    assert rule == refusal_of(player, message)


def test_our_key_twice_is_no_channel():
    player = player_with()
    ours = player.keys.channel(PEER, 7).basepoints.funding
    message = wire.SignAnyCannouncement(announcement(player, their_key=ours), PEER, 7)
    assert refusal_of(player, message) == "gossip-funding-key"


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    ("channel", "rule"), [(None, "channel-unknown"), (ChannelState(), "channel-not-set-up")]
)
def test_refuses_to_announce_a_channel_that_is_not_set_up(channel, rule, dialect):
    player = player_with(channel, dialect)
    raw = announcement(player)
    assert rule == refusal_of(player, wire.SignAnyCannouncement(raw, PEER, 7))
    assert rule == refusal_of(player, wire.CannouncementSig(raw), Context(PEER, 7, 0))


def test_an_announcement_of_the_contexts_channel_needs_a_context():
    player = player_with()
    message = wire.CannouncementSig(announcement(player))
    assert refusal_of(player, message) == "no-channel-context"


def test_announces_this_node_and_no_other():
    player = player_with()
    raw = node_announcement(player.keys.node_id)
    reply = ask(player, wire.NodeAnnouncementSig(raw))
    assert secp256k1.verify_compact(player.keys.node_id, reply.signature, double_sha256(raw[66:]))
    assert refusal_of(player, wire.NodeAnnouncementSig(node_announcement(STRANGER))) == "gossip-not-ours"


@pytest.mark.parametrize("dialect", Dialect)
def test_puts_the_signature_of_an_update_in_its_place(dialect):
    player = player_with(dialect=dialect)
    raw = channel_update()
    reply = ask(player, wire.CupdateSig(raw))
    assert (raw[:2], raw[66:]) == (reply.update[:2], reply.update[66:])
    assert secp256k1.verify_compact(player.keys.node_id, reply.update[2:66], double_sha256(raw[66:]))


def test_an_update_with_more_fields_is_signed_whole():
    raw = channel_update() + b"more"
    for dialect, size in ((Dialect.HOSTED, 142), (Dialect.CORE_LIGHTNING, 138)):
        player = player_with(dialect=dialect)
        reply = ask(player, wire.CupdateSig(raw))
        assert size == len(reply.update)
        assert secp256k1.verify_compact(player.keys.node_id, reply.update[2:66], double_sha256(raw[66:]))


def test_a_plain_nodes_update_is_of_its_own_chain():
    message = wire.CupdateSig(channel_update(chain=bytes(32)))
    assert refusal_of(player_with(), message) == "gossip-chain"
    ask(player_with(dialect=Dialect.HOSTED), message)


@pytest.mark.parametrize(
    "message",
    [
        wire.CupdateSig(channel_update(flags=0)),
        wire.CupdateSig(channel_update()[:-1]),
        wire.CupdateSig(node_announcement(PEER)),
        wire.NodeAnnouncementSig(channel_update()),
        wire.NodeAnnouncementSig(bytes(65)),
        wire.SignAnyCannouncement(bytes(257), PEER, 7),
        wire.SignAnyCannouncement(channel_update(), PEER, 7),
    ],
)
def test_refuses_what_is_not_the_message_that_it_claims_to_be(message):
    with pytest.raises(MalformedMessage):
        ask(player_with(), message)


def test_the_reference_signers_own_message_is_an_update_or_our_node():
    player = player_with(dialect=Dialect.HOSTED)
    update, node = channel_update()[66:], node_announcement(player.keys.node_id)[66:]
    for signed in (update, node):
        reply = ask(player, wire.SignGossipMessage(signed))
        assert secp256k1.verify_compact(player.keys.node_id, reply.signature, double_sha256(signed))
    stranger = wire.SignGossipMessage(node_announcement(STRANGER)[66:])
    assert refusal_of(player, stranger) == "gossip-not-ours"
    for other in (announcement(player)[258:], update + b"x", bytes(72), b""):
        with pytest.raises(MalformedMessage):
            ask(player, wire.SignGossipMessage(other))


# A gossip message has room for free text, and is hashed as a signed message is.
MESSAGE = (
    b"Lightning Signed Message:I, the owner of this node, hereby grant to Mallory all of the rights to it."
)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda _: wire.CupdateSig(b"\x01\x02" + bytes(64) + MESSAGE),
        lambda _: wire.SignGossipMessage(MESSAGE[:72]),
        lambda node_id: wire.NodeAnnouncementSig(
            b"\x01\x01" + bytes(64) + MESSAGE[:2] + MESSAGE[2:].ljust(0x4C69, b".") + bytes(4)
            + node_id + bytes(3 + 32 + 2)
        ),
    ],
    ids=["update", "any", "node"],
)  # fmt: skip
def test_no_gossip_is_a_signed_message_at_the_same_time(request_of):
    player = player_with(dialect=Dialect.HOSTED)
    assert refusal_of(player, request_of(player.keys.node_id)) == "sign-message"
