"""From what is remembered of a channel to the transactions that it allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from signerd.core.handlers.call import Answer, Call
from signerd.core.keys.channel import Basepoints, ChannelKeys
from signerd.core.requests import Ahead
from signerd.core.state.book import NO_CHANGES, Changes, ChannelId
from signerd.core.state.channel import ChannelState, Content, Funding, Setup
from signerd.core.tx import commitment, script, script_reading
from signerd.core.tx.commitment import Commitment, CommitmentKeys, Terms
from signerd.core.tx.difference import first_difference
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.sighash import ALL, Digests
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire import composites
from signerd.core.wire.codec import Message
from signerd.errors import Refused


@dataclass(frozen=True, slots=True)
class Composer:
    """Our keys of a channel, and what was agreed with its peer."""

    keys: ChannelKeys
    setup: Setup

    def holder_keys(self, number: int) -> CommitmentKeys:
        """The keys of our own commitment `number`."""
        return _holder_keys(self.keys, number, self.setup.counterparty)

    def holder_point(self, number: int) -> bytes:
        """The per-commitment point of our own commitment `number`."""
        return _holder_point(self.keys, number)

    def make_ready(self, number: int) -> None:
        """Make what the next request about our own commitment `number` will need."""
        self.holder_keys(number)
        self.holder_point(number + 1)

    def counterparty_keys(self, point: bytes) -> CommitmentKeys:
        """The keys of the peer's commitment that has this point (33 bytes)."""
        return _counterparty_keys(point, self.setup.counterparty, self.keys.basepoints)

    def holder(self, funding: Funding, number: int, htlcs: Iterable[composites.Htlc] = ()) -> Terms:
        """Our own commitment, but for the two main values."""
        keys = replace(self.holder_keys(number), other_funding=funding.counterparty_key)
        offered = _htlcs(htlcs, offering=composites.Side.LOCAL)
        return self._terms(funding, number, keys, self.setup.counterparty_delay, offered)

    def counterparty(
        self, funding: Funding, number: int, point: bytes, htlcs: Iterable[composites.Htlc] = ()
    ) -> Terms:
        """The peer's commitment, but for the two main values."""
        keys = replace(self.counterparty_keys(point), own_funding=funding.counterparty_key)
        offered = _htlcs(htlcs, offering=composites.Side.REMOTE)
        return self._terms(funding, number, keys, self.setup.holder_delay, offered)

    def funding_script(self, funding: Funding) -> bytes:
        """The 2-of-2 of a funding output."""
        return script.funding(self.keys.basepoints.funding, funding.counterparty_key)

    def funding_digest(self, tx: Transaction, funding: Funding, index: int = 0) -> bytes:
        """32 bytes: what the funding keys sign when input `index` spends a funding output."""
        return Digests(tx).segwit_v0(index, self.funding_script(funding), funding.value_sat, ALL)

    def funding_output(self, funding: Funding) -> Output:
        """The output that carries the channel."""
        return Output(funding.value_sat, script.p2wsh(self.funding_script(funding)))

    @property
    def obscuring_factor(self) -> int:
        """What hides this channel's commitment numbers."""
        ours, theirs = self.keys.basepoints.payment, self.setup.counterparty.payment
        return _obscuring_factor(ours, theirs) if self.setup.is_outbound else _obscuring_factor(theirs, ours)

    def _terms(
        self, funding: Funding, number: int, keys: CommitmentKeys, delay: int, htlcs: tuple[Htlc, ...]
    ) -> Terms:
        return Terms(
            format=self.setup.format,
            funding=funding.outpoint,
            obscuring_factor=self.obscuring_factor,
            number=number,
            keys=keys,
            to_self_delay=delay,
            htlcs=htlcs,
        )


def channel_of(call: Call, channel_id: ChannelId) -> tuple[ChannelState, Composer]:
    """A channel that is set up. Raises Refused for any other."""
    channel = call.channel(channel_id)
    return channel, Composer(call.channel_keys(channel_id), channel.ready)


def require_funding(channel: ChannelState, outpoint: Outpoint, counterparty_key: bytes) -> Funding:
    """The funding that is spent. Raises Refused if it is none, or has another key of the peer's."""
    funding = channel.funding(outpoint)
    if funding.counterparty_key != counterparty_key:
        raise Refused("funding-key", "the peer's funding key is not the one that the channel was set up with")
    return funding


def answer(
    reply: Message,
    channel_id: ChannelId,
    before: ChannelState,
    after: ChannelState,
    *,
    ahead: Ahead | None = None,
) -> Answer:
    """The reply, and the channel if it has changed."""
    changes = NO_CHANGES if after == before else Changes(channels={channel_id: after})
    return Answer(reply, changes, ahead=ahead)


