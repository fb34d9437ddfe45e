"""The life of a node's channels: opened, paid through both ways, interrupted; each step as a node asks it.

Everything here is a generator of steps and pure: no clock, no I/O. `player` plays them to signers. How a
channel ends is in `closing` and `sweeping`.
"""

from __future__ import annotations

from collections.abc import Sequence

from signerd.core.keys import secp256k1
from signerd.core.tx.transaction import Output, Transaction
from signerd.core.wire import channel as wire
from signerd.core.wire import identity
from signerd.core.wire.composites import Side
from signerd.dev import closing, commitments, invoices, offers, opening, spending, splicing, sweeping
from signerd.dev.channel import Channel, Splice, Terms
from signerd.dev.closing import USUAL_BUMP, Bump
from signerd.dev.coins import SCRIPTS, Kind
from signerd.dev.opening import Wanted
from signerd.dev.peer import Peer
from signerd.dev.splicing import Move
from signerd.dev.steps import CHANNELD, Context, Steps, ask, require
from signerd.dev.sweeping import USUAL, Manner
from signerd.dev.updates import Payment, other
from signerd.dev.world import Account, World
from signerd.errors import UsageError

_CONNECTD = 1
_FUNDS_SAT, FEES_SAT = 20_000_000, 10_000
_EXPIRY_DELTA = 40


