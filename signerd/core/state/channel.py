"""One channel, as the signer remembers it: which commitment may be signed, validated, revoked.

1. Everything that decides whether a commitment may be signed, or a secret given away, is in this file.
2. A step returns a new state or raises Refused. It never does half.
3. Numbers only go up. Nothing here can be told to go back.
4. An identical repetition of the last step changes nothing, and so gets the identical answer.
5. Of each commitment number there is one content for each funding, on the peer's side for ever.

`holder` is us, `counterparty` the peer. The names of the three counters are the reference signer's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from signerd.core.keys import commitment
from signerd.core.keys.channel import Basepoints
from signerd.core.keys.commitment import RevokedSecrets
from signerd.core.state import gap
from signerd.core.state.gap import Gap, Gaps
from signerd.core.state.loss import NO_LOSS, Loss
from signerd.core.tx.channel_type import CommitmentFormat, commitment_format
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.transaction import Outpoint
from signerd.errors import Refused


@dataclass(frozen=True, slots=True)
class Funding:
    """An output that carries the channel: the first one, and one more for each splice."""

    outpoint: Outpoint
    value_sat: int
    counterparty_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What was agreed at the opening. `holder_delay` binds the peer, `counterparty_delay` us (blocks)."""

    is_outbound: bool
    push_msat: int
    holder_delay: int
    counterparty_delay: int
    holder_shutdown_script: bytes
    holder_shutdown_index: int | None
    counterparty: Basepoints
    counterparty_shutdown_script: bytes
    channel_type: bytes

    @property
    def format(self) -> CommitmentFormat:
        """The shape of its commitments."""
        return commitment_format(self.channel_type)


@dataclass(frozen=True, slots=True)
class Content:
    """What a commitment holds: satoshi, and the HTLCs with an output, from its broadcaster's view."""

    to_broadcaster_sat: int
    to_other_sat: int
    htlcs: tuple[Htlc, ...]
    """In the order of their outputs."""
    feerate_per_kw: int
    txid: bytes = b""
    """Of the transaction that holds this, 32 bytes in the order in which they are hashed."""
    htlc_outputs: tuple[int, ...] = ()
    """Which output each HTLC has, rising: HTLCs of one payment can have the same script."""


MOST_SPLICES = 64
"""Attempts at splices that are remembered: a splice that is replaced leaves one behind."""
MOST_FUNDINGS = 1024
"""Of one channel, in its whole life: those that were replaced stay known, and stay taken."""

