"""A channel as such: its keys and points, its parameters, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers import composing
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.policy import channel as policy
from signerd.core.policy.limits import LIMITS
from signerd.core.state.book import Changes, ChannelId
from signerd.core.state.channel import ChannelState, Funding, Setup
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint
from signerd.core.wire import channel as wire
from signerd.core.wire import composites
from signerd.errors import Refused

MOST_CHANNELS = 50_000
"""They are remembered on disk, and it is the node that makes them."""
_POINTS_WITHOUT_SECRETS = 6
"""The first wire version in which get_per_commitment_point tells no secret."""
_STUB_POINTS = 2
"""A channel without parameters needs the points of its first two commitments."""


def new_channel(message: wire.NewChannel, call: Call) -> Answer:
    """hsmd type 30: a channel without parameters; the same again changes nothing."""
    secp256k1.require_point(message.peer_id, what="the id of the channel's peer")
    channel_id = ChannelId(message.peer_id, message.dbid)
    known = call.book.channel(channel_id)
    if known is not None and not known.forgotten:
        return Answer(wire.NewChannelReply())
    call.book.node.require_new(message.dbid)
    if call.book.channel_count >= MOST_CHANNELS:
        raise Refused("channels-too-many", f"{MOST_CHANNELS} channels are known, and that is the limit")
    return Answer(wire.NewChannelReply(), Changes(channels={channel_id: ChannelState()}))


def forget_channel(message: wire.ForgetChannel, call: Call) -> Answer:
    """hsmd type 34: its number is closed to new channels for ever.

    What was signed for a channel stays known, and so does what can still be on chain.
    """
    channel_id = ChannelId(message.peer_id, message.dbid)
    channel = call.book.channel(channel_id)
    reply = wire.ForgetChannelReply()
    if channel is None:
        return Answer(reply)
    node = call.book.node.forget(message.dbid)
    kept = None if channel.setup is None else channel.forget()
    if node == call.book.node and kept == channel:
        return Answer(reply)
    return Answer(reply, Changes(channels={channel_id: kept}, node=node))


def get_basepoints(message: wire.GetChannelBasepoints, call: Call) -> Answer:
    """hsmd type 10: what we tell the peer at the opening."""
    channel_id = ChannelId(message.peer_id, message.dbid)
    call.channel(channel_id)
    ours = call.channel_keys(channel_id).basepoints
    points = composites.Basepoints(
        revocation=ours.revocation, payment=ours.payment, htlc=ours.htlc, delayed_payment=ours.delayed
    )
    return Answer(wire.GetChannelBasepointsReply(points, ours.funding))


def get_point(message: wire.GetPerCommitmentPoint, call: Call) -> Answer:
    """hsmd type 18: our point. Before wire version 6, the secret of two before comes with it, if revoked.

    That reveals nothing new: what revokes is revoke_commitment_tx (or validate_commitment_tx, in version 4).
    """
    channel_id = call.channel_id
    channel = call.channel(channel_id)
    bound = _STUB_POINTS if channel.setup is None else channel.next_holder + 2
    if message.n >= bound:
        raise Refused(
            "policy-optional-fail-fast", f"point {message.n} is not needed yet, only those below {bound}"
        )
    keys = call.channel_keys(channel_id)
    point, revoked = keys.per_commitment_point(message.n), message.n - 2
    told = call.book.node.hsm_version < _POINTS_WITHOUT_SECRETS and channel.holder_revoked(revoked)
    secret = keys.release_secret(revoked) if told else None
    return Answer(wire.GetPerCommitmentPointReply(point, old_commitment_secret=secret))


def check_future_secret(message: wire.CheckFutureSecret, call: Call) -> Answer:
    """hsmd type 22: whether the peer knows a secret of ours, so that we are the one who lost data."""
    channel_id = call.channel_id
    _ = call.channel(channel_id).ready
    correct = call.channel_keys(channel_id).is_secret(message.n, message.commitment_secret)
    return Answer(wire.CheckFutureSecretReply(correct))


def setup_channel(message: wire.SetupChannel, call: Call) -> Answer:
    """hsmd type 31: the parameters, once and for ever. A splice brings another funding output, no more."""
    channel_id = call.channel_id
    channel = call.channel(channel_id)
    setup, funding = _setup(message), _funding(message)
    # What was accepted stays accepted: a repetition is compared, not judged again.
    if channel.setup is None:
        policy.check_setup(setup, funding, call.keys, LIMITS[call.network])
        _require_free(call, channel_id, funding)
        after = channel.set_up(setup, funding)
    elif call.dialect is Dialect.HOSTED or (setup == channel.setup and funding in channel.fundings):
        after = channel.set_up(setup, funding)
    else:
        policy.check_value(funding, LIMITS[call.network])
        _require_free(call, channel_id, funding)
        after = channel.splice(setup, funding)
    return composing.answer(wire.SetupChannelReply(), channel_id, channel, after)


def check_outpoint(message: wire.CheckOutpoint, call: Call) -> Answer:
    """hsmd type 32: buried, as far as we know. This signer follows no chain; the node does."""
    del message
    call.channel(call.channel_id)
    return Answer(wire.CheckOutpointReply(is_buried=True))


def lock_outpoint(message: wire.LockOutpoint, call: Call) -> Answer:
    """hsmd type 37: both sides go on with this funding output."""
    channel_id = call.channel_id
    channel = call.channel(channel_id)
    after = channel.lock(Outpoint(message.funding_txid, message.funding_txout))
    return composing.answer(wire.LockOutpointReply(), channel_id, channel, after)


def _require_free(call: Call, channel_id: ChannelId, funding: Funding) -> None:
    """Raises Refused if another channel is in this output: one output has the keys of one channel."""
    owner = call.book.channel_funded_by(funding.outpoint)
    if owner is not None and owner != channel_id:
        raise Refused("funding-taken", f"{funding.outpoint} carries channel {owner} already")


def _setup(message: wire.SetupChannel) -> Setup:
    theirs = message.remote_basepoints
    return Setup(
        is_outbound=message.is_outbound,
        push_msat=message.push_value,
        holder_delay=message.local_to_self_delay,
        counterparty_delay=message.remote_to_self_delay,
        holder_shutdown_script=message.local_shutdown_script,
        holder_shutdown_index=message.local_shutdown_wallet_index,
        counterparty=Basepoints(
            funding=message.remote_funding_pubkey,
            revocation=theirs.revocation,
            payment=theirs.payment,
            htlc=theirs.htlc,
            delayed=theirs.delayed_payment,
        ),
        counterparty_shutdown_script=message.remote_shutdown_script,
        channel_type=message.channel_type.lstrip(b"\x00"),
    )


def _funding(message: wire.SetupChannel) -> Funding:
    outpoint = Outpoint(message.funding_txid, message.funding_txout)
    return Funding(outpoint, message.channel_value, message.remote_funding_pubkey)


HANDLERS: Mapping[type[Any], Handler] = {
    wire.GetChannelBasepoints: get_basepoints,
    wire.GetPerCommitmentPoint: get_point,
    wire.CheckFutureSecret: check_future_secret,
    wire.NewChannel: new_channel,
    wire.SetupChannel: setup_channel,
    wire.CheckOutpoint: check_outpoint,
    wire.ForgetChannel: forget_channel,
    wire.LockOutpoint: lock_outpoint,
}