def recompose(terms: Terms, tx: Transaction, psbt: Psbt) -> Commitment:
    """The commitment with the main values of `tx`, which must be that transaction. Raises Refused."""
    composed = commitment.compose(terms.with_values_of(tx))
    try:
        require_same(composed.tx, tx, terms.number)
    except Refused:
        _require_no_lease(terms, psbt)
        raise
    return composed


def _require_no_lease(terms: Terms, psbt: Psbt) -> None:
    """Raises Refused where a main output is locked for longer than was agreed (option_will_fund).

    Until when a lease runs, no request says.
    """
    for output in psbt.outputs:
        witness_script = output.witness_script or b""
        remote = script_reading.read_to_remote_delayed(witness_script)
        local = script_reading.read_to_local(witness_script)
        locked = remote is not None and remote.csv > terms.to_remote_csv
        if locked or (local is not None and local.to_self_delay > terms.to_self_delay):
            raise Refused(
                "lease-unsupported", "an output is locked as in a leased channel, which is not served"
            )


def require_same(composed: Transaction, tx: Transaction, number: int) -> None:
    """Raises Refused, saying what differs, unless `tx` is the commitment that we composed."""
    if words := first_difference(composed, tx):
        raise Refused("policy-commitment", f"this is not commitment {number} of the channel: {words}")


def compose(terms: Terms, content: Content) -> Commitment:
    """The commitment with a content that is remembered."""
    return commitment.compose(
        replace(
            terms,
            to_broadcaster_sat=content.to_broadcaster_sat,
            to_other_sat=content.to_other_sat,
            htlcs=content.htlcs,
        )
    )


def content_of(composed: Commitment, feerate_per_kw: int) -> Content:
    """What is to be remembered of a commitment."""
    terms = composed.terms
    places = [(index, item.htlc) for index, item in enumerate(composed.outputs) if item.htlc is not None]
    return Content(
        to_broadcaster_sat=terms.to_broadcaster_sat,
        to_other_sat=terms.to_other_sat,
        htlcs=tuple(htlc for _, htlc in places),
        feerate_per_kw=feerate_per_kw,
        txid=composed.txid,
        htlc_outputs=tuple(index for index, _ in places),
    )


def read(message: composites.BitcoinTx) -> tuple[Transaction, Psbt]:
    """A transaction and its PSBT, which must hold the same. Raises MalformedMessage or Refused."""
    tx = Transaction.parse(message.raw)
    psbt = Psbt.parse(message.psbt, (message.raw, tx))
    if psbt.tx is not tx and (words := first_difference(tx, psbt.tx)):
        raise Refused("psbt-transaction", f"the PSBT holds another transaction: {words}")
    return tx, psbt


def require_spent(psbt: Psbt, index: int, spent: Output, sighash: int = ALL) -> None:
    """Raises Refused if the PSBT says of an input that it spends or signs something else."""
    item = psbt.inputs[index]
    if item.spent is not None and item.spent != spent:
        what = f"{item.spent.value} sat" if item.spent.script == spent.script else "another script"
        raise Refused(
            "psbt-spent-output", f"the PSBT says that input {index} spends {what}, not our {spent.value} sat"
        )
    if item.sighash not in (None, sighash):
        raise Refused("psbt-sighash", f"the PSBT asks for sighash type {item.sighash} of input {index}")


def require_witness_scripts(psbt: Psbt, composed: Commitment) -> None:
    """Raises Refused unless the PSBT tells the witness script of every output that has one."""
    for index, (item, stated) in enumerate(zip(composed.outputs, psbt.outputs, strict=True)):
        if item.witness_script is not None and stated.witness_script != item.witness_script:
            what = "no" if stated.witness_script is None else "another"
            raise Refused(
                "policy-commitment-scripts", f"output {index} has {what} witness script in the PSBT"
            )


def _htlcs(htlcs: Iterable[composites.Htlc], *, offering: composites.Side) -> tuple[Htlc, ...]:
    return tuple(
        [Htlc(item.side is offering, item.amount_msat, item.payment_hash, item.cltv_expiry) for item in htlcs]
    )


# Many requests are about the same commitment: an HTLC at a time, or a retry.
@lru_cache(maxsize=512)
def _holder_keys(keys: ChannelKeys, number: int, counterparty: Basepoints) -> CommitmentKeys:
    point = _holder_point(keys, number)
    return CommitmentKeys.derive(point, own=keys.basepoints, other=counterparty)


@lru_cache(maxsize=512)
def _holder_point(keys: ChannelKeys, number: int) -> bytes:
    return keys.per_commitment_point(number)


@lru_cache(maxsize=512)
def _counterparty_keys(point: bytes, counterparty: Basepoints, own: Basepoints) -> CommitmentKeys:
    return CommitmentKeys.derive(point, own=counterparty, other=own)


@lru_cache(maxsize=4096)
def _obscuring_factor(opener: bytes, accepter: bytes) -> int:
    return commitment.obscuring_factor(opener, accepter)
