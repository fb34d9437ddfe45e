"""Signatures under what the network is told. Each message is read first: it is what it says, and about us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys.node import double_sha256
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.policy import gossip as policy
from signerd.core.state.book import ChannelId
from signerd.core.tx import gossip, signing
from signerd.core.tx.signing import Dialect
from signerd.core.wire import gossip as wire


def channel_announcement_of_context(message: wire.CannouncementSig, call: Call) -> Answer:
    """hsmd type 102: as `channel_announcement`, for the context's channel."""
    node, bitcoin = _sign_channel(message.announcement, call.channel_id, call)
    return Answer(wire.CannouncementSigReply(node, bitcoin))


def channel_announcement(message: wire.SignAnyCannouncement, call: Call) -> Answer:
    """hsmd type 104: signed with the node's key and with the channel's funding key."""
    channel_id = ChannelId(message.peer_id, message.dbid)
    node, bitcoin = _sign_channel(message.announcement, channel_id, call)
    return Answer(wire.SignAnyCannouncementReply(node, bitcoin))


def channel_update(message: wire.CupdateSig, call: Call) -> Answer:
    """hsmd type 103: the message with its signature in place."""
    raw = message.update
    update = gossip.channel_update(gossip.signed_part(raw, gossip.CHANNEL_UPDATE))
    policy.require_chain(update.chain_hash, call.network, call.dialect)
    signature = _sign(update, call)
    signed = raw[: gossip.SIGNATURE_AT] + signature + update.signed_part
    if call.dialect is Dialect.CORE_LIGHTNING:
        # hsmd gives the fields back that it knows, and signs them all.
        signed = signed[: gossip.CHANNEL_UPDATE_SIZE]
    return Answer(wire.CupdateSigReply(signed))


def node_announcement(message: wire.NodeAnnouncementSig, call: Call) -> Answer:
    """hsmd type 106."""
    signed = gossip.signed_part(message.announcement, gossip.NODE_ANNOUNCEMENT)
    announcement = gossip.node_announcement(signed)
    policy.require_our_node(announcement, call.keys.node_id)
    return Answer(wire.NodeAnnouncementSigReply(_sign(announcement, call)))


def gossip_message(message: wire.SignGossipMessage, call: Call) -> Answer:
    """The reference signer's own type 1106: our node_announcement or a channel_update, after its signature.

    Raises MalformedMessage for what is neither: the request does not say which one it is.
    """
    return Answer(wire.SignGossipMessageReply(_sign(_read_any(message.message, call), call)))


def _read_any(signed: bytes, call: Call) -> gossip.Gossip:
    if len(signed) == gossip.CHANNEL_UPDATE_SIZE - gossip.SIGNED_FROM[gossip.CHANNEL_UPDATE]:
        return gossip.channel_update(signed)
    announcement = gossip.node_announcement(signed)
    policy.require_our_node(announcement, call.keys.node_id)
    return announcement


def _sign_channel(raw: bytes, channel_id: ChannelId, call: Call) -> tuple[bytes, bytes]:
    """The node's signature and the funding key's. Raises Refused for a channel that is not set up."""
    announcement = gossip.channel_announcement(gossip.signed_part(raw, gossip.CHANNEL_ANNOUNCEMENT))
    channel, keys = call.channel(channel_id), call.channel_keys(channel_id)
    policy.require_chain(announcement.chain_hash, call.network, call.dialect)
    policy.require_our_channel(
        announcement,
        channel,
        node_id=call.keys.node_id,
        peer_id=channel_id.peer_id,
        our_key=keys.basepoints.funding,
    )
    bitcoin = keys.sign_funding(double_sha256(announcement.signed_part), _nonce(call))
    return _sign(announcement, call), bitcoin


def _sign(message: gossip.Gossip, call: Call) -> bytes:
    return call.keys.sign_gossip(message.signed_part, _nonce(call))


def _nonce(call: Call) -> Nonce:
    # All gossip has the same.
    return signing.nonce_of(wire.CupdateSig.TYPE, call.dialect)


HANDLERS: Mapping[type[Any], Handler] = {
    wire.CannouncementSig: channel_announcement_of_context,
    wire.SignAnyCannouncement: channel_announcement,
    wire.CupdateSig: channel_update,
    wire.NodeAnnouncementSig: node_announcement,
    wire.SignGossipMessage: gossip_message,
}