Contents = tuple[tuple[Outpoint, Content], ...]
"""Content by funding."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A commitment of the peer that we signed: its number, the peer's point (33 bytes), its contents."""

    number: int
    point: bytes
    contents: Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """A stub until it has a setup; then everything that was signed, validated and revoked.

    next_holder: the number of our next commitment (all below next_holder - 1 are revoked).
    next_counterparty: the number of the peer's next commitment that we may sign.
    next_counterparty_revocation: how many of the peer's commitments are revoked.
    """

    setup: Setup | None = None
    fundings: tuple[Funding, ...] = ()
    next_holder: int = 0
    holder: Contents = ()
    pending: Contents = ()
    """Our commitment `next_holder`, validated while its predecessor is not revoked yet."""
    next_counterparty: int = 0
    next_counterparty_revocation: int = 0
    signed: Signed | None = None
    signed_before: Signed | None = None
    revoked: RevokedSecrets = field(default_factory=RevokedSecrets, repr=False)
    closing: bool = False
    """A mutual close or our own commitment was signed: nothing new comes after it."""
    published: bool = False
    """Our own current commitment was signed for the chain: revoking it would give everything away."""
    splices: tuple[bytes, ...] = ()
    """Ids of the transactions that we signed to move the funding."""
    locked: Outpoint | None = None
    """The funding that both sides have locked in; None: the first. Later ones are splices in the making."""
    forgotten: bool = False
    """The node has forgotten the channel: it is closed, and nothing may ever be opened in its place."""
    holder_loss: Loss = NO_LOSS
    pending_loss: Loss = NO_LOSS
    counterparty_loss: Loss = NO_LOSS
    """What we have lost unexplained by our commitment in force, by the pending one, by the peer's."""
    gaps: Gaps = ()
    """What sets other fundings' commitments apart from those of the one in force."""

    @property
    def ready(self) -> Setup:
        """The setup. Raises Refused for a stub."""
        if self.setup is None:
            raise Refused("channel-not-set-up", "the channel has no parameters yet")
        return self.setup

    def funding(self, outpoint: Outpoint) -> Funding:
        """The funding that a transaction spends. Raises Refused for an output that is not of this channel."""
        for funding in self.fundings:
            if funding.outpoint == outpoint:
                return funding
        raise Refused("commitment-funding", f"{outpoint} is not an output that funds this channel")

    @property
    def in_force(self) -> Outpoint:
        """The funding without which no commitment of ours is complete. A stub has none: only for others."""
        return self.locked or self.fundings[0].outpoint

    @property
    def later(self) -> tuple[Funding, ...]:
        """The fundings that may come into force after the one that is."""
        outpoints = [funding.outpoint for funding in self.fundings]
        return self.fundings[outpoints.index(self.in_force) + 1 :]

    # Parameters

    def set_up(self, setup: Setup, funding: Funding) -> ChannelState:
        """With its parameters, once and for ever; the same again changes nothing."""
        if self.setup is None:
            return replace(self, setup=setup, fundings=(funding,))
        if setup != self.setup or funding not in self.fundings:
            raise Refused("channel-setup-changed", "the channel is set up already, with other parameters")
        return self

    def splice(self, setup: Setup, funding: Funding) -> ChannelState:
        """With one more funding output, all else being as it was.

        What is pushed and where a mutual close pays was agreed at the opening, and need not be said again.
        """
        before = self.ready
        repeated = replace(
            setup,
            push_msat=before.push_msat,
            counterparty=replace(setup.counterparty, funding=before.counterparty.funding),
            holder_shutdown_script=setup.holder_shutdown_script or before.holder_shutdown_script,
            holder_shutdown_index=before.holder_shutdown_index,
            counterparty_shutdown_script=(
                setup.counterparty_shutdown_script or before.counterparty_shutdown_script
            ),
        )
        if repeated != before:
            raise Refused(
                "channel-setup-changed", "a splice changes the funding of a channel and nothing else"
            )
        if funding in self.fundings:
            return self
        if any(known.outpoint == funding.outpoint for known in self.fundings):
            raise Refused("channel-setup-changed", "this funding output is known with another value or key")
        self._require_open()
        if len(self.later) >= MOST_SPLICES or len(self.fundings) >= MOST_FUNDINGS:
            raise Refused(
                "splices-too-many",
                f"the channel has {len(self.fundings)} fundings, {len(self.later)} after the one in force",
            )
        return replace(self, fundings=(*self.fundings, funding))

    def remember_gap(self, outpoint: Outpoint, sat: int, *, holder: bool) -> ChannelState:
        """With what a funding's first commitment of one side set apart, once and for ever."""
        if gap.find(self.gaps, outpoint, holder=holder) is not None:
            return self
        return replace(self, gaps=(*self.gaps, Gap(outpoint, holder, sat)))

    def sign_splice(self, txid: bytes) -> ChannelState:
        """A transaction that moves the funding is signed."""
        if txid in self.splices:
            return self
        self._require_open()
        return replace(self, splices=(*self.splices, txid)[-MOST_SPLICES:])

    def lock(self, outpoint: Outpoint) -> ChannelState:
        """This funding takes the place of those before it. An outpoint that cannot do so changes nothing.

        Nobody proves here that it is buried. So beyond the first commitment, where a funding transaction
        may have been replaced, it must come from a splice that we signed: that one anybody can publish.
        """
        later = [funding.outpoint for funding in self.later] if self.fundings else []
        if outpoint not in later or outpoint not in dict(self.holder):
            return self
        # A splice is signed only once the opening is over, so its funding is not replaced any more.
        if (self.next_holder > 1 or self.splices) and outpoint.txid not in self.splices:
            return self
        return replace(self, locked=outpoint, gaps=gap.rebase(self.gaps, self.in_force, outpoint, later))

    def forget(self) -> ChannelState:
        """Closed to all but bringing home what is on chain."""
        return replace(self, closing=True, forgotten=True)

    # Our own commitments

    def validate_holder(self, number: int, outpoint: Outpoint, content: Content, loss: Loss) -> ChannelState:
        """The peer has signed our commitment `number`, and its signatures were verified.

        `loss` is what we have lost with this one, reckoned from that of the commitment in force.
        """
        self.funding(outpoint)
        if number + 1 == self.next_holder:
            holder = _once(self.holder, outpoint, content, "our commitment", number)
            if holder == self.holder:
                return self
            self._require_open()
            return replace(self, holder=holder)
        if number < self.next_holder:
            raise Refused("commitment-revoked", f"our commitment {number} is revoked")
        if number > self.next_holder:
            raise Refused(
                "commitment-skipped",
                f"our next commitment is {self.next_holder}, and {number} would skip one",
            )
        self._require_open()
        if number == 0:
            return replace(self, holder=((outpoint, content),), next_holder=1)
        # Until the old one is revoked, a reconnection may bring other contents for the new one.
        others = tuple(item for item in self.pending if item[0] != outpoint)
        if others:
            loss = max(loss, self.pending_loss, key=lambda known: known.sat)
        return replace(self, pending=(*others, (outpoint, content)), pending_loss=loss)

    def holder_revoked(self, number: int) -> bool:
        """Whether our commitment `number` is revoked: then its secret is out, and may be told again."""
        return 0 <= number <= self.next_holder - 2

    def revoke_holder(self, number: int) -> ChannelState:
        """Our commitment `number` may be revoked: its successor is validated."""
        if self.holder_revoked(number):
            return self
        if number + 1 != self.next_holder or self.in_force not in dict(self.pending):
            raise Refused(
                "revoke-not-validated", f"commitment {number + 1}, which replaces {number}, is not validated"
            )
        if self.published:
            raise Refused("revoke-published", f"our commitment {number} was signed for the chain")
        return replace(
            self,
            holder=self.pending,
            pending=(),
            next_holder=number + 2,
            holder_loss=self.pending_loss,
        )

    def publish_holder(self, number: int) -> ChannelState:
        """Our commitment `number` is signed for the chain."""
        if number + 1 != self.next_holder:
            raise Refused(
                "commitment-revoked" if number + 1 < self.next_holder else "commitment-skipped",
                f"our current commitment is {self.next_holder - 1}, not {number}",
            )
        return replace(self, closing=True, published=True)

    def close_mutually(self) -> ChannelState:
        """A mutual close is signed."""
        return replace(self, closing=True)

    # The peer's commitments

    def sign_counterparty(
        self, number: int, point: bytes, outpoint: Outpoint, content: Content, loss: Loss
    ) -> ChannelState:
        """The peer's commitment `number` is signed: what differs from a signed one is refused for ever.

        `loss` is what we have lost with this one, reckoned from that of the one before.
        """
        self.funding(outpoint)
        if number + 1 == self.next_counterparty:
            return self._sign_again(number, point, outpoint, content)
        if number < self.next_counterparty:
            raise Refused("commitment-revoked", f"the peer's commitment {number} is behind, or revoked")
        if number > self.next_counterparty:
            raise Refused(
                "commitment-skipped",
                f"the peer's next commitment is {self.next_counterparty}, and {number} would skip one",
            )
        if number > self.next_counterparty_revocation + 1:
            raise Refused(
                "commitment-previous-revoked", f"the peer has not revoked commitment {number - 2} yet"
            )
        self._require_open()
        return replace(
            self,
            next_counterparty=number + 1,
            signed_before=self.signed,
            signed=Signed(number, point, ((outpoint, content),)),
            counterparty_loss=loss,
        )

    def revoke_counterparty(self, number: int, secret: bytes) -> ChannelState:
        """The peer has revoked its commitment `number` with its secret (32 bytes)."""
        index = commitment.index_of(number)
        if number + 1 == self.next_counterparty_revocation:
            return replace(self, revoked=self.revoked.insert(index, secret))
        if number != self.next_counterparty_revocation:
            raise Refused(
                "revocation-sequence",
                f"the next revocation is of commitment {self.next_counterparty_revocation}, not {number}",
            )
        if number + 2 > self.next_counterparty:
            raise Refused("revocation-early", f"the commitment that replaces {number} is not signed yet")
        signed = self.signed_before
        if signed is None or signed.number != number or commitment.point_of(secret) != signed.point:
            raise Refused("revocation-secret", f"the secret is not that of the peer's commitment {number}")
        return replace(
            self, revoked=self.revoked.insert(index, secret), next_counterparty_revocation=number + 1
        )

    def _require_open(self) -> None:
        if self.closing:
            raise Refused("channel-closing", "the channel is closing: no new commitment comes after that")

    def _sign_again(self, number: int, point: bytes, outpoint: Outpoint, content: Content) -> ChannelState:
        signed = self.signed
        if signed is None or signed.point != point:
            raise Refused("commitment-retry-same", f"commitment {number} was signed for another point")
        if outpoint not in dict(signed.contents):
            # A splice: the commitment in force is signed again for the new output.
            self._require_open()
            return replace(self, signed=replace(signed, contents=(*signed.contents, (outpoint, content))))
        _once(signed.contents, outpoint, content, "the peer's commitment", number)
        return self


def _once(contents: Contents, outpoint: Outpoint, content: Content, whose: str, number: int) -> Contents:
    """With the content of this funding; refuses another one than it has."""
    known = dict(contents)
    if known.setdefault(outpoint, content) != content:
        raise Refused("commitment-retry-same", f"{whose} {number} is known with other contents")
    return tuple(known.items())
