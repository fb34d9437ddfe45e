"""May this be told to the network in our name? It must be about us, and about a channel that we know."""

from __future__ import annotations

from signerd.core.state.channel import ChannelState
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.tx.gossip import ChannelAnnouncement, NodeAnnouncement
from signerd.core.tx.signing import Dialect
from signerd.errors import Refused
from signerd.units import Network


def require_chain(chain_hash: bytes, network: Network, dialect: Dialect) -> None:
    """Raises Refused for another chain than ours, but on a hosted node: the reference lets any pass."""
    if dialect is Dialect.CORE_LIGHTNING and chain_hash != CHAIN_HASHES[network]:
        raise Refused("gossip-chain", f"the chain {chain_hash.hex()[:16]}… is not {network}")


def require_our_node(announcement: NodeAnnouncement, node_id: bytes) -> None:
    """Raises Refused for the announcement of another node."""
    if announcement.node_id != node_id:
        raise Refused("gossip-not-ours", f"node {announcement.node_id.hex()} is not this one")


def require_our_channel(
    announcement: ChannelAnnouncement,
    channel: ChannelState,
    *,
    node_id: bytes,
    peer_id: bytes,
    our_key: bytes,
) -> None:
    """Raises Refused unless the channel is set up, its two ends are named, and so are the keys that fund it.

    `node_id` and `our_key` are ours, `peer_id` is the peer's; all 33 bytes. Which key is whose is not looked
    at: an announcement that confuses them is true of no channel.
    """
    their_keys = {channel.ready.counterparty.funding, *(item.counterparty_key for item in channel.fundings)}
    if set(announcement.node_ids) != {node_id, peer_id}:
        raise Refused("gossip-not-ours", "the announcement is not one of this node and the channel's peer")
    if our_key not in announcement.bitcoin_keys:
        raise Refused("gossip-funding-key", "our key in this channel's funding is not announced")
    if their_keys.isdisjoint(set(announcement.bitcoin_keys) - {our_key}):
        raise Refused("gossip-funding-key", "the peer's key in this channel's funding is not announced")
