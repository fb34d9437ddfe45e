"""A life of any kind, chosen move by move among those that are valid: what honest software could meet."""

from __future__ import annotations

from collections.abc import Callable

from signerd.core.keys.commitment import index_of
from signerd.core.tx import script
from signerd.core.tx.transaction import Output
from signerd.core.wire.composites import Side
from signerd.dev import channel as kinds
from signerd.dev import gossip, invoices, spending, sweeping
from signerd.dev.channel import Channel, Terms
from signerd.dev.choices import Choices
from signerd.dev.coins import Kind
from signerd.dev.lifecycle import Life
from signerd.dev.peer import Peer
from signerd.dev.steps import Steps

_MOST_HTLCS = 12
"""In flight at once: enough for every kind of commitment, and few enough to be quick."""
_LEAST_FEERATE, _HIGHEST_FEERATE = 253, 5000

Move = Callable[[], Steps[object]]


def live(life: Life, choices: Choices, *, moves: int) -> Steps[list[Channel]]:
    """One channel or two are opened, `moves` moves are made, each comes to some end: the channels, ended."""
    return (yield from _Liver(life, choices).live(moves))


class _Liver:
    def __init__(self, life: Life, choices: Choices) -> None:
        self._life = life
        self._world = life.world
        self._choices = choices

    def live(self, moves: int) -> Steps[list[Channel]]:
        channels: list[Channel] = []
        for _ in range(self._choices.between(1, 2)):
            # The second may be with the same peer.
            peer = channels[0].peer if channels and self._choices.one_in(2) else None
            channels.append((yield from self._life.open(self._terms(), peer=peer)))
        for _ in range(moves):
            move = self._choices.among(self._valid(self._choices.among(channels)))
            yield from move()
        for channel in channels:
            yield from self._end(channel)
            if self._choices.one_in(2):
                yield from self._life.forget(channel)
        return channels

    def _terms(self) -> Terms:
        choices = self._choices
        funder = choices.among(tuple(Side))
        value = choices.among((200_000, 1_000_000, 9_999_999))
        # The reference signer pushes nothing away in a channel that it funds.
        pushed = 0 if funder is Side.LOCAL else choices.below(value // 2) * 1000
        delays, dust = (144, 720, 2016), (354, 546)
        return Terms(
            funder=funder,
            value_sat=value,
            push_msat=pushed,
            channel_type=choices.among((kinds.ANCHORS, kinds.STATIC_REMOTEKEY, kinds.ANCHORS_ALIAS_ZEROCONF)),
            local_delay=choices.among(delays),
            remote_delay=choices.among(delays),
            local_dust_sat=choices.among(dust),
            remote_dust_sat=choices.among(dust),
            feerate_per_kw=choices.between(_LEAST_FEERATE, _HIGHEST_FEERATE // 2),
        )

    def _valid(self, channel: Channel) -> list[Move]:
        """What can come next. What keeps the channel going is in it more than once."""
        life, updates = self._life, channel.updates
        moves: list[Move] = [lambda: self._aside(channel)]
        for side in Side:
            if updates.room_msat(side) and len(updates.payments) < _MOST_HTLCS:
                moves += 2 * [lambda side=side: self._offer(channel, side)]
        if any(payment.removable for payment in updates.payments):
            moves += 2 * [lambda: self._remove(channel)]
        if channel.revocation_due:
            moves += 2 * [lambda: life.revoke_remote(channel)]
        elif updates.pending(Side.REMOTE):
            moves += 2 * [lambda: life.sign_remote(channel)]
        if updates.pending(Side.LOCAL):
            moves += 2 * [lambda: life.take_local(channel)]
        return [*moves, lambda: self._change_feerate(channel), lambda: life.reconnect(channel)]

    # Moves.

    def _offer(self, channel: Channel, side: Side) -> Steps[None]:
        choices = self._choices
        for _ in range(choices.between(1, 3)):
            room = channel.updates.room_msat(side)
            if not room:
                return
            most = choices.among((room, room // 10, 2_000_000, 300_000))
            amount = choices.between(1, max(1, min(most, room)))
            payment = self._life.offer(channel, side, amount, expiry_delta=choices.between(10, 2000))
            payment.known = not choices.one_in(3)
            if side is Side.LOCAL and choices.one_in(2):
                yield from invoices.approve(self._world, channel.peer, payment.preimage, amount)

    def _remove(self, channel: Channel) -> Steps[None]:
        removable = [payment for payment in channel.updates.payments if payment.removable]
        for payment in removable[: self._choices.between(1, len(removable))]:
            channel.updates.remove(payment, fulfil=payment.known)
        yield from ()

    def _change_feerate(self, channel: Channel) -> Steps[None]:
        feerate = self._choices.between(_LEAST_FEERATE, _HIGHEST_FEERATE)
        if channel.updates.affords(feerate):
            channel.updates.change_feerate(feerate)
        yield from ()

    def _aside(self, channel: Channel) -> Steps[object]:
        """Something that has nothing to do with the dance."""
        life, world, choices = self._life, self._world, self._choices
        number = channel.newest(Side.LOCAL).number
        asides: list[Move] = [
            life.connect,
            lambda: gossip.update_channel(world, channel, disabled=choices.one_in(2)),
            lambda: gossip.announce_channel(world, channel),
            lambda: gossip.announce_node(world),
            lambda: invoices.issue(world, world.dice.fresh(), choices.among((None, 1, 10_000, 10**9))),
            lambda: invoices.approve_keysend(channel.peer, world.dice.fresh(), choices.between(1, 10**6)),
            self._withdraw,
            lambda: life.check_future_secret(channel, number, world.dice.fresh(), right=False),
        ]
        if number:
            revoked = choices.below(number)
            secret = channel.secrets.secret_for(index_of(revoked)) or b""
            asides.append(lambda: life.check_future_secret(channel, revoked, secret, right=True))
        return choices.among(asides)()

    def _withdraw(self) -> Steps[object]:
        choices, wallet = self._choices, self._world.wallet
        for _ in range(choices.between(1, 3)):
            wallet.deposit(choices.between(5_000, 500_000), choices.among(tuple(Kind)))
        key = Peer(self._world.dice.fresh()).node_id
        payee = choices.among((script.p2wpkh(key), script.p2tr(key), script.p2wsh(script.anchor(key))))
        value = choices.between(1_000, max(1_000, wallet.balance_sat - 3_000))
        return spending.withdraw(
            self._world, [Output(value, payee)], change=choices.among((Kind.P2TR, Kind.P2WPKH))
        )

    # Ends.

    def _end(self, channel: Channel) -> Steps[None]:
        life, choices = self._life, self._choices
        newest = channel.newest(Side.REMOTE).number
        ends: list[Move] = [
            lambda: self._close_mutually(channel),
            lambda: life.force_close(channel, bump=not choices.one_in(4)),
            lambda: self._peer_closes(channel, newest),
        ]
        if newest:
            ends.append(lambda: self._peer_closes(channel, choices.below(newest)))
        yield from choices.among(ends)()
        if channel.published:
            yield from life.sweep(channel)

    def _close_mutually(self, channel: Channel) -> Steps[None]:
        yield from self._life.settle(channel, fulfil=self._choices.one_in(2))
        yield from self._life.close(channel, rounds=self._choices.between(1, 3))

    def _peer_closes(self, channel: Channel, number: int) -> Steps[None]:
        """With its newest commitment, the one before while it may, or one that it has revoked."""
        self._life.peer_closes(channel, number)
        held = channel.held[Side.REMOTE][number]
        for payment in held.payments:
            if (payment.by is Side.REMOTE or payment.known) and self._choices.one_in(4):
                sweeping.publish_their_htlc(self._world, channel, payment)
        yield from ()
