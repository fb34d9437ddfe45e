"""How onchaind's questions reach a signer: by the main daemon (142 to 146), or in older nodes by itself."""

from __future__ import annotations

from typing import NamedTuple

from signerd.core.wire import commitment, sweep
from signerd.core.wire.codec import Message
from signerd.core.wire.composites import BitcoinTx
from signerd.dev.channel import Channel
from signerd.dev.steps import ONCHAIND, Context


class Question(NamedTuple):
    """A message, and on which connection it comes."""

    message: Message
    context: Context | None


def delayed(channel: Channel, number: int, tx: BitcoinTx, script: bytes, *, older: bool) -> Question:
    """hsmd 142, or 12: our own output of commitment `number`, once its delay is over."""
    if older:
        return _older(channel, sweep.SignDelayedPaymentToUs(number, tx, script))
    peer_id, dbid = channel.peer.node_id, channel.dbid
    return Question(sweep.SignAnyDelayedPaymentToUs(number, tx, script, 0, peer_id, dbid), None)


def claim(channel: Channel, point: bytes, tx: BitcoinTx, script: bytes, *, older: bool) -> Question:
    """hsmd 143, or 13: an HTLC on the peer's commitment that has this point."""
    anchors = channel.format.anchors
    if older:
        return _older(channel, sweep.SignRemoteHtlcToUs(point, tx, script, anchors))
    peer_id, dbid = channel.peer.node_id, channel.dbid
    return Question(sweep.SignAnyRemoteHtlcToUs(point, tx, script, anchors, 0, peer_id, dbid), None)


def penalty(channel: Channel, secret: bytes, tx: BitcoinTx, script: bytes, *, older: bool) -> Question:
    """hsmd 144, or 14: an output of a revoked commitment."""
    if older:
        return _older(channel, sweep.SignPenaltyToUs(secret, tx, script))
    peer_id, dbid = channel.peer.node_id, channel.dbid
    return Question(sweep.SignAnyPenaltyToUs(secret, tx, script, 0, peer_id, dbid), None)


def local_htlc(channel: Channel, number: int, tx: BitcoinTx, script: bytes, *, older: bool) -> Question:
    """hsmd 146, or 16: an HTLC transaction of our own commitment `number`."""
    anchors = channel.format.anchors
    if older:
        return _older(channel, commitment.SignLocalHtlcTx(number, tx, script, anchors))
    peer_id, dbid = channel.peer.node_id, channel.dbid
    return Question(commitment.SignAnyLocalHtlcTx(number, tx, script, anchors, 0, peer_id, dbid), None)


def _older(channel: Channel, message: Message) -> Question:
    return Question(message, channel.context(ONCHAIND))
