"""A life of any kind, chosen move by move among those that are valid: what honest software could meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from signerd.core.tx.htlc import MSAT
from signerd.core.wire.composites import Side
from signerd.dev import channel as kinds
from signerd.dev import homeward, random_htlcs, splicing, sweeping
from signerd.dev.channel import Channel, Terms
from signerd.dev.choices import Choices
from signerd.dev.closing import Bump
from signerd.dev.coins import Kind
from signerd.dev.lifecycle import FEES_SAT, Life
from signerd.dev.random_asides import Asides
from signerd.dev.splicing import Stage
from signerd.dev.steps import Steps
from signerd.dev.sweeping import Manner

_MOST_HTLCS = 12
"""In flight at once: enough for every kind of commitment, and few enough to be quick."""
_MOST_TOGETHER = 3
"""Channels that one transaction funds."""
_MOST_ATTEMPTS = 3
"""At one splice."""
_LEAST_FEERATE, _HIGHEST_FEERATE = 253, 5000

Move = Callable[[], Steps[object]]


def live(life: Life, choices: Choices, *, moves: int, plain: bool = False) -> Steps[list[Channel]]:
    """One channel or two are opened, `moves` moves are made, each comes to some end: the channels, ended.

    `plain` is a node with Core Lightning's own signer, and not a hosted one.
    """
    return (yield from _Liver(life, choices, plain=plain).live(moves))


class _Liver:
    def __init__(self, life: Life, choices: Choices, *, plain: bool) -> None:
        self._life = life
        self._world = life.world
        self._choices = choices
        self._plain = plain
        self._asides = Asides(life, choices, plain=plain)

    def live(self, moves: int) -> Steps[list[Channel]]:
        channels: list[Channel] = []
        for _ in range(self._choices.between(1, 2)):
            # The second may be with the same peer.
            peer = channels[0].peer if channels and self._choices.one_in(2) else None
            terms = [self._terms()]
            while terms[0].funder is Side.LOCAL and len(terms) < _MOST_TOGETHER and self._choices.one_in(4):
                terms.append(replace(self._terms(), funder=Side.LOCAL, push_msat=0))
            channels += yield from self._life.open_together(terms, peer=peer)
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
        value = choices.among((200_000, 1_000_000, 9_999_999, choices.between(50_000, 16_777_215)))
        dual = choices.one_in(3)
        # The reference signer pushes nothing away in a channel that it funds, and pays for no other.
        pushes = self._plain or (funder is Side.REMOTE and not dual)
        pushed = choices.below(value // 2 * 1000) if pushes else 0
        delays, dust = (144, 720, 2016), (354, 546)
        if funder is Side.LOCAL:
            self._asides.deposits(value + FEES_SAT)
        return Terms(
            funder=funder,
            value_sat=value,
            push_msat=pushed,
            channel_type=choices.among(kinds.TYPES),
            local_delay=choices.among(delays),
            remote_delay=choices.among(delays),
            local_dust_sat=choices.among(dust),
            remote_dust_sat=choices.among(dust),
            feerate_per_kw=choices.between(_LEAST_FEERATE, _HIGHEST_FEERATE // 2),
            home=choices.among((Kind.P2TR, Kind.P2WPKH)),
            their_home=choices.among(tuple(Kind)),
            dual=dual,
            their_upfront=choices.one_in(3),
        )

    def _valid(self, channel: Channel) -> list[Move]:
        """What can come next. What keeps the channel going comes first, and is in it more than once."""
        life, choices, updates = self._life, self._choices, channel.updates
        moves: list[Move] = []
        if updates.pending(Side.LOCAL):
            moves += 2 * [lambda: life.take_local(channel, interrupted=choices.one_in(4))]
        if channel.revocation_due:
            moves += 2 * [lambda: life.revoke_remote(channel)]
        elif updates.pending(Side.REMOTE):
            moves += 2 * [lambda: life.sign_remote(channel)]
        if random_htlcs.removable(channel):
            moves += 2 * [lambda: self._remove(channel)]
        for side in Side:
            if updates.room_msat(side) and len(updates.payments) < _MOST_HTLCS:
                moves += 2 * [lambda side=side: random_htlcs.offer(life, choices, channel, side)]
        if self._plain:
            moves += self._splices(channel)
        moves.append(lambda: random_htlcs.change_feerate(choices, channel))
        moves.append(lambda: life.reconnect(channel))
        return [*moves, lambda: self._asides.aside(channel)]

    def _splices(self, channel: Channel) -> list[Move]:
        """Another funding: an attempt, one more for a higher fee, one that is mined, and locked."""
        life, choices = self._life, self._choices
        if channel.spliced is not None:
            return [lambda: life.lock_splice(channel)]
        moves: list[Move] = []
        if channel.splices:
            moves.append(lambda: life.confirm_splice(channel, choices.among(channel.splices)))
        if channel.updates.settled and not channel.revocation_due and len(channel.splices) < _MOST_ATTEMPTS:
            moves.append(lambda: self._splice(channel))
        return moves

    # Moves.

    def _remove(self, channel: Channel) -> Steps[None]:
        removable = random_htlcs.removable(channel)
        for payment in removable[: self._choices.between(1, len(removable))]:
            channel.updates.remove(payment, fulfil=payment.known)
        yield from ()

    def _splice(self, channel: Channel) -> Steps[None]:
        choices, fee = self._choices, 400 * (1 + len(channel.splices))
        by = choices.among(tuple(Side))
        amount = choices.between(-channel.updates.room_msat(by) // MSAT, 1_000_000)
        if channel.splices:
            by, amount = channel.splices[0].by, channel.splices[0].amount_sat
        if abs(amount) < 10_000:
            return
        if by is Side.LOCAL and amount > 0:
            self._asides.deposits(amount + FEES_SAT)
        until = choices.among((Stage.SIGNED, Stage.SIGNED, Stage.COMMITTED, Stage.SET_UP))
        move = splicing.Move(
            by=by, amount_sat=amount, fee_sat=fee, funding_last=choices.one_in(2), until=until
        )
        yield from self._life.splice(channel, move)

    # Ends.

    def _end(self, channel: Channel) -> Steps[None]:
        life, choices = self._life, self._choices
        *older, newest = sorted(channel.standing(Side.REMOTE))
        ends: list[Move] = [
            lambda: self._close_mutually(channel),
            lambda: life.force_close(channel, bump=None if choices.one_in(4) else self._bump()),
            lambda: self._peer_closes(channel, newest),
        ]
        if older:
            ends.append(lambda: self._peer_closes(channel, choices.among(older)))
        yield from choices.among(ends)()
        if channel.published:
            yield from life.sweep(channel, self._manner())

    def _bump(self) -> Bump:
        choices = self._choices
        self._asides.deposits(100_000)
        fee = choices.among((1_000, 4_000, 20_000))
        return Bump(coins=choices.between(1, 3), fee_sat=fee, attempts=choices.between(1, 3))

    def _manner(self) -> Manner:
        choices = self._choices
        return Manner(
            older=not self._plain and choices.one_in(2),
            keep=choices.one_in(2),
            fee_sat=choices.among((homeward.FEE_SAT, 250, 999)),
            mingle_fee_sat=choices.among((2000, 500, 9_999)),
        )

    def _close_mutually(self, channel: Channel) -> Steps[None]:
        if channel.splices and channel.spliced is None:
            yield from self._life.confirm_splice(channel, self._choices.among(channel.splices))
        if channel.spliced is not None:
            yield from self._life.lock_splice(channel)
        yield from self._life.settle(channel, fulfil=self._choices.one_in(2))
        yield from self._life.close(channel, rounds=self._choices.between(1, 3))

    def _peer_closes(self, channel: Channel, number: int) -> Steps[None]:
        """With its newest commitment, the one before while it may, or one that it has revoked."""
        self._life.peer_closes(channel, number)
        held = channel.standing(Side.REMOTE)[number]
        for payment in held.payments:
            if (payment.by is Side.REMOTE or payment.known) and self._choices.one_in(4):
                sweeping.publish_their_htlc(self._world, channel, payment)
        if self._choices.one_in(3):
            yield from self._life.raise_fee(channel, self._bump())
