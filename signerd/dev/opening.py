"""Channels are opened, by us or by a peer, in the order in which openingd and channeld ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signerd.core.keys.channel import Basepoints
from signerd.core.tx import script
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire import channel as wire
from signerd.core.wire import composites
from signerd.core.wire.composites import Side
from signerd.dev import commitments, gossip, spending
from signerd.dev.channel import Channel, Terms, first_updates
from signerd.dev.peer import Peer, PeerChannel
from signerd.dev.spending import Draft
from signerd.dev.steps import CHANNELD, DUALOPEND, OPENINGD, Context, Steps, ask, require
from signerd.dev.world import World


@dataclass(frozen=True, slots=True)
class Wanted:
    """A channel that is to be. `dbid` is its number in the node's database."""

    peer: Peer
    dbid: int
    terms: Terms


def open_channel(world: World, peer: Peer, dbid: int, terms: Terms) -> Steps[Channel]:
    """hsmd 30, 10, 18, 31, 19 and 35, 18, 7, 4, 3, 32, 37, 6. Raises UsageError if we cannot pay for it.

    By channel establishment v2, dualopend does all of it, and both points are asked for at its start.
    """
    (channel,) = yield from open_channels(world, [Wanted(peer, dbid, terms)])
    return channel


def open_channels(world: World, wanted: Sequence[Wanted]) -> Steps[list[Channel]]:
    """As `open_channel`; several that we fund are funded by one transaction, signed once for all of them.

    Raises UsageError if we cannot pay our share.
    """
    begun: list[_Begun] = []
    for item in wanted:
        begin = yield from _begin(world, item)
        begun.append(begin)
    outputs = [item.output for item in begun]
    draft = _funding(world, wanted, outputs)
    tx = draft.tx if draft else world.chain.coin(outputs[0])
    txid = draft.txid if draft else tx.txid
    channels = [item.funded(world, tx, Outpoint(txid, place)) for place, item in enumerate(begun)]
    for channel in channels:
        yield from _agree(world, channel)
    if draft is not None:
        signed = yield from draft.sign()
        draft.publish(world, signed)
        for channel in channels:
            channel.funding_tx = signed
    for channel in channels:
        yield from _announce(world, channel)
    return channels


def _funding(world: World, wanted: Sequence[Wanted], outputs: Sequence[Output]) -> Draft | None:
    """None if the peer pays for it alone."""
    first = wanted[0]
    ours = sum(item.terms.share_sat(Side.LOCAL) for item in wanted)
    theirs = sum(item.terms.share_sat(Side.REMOTE) for item in wanted)
    if not ours:
        return None
    others = [(spending.coin_of(world, first.peer, theirs), first.peer)] if theirs else []
    # In v2 both sides know the id before they sign (BOLT 2, tx_add_input).
    return spending.pay(world, outputs, others=others, native=first.terms.dual)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A channel whose keys are known to both sides."""

    wanted: Wanted
    basepoints: Basepoints
    keys: PeerChannel
    first_point: bytes

    @property
    def output(self) -> Output:
        funding_script = script.funding(self.basepoints.funding, self.keys.basepoints.funding)
        return Output(self.wanted.terms.value_sat, script.p2wsh(funding_script))

    def funded(self, world: World, tx: Transaction, funding: Outpoint) -> Channel:
        return Channel(
            peer=self.wanted.peer,
            keys=self.keys,
            dbid=self.wanted.dbid,
            terms=self.wanted.terms,
            basepoints=self.basepoints,
            funding=funding,
            funding_tx=tx,
            value_sat=self.wanted.terms.value_sat,
            updates=first_updates(self.wanted.terms),
            final_index=world.wallet.fresh(),
            points={0: self.first_point},
        )


def _opener(terms: Terms) -> int:
    return DUALOPEND if terms.dual else OPENINGD


def _begin(world: World, wanted: Wanted) -> Steps[_Begun]:
    peer, dbid = wanted.peer, wanted.dbid
    yield from ask(wire.NewChannel(peer.node_id, dbid), _answered)
    basepoints = yield from ask(wire.GetChannelBasepoints(peer.node_id, dbid), _basepoints)
    context = Context(peer.node_id, dbid, _opener(wanted.terms))
    first = yield from ask(wire.GetPerCommitmentPoint(0), _first_point, context=context)
    return _Begun(wanted, basepoints, peer.channel(world.account.node_id, dbid), first)


def _agree(world: World, channel: Channel) -> Steps[None]:
    opener = _opener(channel.terms)
    if channel.terms.dual:
        yield from commitments.ask_point(channel, 1, opener)
    yield from ask(setup(world, channel), _answered, context=channel.context(opener))
    yield from _first_commitments(channel, opener)
    if not channel.terms.dual:
        yield from commitments.ask_point(channel, 1)


def _announce(world: World, channel: Channel) -> Steps[None]:
    opener = _opener(channel.terms)
    if channel.terms.funder is Side.LOCAL:
        yield from gossip.announce_channel(world, channel)
        yield from gossip.update_channel(world, channel)
        yield from lock_in(channel, opener)
    else:
        yield from lock_in(channel, opener)
        yield from gossip.announce_channel(world, channel)
    yield from gossip.announce_channel(world, channel)
    yield from gossip.update_channel(world, channel)
    yield from gossip.announce_node(world)


def _first_commitments(channel: Channel, opener: int) -> Steps[None]:
    """Whoever funds signs the other's first, and gives the signature away first; in v2 both sign at once."""
    (ours,), (theirs,) = channel.compose_next(Side.LOCAL), channel.compose_next(Side.REMOTE)
    channel.held = {Side.LOCAL: [ours], Side.REMOTE: [theirs]}
    if channel.terms.funder is Side.LOCAL or channel.terms.dual:
        yield from commitments.sign_remote(channel, theirs, opener)
        yield from commitments.take_local(channel, ours, opener)
    else:
        yield from commitments.take_local(channel, ours, opener)
        yield from commitments.sign_remote(channel, theirs, opener)


