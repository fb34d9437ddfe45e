"""A channel as the node's side and the peer's side both know it, and the commitments that each holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from signerd.core.keys.channel import Basepoints
from signerd.core.keys.commitment import RevokedSecrets
from signerd.core.tx import commitment, fees, htlc_transaction, script
from signerd.core.tx.channel_type import CommitmentFormat, commitment_format
from signerd.core.tx.commitment import Commitment, CommitmentKeys, CommitmentOutput, Kind
from signerd.core.tx.htlc import MSAT, Htlc
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire import composites
from signerd.core.wire.composites import Side
from signerd.dev.coins import SCRIPTS, Coin, Wallet
from signerd.dev.coins import Kind as Address
from signerd.dev.peer import Peer, PeerChannel
from signerd.dev.steps import Context
from signerd.dev.updates import Payment, Updates, View, other

STATIC_REMOTEKEY = bytes.fromhex("1000")
ANCHORS = bytes.fromhex("401000")
ANCHORS_ALIAS_ZEROCONF = bytes.fromhex("04400000401000")
TYPES = (
    ANCHORS,
    STATIC_REMOTEKEY,
    ANCHORS_ALIAS_ZEROCONF,
    bytes.fromhex("400000401000"),
    bytes.fromhex("04000000401000"),
    bytes.fromhex("400000001000"),
    bytes.fromhex("04000000001000"),
    bytes.fromhex("04400000001000"),
)
"""Anchors or none, with and without option_scid_alias and option_zeroconf (BOLT 9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is agreed at the opening. We impose `local_delay` on the peer, the peer `remote_delay` on us.

    `push_msat` goes from the funder to the other side; with `dual`, that side puts it in itself. Dust limits
    are each side's own.
    """

    funder: Side = Side.LOCAL
    value_sat: int = 1_000_000
    push_msat: int = 0
    channel_type: bytes = ANCHORS
    local_delay: int = 144
    remote_delay: int = 144
    local_dust_sat: int = 546
    remote_dust_sat: int = 546
    feerate_per_kw: int = 1000
    upfront_shutdown: bool = False
    """Whether both say at the opening where a mutual close will pay to (option_upfront_shutdown_script)."""
    their_upfront: bool = False
    """Whether the peer alone says so."""
    home: Address = Address.P2TR
    """What everything of this channel comes back to."""
    their_home: Address = Address.P2TR
    """What a mutual close pays the peer to."""
    dual: bool = False
    """Opened by channel establishment v2 (BOLT 2), where both may pay. Hosted signers pay only alone."""

    @property
    def format(self) -> CommitmentFormat:
        return commitment_format(self.channel_type)

    def share_sat(self, side: Side) -> int:
        """What this side pays into the funding."""
        theirs = self.push_msat // MSAT if self.dual else 0
        return self.value_sat - theirs if side is self.funder else theirs

    def delay(self, side: Side) -> int:
        """How long this side waits for its own output."""
        return self.remote_delay if side is Side.LOCAL else self.local_delay

    def dust_sat(self, side: Side) -> int:
        """Below this, outputs are left out of this side's commitments."""
        return self.local_dust_sat if side is Side.LOCAL else self.remote_dust_sat


@dataclass(eq=False, slots=True)
class Held:
    """One side's commitment. `payments` stand as their outputs do; signatures are the other side's.

    64 bytes r || s each, none before they are made.
    """

    side: Side
    number: int
    commitment: Commitment
    payments: tuple[Payment, ...]
    view: View
    value_sat: int
    """Of the funding output that it spends."""
    signature: bytes = b""
    htlc_signatures: tuple[bytes, ...] = ()

    @property
    def tx(self) -> Transaction:
        """Unsigned."""
        return self.commitment.tx

    def htlc_outputs(self) -> list[tuple[int, CommitmentOutput, Payment]]:
        """Index and output of each HTLC, and the HTLC itself."""
        pairs = zip(self.commitment.htlc_outputs(), self.payments, strict=True)
        return [(index, item, payment) for (index, item), payment in pairs]

    def htlc_transaction(self, index: int) -> Transaction:
        """HTLC-timeout or HTLC-success for an output, unsigned."""
        return htlc_transaction.compose_for(self.commitment, index, feerate_per_kw=self.view.feerate_per_kw)

    def wire_htlcs(self) -> tuple[composites.Htlc, ...]:
        """As the node tells them: those with an output, in order."""
        return tuple(
            composites.Htlc(p.by, p.amount_msat, p.payment_hash, p.cltv_expiry) for p in self.payments
        )

    def output(self, kind: Kind) -> tuple[int, CommitmentOutput] | None:
        """Index and output of a kind that there is one of, None if there is none."""
        found = ((n, item) for n, item in enumerate(self.commitment.outputs) if item.kind is kind)
        return next(found, None)


@dataclass(eq=False, slots=True)
class Splice:
    """A funding output that is to follow the channel's, until both lock it in or another attempt.

    `by` whom it is; `amount_sat` is what that side has more than before, less than zero is less.
    """

    by: Side
    amount_sat: int
    funding: Outpoint
    value_sat: int
    tx: Transaction
    """That makes it, with all witnesses once both have signed."""
    coins: tuple[Coin, ...] = ()
    """What its initiator adds."""
    returns: dict[int, int] = field(default_factory=dict)
    """Which of its outputs are ours, and under which wallet key."""
    held: dict[Side, dict[int, Held]] = field(default_factory=lambda: {Side.LOCAL: {}, Side.REMOTE: {}})
    """The commitments that spend it, by number: from that on with which it was agreed."""

    @property
    def changes_msat(self) -> dict[Side, int]:
        """What it does to both balances."""
        return {self.by: self.amount_sat * MSAT, other(self.by): 0}


@dataclass(eq=False, slots=True)
class Channel:
    """`basepoints`, `points` and `secrets` are ours, as far as the signer has told them."""

    peer: Peer
    keys: PeerChannel
    dbid: int
    terms: Terms
    basepoints: Basepoints
    funding: Outpoint
    funding_tx: Transaction
    value_sat: int
    updates: Updates
    final_index: int
    """The wallet key to which everything of this channel comes back."""
    points: dict[int, bytes] = field(default_factory=dict)
    secrets: RevokedSecrets = field(default_factory=RevokedSecrets, repr=False)
    held: dict[Side, list[Held]] = field(default_factory=lambda: {Side.LOCAL: [], Side.REMOTE: []})
    """Every commitment that there ever was; its place is its number. Since a splice, the spliced ones."""
    first: dict[Side, int] = field(default_factory=lambda: {Side.LOCAL: 0, Side.REMOTE: 0})
    """The first commitments that spend the funding of now."""
    splices: list[Splice] = field(default_factory=list)
    """Attempts at one splice: at most one of them will be."""
    spliced: Splice | None = None
    """The one that is on the chain, and not locked in yet."""
    moves: int = 0
    """How many splices there were."""
    revocation_due: bool = False
    """Whether the peer has two commitments that it could publish."""
    published: Held | None = None
    """The commitment that is on the chain."""
    closing_tx: Transaction | None = None
    """The mutual close that is on the chain."""
    swept: bool = False
    """Whether what a published commitment holds for us has come home."""

    @property
    def format(self) -> CommitmentFormat:
        return self.terms.format

    @property
    def open(self) -> bool:
        """Whether nothing has spent its funding output."""
        return self.published is None and self.closing_tx is None

    @property
    def their_final_script(self) -> bytes:
        """Where a mutual close pays the peer."""
        return SCRIPTS[self.terms.their_home](self.keys.basepoints.payment)

    def home(self, wallet: Wallet) -> bytes:
        """Our script to which everything of this channel comes back."""
        return wallet.script(self.final_index, self.terms.home)

    @property
    def funding_script(self) -> bytes:
        return script.funding(self.basepoints.funding, self.keys.basepoints.funding)

    @property
    def funding_output(self) -> Output:
        return self.funding_output_of(self.value_sat)

    def funding_output_of(self, value_sat: int) -> Output:
        """An output that carries the channel, now or after a splice."""
        return Output(value_sat, script.p2wsh(self.funding_script))

    def context(self, capabilities: int) -> Context:
        """Of one of its daemons."""
        return Context(self.peer.node_id, self.dbid, capabilities)

    def newest(self, side: Side) -> Held:
        """The newest commitment of a side, on the funding of now."""
        return self.held[side][-1]

    def standing(self, side: Side) -> dict[int, Held]:
        """A side's commitments, by number, that spend what is on the chain."""
        if self.spliced is not None:
            return self.spliced.held[side]
        return {held.number: held for held in self.held[side][self.first[side] :]}

    def hold(self, commitments: Sequence[Held]) -> None:
        """A side's next commitment, in the order of `compose_next`."""
        first, *others = commitments
        self.held[first.side].append(first)
        for splice, held in zip(self.splices, others, strict=True):
            splice.held[held.side][held.number] = held

    def basepoints_of(self, side: Side) -> Basepoints:
        return self.basepoints if side is Side.LOCAL else self.keys.basepoints

    def point(self, side: Side, number: int) -> bytes:
        """A per-commitment point; one of ours must have been told."""
        return self.points[number] if side is Side.LOCAL else self.keys.point(number)

    def commitment_keys(self, side: Side, number: int) -> CommitmentKeys:
        own, theirs = self.basepoints_of(side), self.basepoints_of(other(side))
        return CommitmentKeys.derive(self.point(side, number), own=own, other=theirs)

    def compose_next(self, side: Side) -> list[Held]:
        """This side's next commitment, from what its updates hold now, not yet signed: on each funding."""
        number = len(self.held[side])
        return [self.compose(side, number, splice) for splice in (None, *self.splices)]

    def compose(self, side: Side, number: int, splice: Splice | None = None) -> Held:
        """A commitment of what a side's updates hold now; on what is to be the funding, if that is given."""
        view = self.updates.view(side)
        if splice is not None:
            view = view.after(splice.changes_msat)
        htlcs = [Htlc(p.by is side, p.amount_msat, p.payment_hash, p.cltv_expiry) for p in view.payments]
        settled = fees.settle(
            self.format,
            to_broadcaster_msat=view.balances[side],
            to_other_msat=view.balances[other(side)],
            htlcs=htlcs,
            feerate_per_kw=view.feerate_per_kw,
            dust_limit_sat=self.terms.dust_sat(side),
            broadcaster_funds=self.terms.funder is side,
        )
        composed = commitment.compose(
            commitment.Terms(
                format=self.format,
                funding=splice.funding if splice else self.funding,
                obscuring_factor=self.obscuring_factor,
                number=number,
                keys=self.commitment_keys(side, number),
                to_self_delay=self.terms.delay(side),
                to_broadcaster_sat=settled.to_broadcaster_sat,
                to_other_sat=settled.to_other_sat,
                htlcs=settled.htlcs,
            )
        )
        value_sat = splice.value_sat if splice else self.value_sat
        return Held(side, number, composed, _in_order(composed, htlcs, view.payments), view, value_sat)

    @property
    def obscuring_factor(self) -> int:
        opener, accepter = self.basepoints_of(self.terms.funder), self.basepoints_of(other(self.terms.funder))
        return commitment.obscuring_factor(opener.payment, accepter.payment)


def first_updates(terms: Terms) -> Updates:
    """The state of a channel that has just been opened."""
    balances = {
        terms.funder: terms.value_sat * MSAT - terms.push_msat,
        other(terms.funder): terms.push_msat,
    }
    reserve = reserve_of(terms, terms.value_sat)
    return Updates(terms.format, terms.funder, balances, terms.feerate_per_kw, reserve)


def reserve_of(terms: Terms, value_sat: int) -> int:
    """What each side keeps in a channel of this size (satoshi)."""
    return max(value_sat // 100, terms.local_dust_sat, terms.remote_dust_sat)


def _in_order(
    composed: Commitment, htlcs: Sequence[Htlc], payments: Sequence[Payment]
) -> tuple[Payment, ...]:
    """The payments that have an output, in the outputs' order. Equal ones may stand for each other."""
    waiting: dict[Htlc, list[Payment]] = {}
    for htlc, payment in zip(htlcs, payments, strict=True):
        waiting.setdefault(htlc, []).append(payment)
    return tuple(waiting[item.htlc].pop(0) for _, item in composed.htlc_outputs() if item.htlc)