class Life:
    """One node, and everybody around it. The same account and seed ask the same questions.

    `now` is in Unix seconds. Channels get numbers from `first_dbid` on, as in a node's database.
    """

    def __init__(self, account: Account, *, seed: bytes, now: int, first_dbid: int = 1) -> None:
        self.world = World(account, seed=seed, now=now)
        self.channels: list[Channel] = []
        self._seed = seed
        self._next_dbid = first_dbid
        self._peers = 0

    # Openings.

    def connect(self) -> Steps[None]:
        """hsmd 1, as connectd asks it for a handshake."""
        yield from self._ecdh(Context(self.world.account.node_id, 0, _CONNECTD))

    def open(self, terms: Terms | None = None, *, peer: Peer | None = None) -> Steps[Channel]:
        """A channel with a new peer, or one more with a known one. Our wallet is given what it needs."""
        (channel,) = yield from self.open_together([terms or Terms()], peer=peer)
        return channel

    def open_together(self, terms: Sequence[Terms], *, peer: Peer | None = None) -> Steps[list[Channel]]:
        """Several that one transaction of ours funds, each with a peer of its own unless one is given."""
        if share := sum(item.share_sat(Side.LOCAL) for item in terms):
            self._require_funds(share + FEES_SAT, native=terms[0].dual)
        wanted = []
        for item in terms:
            yield from self.connect()
            wanted.append(Wanted(peer or self._new_peer(), self._next_dbid, item))
            self._next_dbid += 1
        channels = yield from opening.open_channels(self.world, wanted)
        self.channels += channels
        return channels

    def _new_peer(self) -> Peer:
        self._peers += 1
        return Peer(self._seed + self._peers.to_bytes(4, "big"))

    # Payments from their beginning to their end.

    def pay(self, channel: Channel, amount_msat: int, *, offer: bool = False) -> Steps[None]:
        """The peer's invoice is approved and paid. Raises UsageError if we cannot.

        `offer`: it is one of BOLT 12, and our request for it is signed before.
        """
        preimage = self.world.dice.fresh()
        self._require_room(channel, Side.LOCAL, amount_msat)
        if offer:
            asked = offers.Asked(preimage=preimage, amount_msat=amount_msat)
            yield from offers.fetch(self.world, channel.peer, asked)
        else:
            yield from invoices.approve(self.world, channel.peer, preimage, amount_msat)
        yield from self._ecdh(None)
        payment = self.offer(channel, Side.LOCAL, amount_msat, preimage)
        yield from self.agree(channel, Side.LOCAL)
        channel.updates.remove(payment, fulfil=True)
        yield from self.agree(channel, Side.REMOTE)

    def receive(self, channel: Channel, amount_msat: int) -> Steps[str]:
        """Our invoice, made and paid by the peer. Raises UsageError if it cannot."""
        preimage = self.world.dice.fresh()
        self._require_room(channel, Side.REMOTE, amount_msat)
        invoice = yield from invoices.issue(self.world, preimage, amount_msat)
        payment = self.offer(channel, Side.REMOTE, amount_msat, preimage)
        yield from self.agree(channel, Side.REMOTE)
        channel.updates.remove(payment, fulfil=True)
        yield from self.agree(channel, Side.LOCAL)
        return invoice

    # Updates, and the dance that agrees on them. Proposals are for the peers alone: no step.

    def offer(
        self,
        channel: Channel,
        by: Side,
        amount_msat: int,
        preimage: bytes = b"",
        expiry_delta: int = _EXPIRY_DELTA,
    ) -> Payment:
        """Propose an HTLC. Raises UsageError if there is no room for it."""
        self._require_room(channel, by, amount_msat)
        expiry = self.world.chain.height + expiry_delta
        return channel.updates.offer(by, amount_msat, preimage or self.world.dice.fresh(), expiry)

    def sign_remote(self, channel: Channel) -> Steps[None]:
        """We sign the peer's next commitment."""
        if channel.revocation_due:
            raise UsageError("the peer has not revoked its commitment before")
        channel.updates.sign(Side.REMOTE)
        composed = channel.compose_next(Side.REMOTE)
        for held in composed:
            yield from commitments.sign_remote(channel, held)
        channel.hold(composed)
        channel.revocation_due = True

    def revoke_remote(self, channel: Channel) -> Steps[None]:
        """The peer revokes its commitment before."""
        number = channel.newest(Side.REMOTE).number - 1
        yield from commitments.revoke_remote(channel, number, self.world.wallet)
        channel.updates.revoke(Side.REMOTE)
        channel.revocation_due = False

    def take_local(self, channel: Channel, *, interrupted: bool = False) -> Steps[None]:
        """The peer signs our next commitment, and we revoke the one before.

        `interrupted`: the connection is lost in between, and the peer signs it again.
        """
        before = channel.newest(Side.LOCAL)
        channel.updates.sign(Side.LOCAL)
        composed = channel.compose_next(Side.LOCAL)
        for held in composed:
            yield from commitments.take_local(channel, held)
        if interrupted:
            yield from self.reconnect(channel)
            for held in composed:
                yield from commitments.take_local(channel, held)
        channel.hold(composed)
        for payment in composed[0].payments:
            if payment.by is Side.REMOTE and payment not in before.payments:
                yield from self._ecdh(None)
        yield from commitments.revoke_local(channel, before.number)
        channel.updates.revoke(Side.LOCAL)

    def agree(self, channel: Channel, first: Side = Side.LOCAL) -> Steps[None]:
        """Both sign until both commitments hold every update; `first` signs first."""
        side = other(first)
        while (
            channel.revocation_due
            or channel.updates.pending(Side.LOCAL)
            or channel.updates.pending(Side.REMOTE)
        ):
            if channel.revocation_due:
                yield from self.revoke_remote(channel)
            elif channel.updates.pending(side):
                yield from self.take_local(channel) if side is Side.LOCAL else self.sign_remote(channel)
            if not channel.revocation_due:
                side = other(side)

    def settle(self, channel: Channel, *, fulfil: bool = True) -> Steps[None]:
        """Agree, end every payment, and agree on that."""
        yield from self.agree(channel)
        for payment in channel.updates.payments:
            if payment.removable:
                channel.updates.remove(payment, fulfil=fulfil)
        yield from self.agree(channel)

    def change_feerate(self, channel: Channel, feerate_per_kw: int) -> Steps[None]:
        """The funder wants another feerate, and both agree. Raises UsageError if it cannot pay that."""
        if not channel.updates.affords(feerate_per_kw):
            raise UsageError(f"the funder cannot pay {feerate_per_kw} satoshi per 1000 weight")
        channel.updates.change_feerate(feerate_per_kw)
        yield from self.agree(channel, channel.terms.funder)

    def withdraw(self, amount_sat: int, kind: Kind = Kind.P2TR) -> Steps[Transaction]:
        """The wallet pays somebody, with coins of this kind and others that it has."""
        self.world.wallet.deposit(amount_sat + FEES_SAT, kind)
        payee = Output(amount_sat, SCRIPTS[kind](Peer(self.world.dice.fresh()).coin_key))
        return (yield from spending.withdraw(self.world, [payee], change=kind))

    # Another funding.

    def splice(self, channel: Channel, move: Move) -> Steps[Splice | None]:
        """One attempt at a splice; another one with a higher fee may follow. None if it is given up."""
        if move.by is Side.LOCAL and move.amount_sat > 0 and not channel.splices:
            self._require_funds(move.amount_sat + FEES_SAT, native=True)
        return (yield from splicing.propose(self.world, channel, move))

    def confirm_splice(self, channel: Channel, splice: Splice) -> Steps[None]:
        """One of the attempts is mined."""
        splicing.confirm(self.world, channel, splice)
        yield from ()

    def lock_splice(self, channel: Channel) -> Steps[None]:
        """The channel goes on with what is mined."""
        yield from splicing.lock_in(self.world, channel)

    # Interruptions.

    def reconnect(self, channel: Channel) -> Steps[None]:
        """A new channeld: it asks where we are, and both send again what the other side has not got."""
        yield from self.connect()
        number = channel.newest(Side.LOCAL).number
        yield from commitments.ask_point(channel, number + 1)
        yield from commitments.ask_point(channel, number)
        if number:
            yield from commitments.revoke_local(channel, number - 1)
        if channel.revocation_due:
            newest = channel.newest(Side.REMOTE)
            for held in (newest, *(splice.held[Side.REMOTE][newest.number] for splice in channel.splices)):
                yield from commitments.sign_remote(channel, held)

    def check_future_secret(
        self, channel: Channel, number: int, secret: bytes, *, right: bool
    ) -> Steps[None]:
        """hsmd 22: the peer claims to know our secret of a commitment."""

        def of_verdict(reply: wire.CheckFutureSecretReply) -> None:
            require(reply.correct is right, f"the verdict on secret {number} should be {right}")

        yield from ask(wire.CheckFutureSecret(number, secret), of_verdict, context=channel.context(CHANNELD))

    # Ends.

    def close(self, channel: Channel, *, rounds: int = 1) -> Steps[None]:
        """Both agree to close. Raises UsageError unless the channel is quiet."""
        yield from closing.close_mutually(self.world, channel, rounds=rounds)

    def force_close(self, channel: Channel, *, bump: Bump | None = USUAL_BUMP) -> Steps[None]:
        """We publish our commitment, and with `bump` raise its fee by its anchor."""
        yield from closing.publish_ours(self.world, channel, bump=bump)

    def peer_closes(self, channel: Channel, number: int | None = None) -> None:
        """The peer publishes a commitment: its newest, or another; if it is revoked, that is cheating."""
        closing.publish_theirs(self.world, channel, number)

    def raise_fee(self, channel: Channel, bump: Bump = USUAL_BUMP) -> Steps[None]:
        """Our anchor on the published commitment pays for it, if it has one."""
        yield from closing.raise_fee(self.world, channel, bump)

    def sweep(self, channel: Channel, manner: Manner = USUAL) -> Steps[None]:
        """Everything that is ours comes home, after either side has closed by force."""
        yield from sweeping.sweep(self.world, channel, manner)

    def forget(self, channel: Channel) -> Steps[None]:
        """hsmd 34: it is over."""
        yield from ask(wire.ForgetChannel(channel.peer.node_id, channel.dbid), _answered)
        self.channels.remove(channel)

    # Parts.

    def _require_funds(self, needed_sat: int, *, native: bool = False) -> None:
        if self.world.wallet.holds(native=native) < needed_sat:
            self.world.wallet.deposit(max(_FUNDS_SAT, needed_sat), Kind.P2WPKH)

    def _require_room(self, channel: Channel, by: Side, amount_msat: int) -> None:
        room = channel.updates.room_msat(by)
        if not 0 < amount_msat <= room:
            raise UsageError(f"{amount_msat} msat are not between 1 and {room}, which can be offered now")

    def _ecdh(self, context: Context | None) -> Steps[None]:
        secret = self.world.dice.secret()
        expected = secp256k1.ecdh(secret, self.world.account.node_id)

        def of_secret(reply: identity.EcdhReply) -> None:
            require(reply.secret == expected, "the shared secret is not the one that our own key gives")

        yield from ask(identity.Ecdh(secp256k1.public_key(secret)), of_secret, context=context)


def _answered(_reply: object) -> None:
    """Being answered is all that there is to it."""