def setup(world: World, channel: Channel) -> wire.SetupChannel:
    """What was agreed at the opening."""
    terms, theirs = channel.terms, channel.keys.basepoints
    index = channel.final_index if terms.upfront_shutdown else None
    said = terms.upfront_shutdown or terms.their_upfront
    return wire.SetupChannel(
        is_outbound=terms.funder is Side.LOCAL,
        channel_value=terms.value_sat,
        push_value=terms.push_msat,
        funding_txid=channel.funding.txid,
        funding_txout=channel.funding.index,
        local_to_self_delay=terms.local_delay,
        local_shutdown_script=b"" if index is None else channel.home(world.wallet),
        local_shutdown_wallet_index=index,
        remote_basepoints=composites.Basepoints(
            theirs.revocation, theirs.payment, theirs.htlc, theirs.delayed
        ),
        remote_funding_pubkey=theirs.funding,
        remote_to_self_delay=terms.remote_delay,
        remote_shutdown_script=channel.their_final_script if said else b"",
        channel_type=terms.channel_type,
    )


def lock_in(channel: Channel, opener: int) -> Steps[None]:
    """hsmd 32, 37: asked by channeld, and in an opening v2 by dualopend."""
    context = channel.context(DUALOPEND if opener == DUALOPEND else CHANNELD)
    funding = channel.funding

    def of_burial(reply: wire.CheckOutpointReply) -> None:
        require(reply.is_buried, "a signer without a chain takes the node's word that the funding is buried")

    yield from ask(wire.CheckOutpoint(funding.txid, funding.index), of_burial, context=context)
    yield from ask(wire.LockOutpoint(funding.txid, funding.index), _answered, context=context)


def _basepoints(reply: wire.GetChannelBasepointsReply) -> Basepoints:
    points = reply.basepoints
    return Basepoints(
        funding=reply.funding_pubkey,
        revocation=points.revocation,
        payment=points.payment,
        htlc=points.htlc,
        delayed=points.delayed_payment,
    )


def _first_point(reply: wire.GetPerCommitmentPointReply) -> bytes:
    require(reply.old_commitment_secret is None, "nothing can be revoked yet")
    return reply.per_commitment_point


def _answered(_reply: object) -> None:
    """Being answered is all that there is to it."""
