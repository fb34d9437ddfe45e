"""One recorded channel, recomputed: from our keys and setup_channel to transactions and signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signerd.core.keys import commitment as keys_of
from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.keys.node import NodeKeys
from signerd.core.tx import (
    channel_type,
    closing,
    commitment,
    htlc_transaction,
    script,
    script_reading,
    signing,
    sweep,
)
from signerd.core.tx.difference import first_difference
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint, Transaction
from signerd.core.wire import composites

Signed = tuple[bytes, int]
"""64 bytes r || s, and the sighash type."""


class Channel:
    """Our keys, and what setup_channel said of the peer."""

    setup: Any
    theirs: Basepoints
    funding: Outpoint
    format: channel_type.CommitmentFormat
    factor: int
    funding_script: bytes

    def __init__(self, node: NodeKeys, peer_id: bytes, dbid: int, dialect: Dialect) -> None:
        self.keys = node.channel(peer_id, dbid)
        self.dialect = dialect

    def set_up(self, setup: Any) -> None:
        points = setup.remote_basepoints
        self.setup = setup
        self.format = channel_type.commitment_format(setup.channel_type)
        self.funding = Outpoint(setup.funding_txid, setup.funding_txout)
        self.theirs = Basepoints(
            funding=setup.remote_funding_pubkey,
            revocation=points.revocation,
            payment=points.payment,
            htlc=points.htlc,
            delayed=points.delayed_payment,
        )
        ours = self.keys.basepoints
        self.funding_script = script.funding(ours.funding, self.theirs.funding)
        opener, accepter = (ours, self.theirs) if setup.is_outbound else (self.theirs, ours)
        self.factor = commitment.obscuring_factor(opener.payment, accepter.payment)

    def terms(
        self, number: int, *, point: bytes | None, htlcs: Sequence[composites.Htlc] = ()
    ) -> commitment.Terms:
        """For the peer's commitment if its point is given, else for ours."""
        holder = point is None
        point = self.keys.per_commitment_point(number) if point is None else point
        ours, theirs = self.keys.basepoints, self.theirs
        own, other = (ours, theirs) if holder else (theirs, ours)
        offered = composites.Side.LOCAL if holder else composites.Side.REMOTE
        return commitment.Terms(
            format=self.format,
            funding=self.funding,
            obscuring_factor=self.factor,
            number=number,
            keys=commitment.CommitmentKeys.derive(point, own=own, other=other),
            to_self_delay=self.setup.remote_to_self_delay if holder else self.setup.local_to_self_delay,
            htlcs=tuple(
                Htlc(item.side is offered, item.amount_msat, item.payment_hash, item.cltv_expiry)
                for item in htlcs
            ),
        )

    def recomposed(self, terms: commitment.Terms, tx: Transaction) -> commitment.Commitment:
        """The commitment that we compose, which must be the one that was asked for."""
        composed = commitment.compose(terms.with_values_of(tx))
        assert first_difference(composed.tx, tx) == ""
        assert commitment.number_of(tx, self.factor) == terms.number
        return composed

    def funding_digest(self, tx: Transaction) -> bytes:
        return Digests(tx).segwit_v0(0, self.funding_script, self.setup.channel_value)

    def signed(self, message: Any) -> Signed:
        """Our answer to any request for one signature, once its transaction has come out as asked."""
        return _SIGN[message.TYPE](self, message)

    def verify(self, message: Any) -> None:
        """Checks the peer's signatures on our commitment (hsmd type 35)."""
        tx = Transaction.parse(message.tx.raw)
        composed = self.recomposed(self.terms(message.commit_num, point=None, htlcs=message.htlcs), tx)
        digest = self.funding_digest(composed.tx)
        assert secp256k1.verify_compact(self.theirs.funding, message.signature.signature, digest)
        outputs = composed.htlc_outputs()
        assert len(outputs) <= len(message.htlc_signatures)
        for (index, output), signature in zip(outputs, message.htlc_signatures, strict=False):
            htlc_tx = htlc_transaction.compose_for(composed, index, feerate_per_kw=message.feerate)
            sighash = htlc_transaction.sighash_type(self.format)
            assert output.witness_script is not None
            digest = Digests(htlc_tx).segwit_v0(0, output.witness_script, output.output.value, sighash)
            assert secp256k1.verify_compact(composed.terms.keys.other_htlc, signature.signature, digest)


def _remote_commitment(channel: Channel, message: Any) -> Signed:
    tx = Transaction.parse(message.tx.raw)
    point = message.remote_per_commitment_point
    composed = channel.recomposed(channel.terms(message.commit_num, point=point, htlcs=message.htlcs), tx)
    return _fund(channel, message, channel.funding_digest(composed.tx))


def _commitment(channel: Channel, message: Any) -> Signed:
    return _fund(channel, message, channel.funding_digest(Transaction.parse(message.tx.raw)))


def _mutual_close(channel: Channel, message: Any) -> Signed:
    tx = Transaction.parse(message.tx.raw)
    readings = closing.readings(tx, channel.funding)
    assert readings
    assert all(first_difference(closing.compose(terms), tx) == "" for terms in readings)
    return _fund(channel, message, channel.funding_digest(tx))


def _splice(channel: Channel, message: Any) -> Signed:
    tx, psbt = Transaction.parse(message.tx.raw), Psbt.parse(message.tx.psbt)
    spent = psbt.inputs[message.input_index].spent
    assert spent is not None
    digest = Digests(tx).segwit_v0(message.input_index, channel.funding_script, spent.value)
    return _fund(channel, message, digest)


def _fund(channel: Channel, message: Any, digest: bytes) -> Signed:
    nonce = signing.nonce_of(message.TYPE, channel.dialect)
    return channel.keys.sign_funding(digest, nonce), 1


def _remote_htlc(channel: Channel, message: Any) -> Signed:
    keys = channel.terms(0, point=message.remote_per_commitment_point).keys
    return _htlc(channel, message, keys, channel.setup.local_to_self_delay)


def _local_htlc(channel: Channel, message: Any) -> Signed:
    keys = channel.terms(message.commit_num, point=None).keys
    return _htlc(channel, message, keys, channel.setup.remote_to_self_delay)


def _htlc(channel: Channel, message: Any, keys: commitment.CommitmentKeys, delay: int) -> Signed:
    tx, spent = Transaction.parse(message.tx.raw), Psbt.parse(message.tx.psbt).inputs[0].spent
    found = script_reading.read_htlc(message.wscript)
    assert spent is not None
    assert found is not None
    composed = htlc_transaction.compose(
        tx.inputs[0].outpoint,
        amount_sat=spent.value,
        fee_sat=spent.value - tx.outputs[0].value,
        locktime=tx.locktime if found.offered else 0,
        keys=keys,
        to_self_delay=delay,
        anchors=channel.format.anchors,
    )
    assert first_difference(composed, tx) == ""
    sighash = signing.sighash_of(message.TYPE, channel.dialect, channel.format)
    digest = Digests(composed).segwit_v0(0, message.wscript, spent.value, sighash)
    nonce = signing.nonce_of(message.TYPE, channel.dialect)
    return channel.keys.sign_htlc(digest, keys.per_commitment_point, nonce), sighash


def _delayed(channel: Channel, message: Any) -> Signed:
    terms = channel.terms(message.commit_num, point=None)
    expected = sweep.of_delayed(message.wscript, terms.keys, terms.to_self_delay)
    digest, nonce, sighash = _sweep(channel, message, expected)
    return channel.keys.sign_delayed(digest, message.commit_num, nonce), sighash


def _remote_htlc_to_us(channel: Channel, message: Any) -> Signed:
    keys = channel.terms(0, point=message.remote_per_commitment_point).keys
    expected = sweep.of_counterparty_htlc(message.wscript, keys, anchors=channel.format.anchors)
    digest, nonce, sighash = _sweep(channel, message, expected)
    return channel.keys.sign_htlc(digest, message.remote_per_commitment_point, nonce), sighash


def _penalty(channel: Channel, message: Any) -> Signed:
    keys = channel.terms(0, point=keys_of.point_of(message.revocation_secret)).keys
    digest, nonce, sighash = _sweep(channel, message, sweep.of_penalty(message.wscript, keys))
    return channel.keys.sign_penalty(digest, message.revocation_secret, nonce), sighash


def _sweep(channel: Channel, message: Any, expected: sweep.Sweep) -> tuple[bytes, secp256k1.Nonce, int]:
    tx, spent = Transaction.parse(message.tx.raw), Psbt.parse(message.tx.psbt).inputs[0].spent
    sweep.require(expected, tx)
    assert spent is not None
    assert spent.script == script.p2wsh(message.wscript)
    sighash = signing.sighash_of(message.TYPE, channel.dialect, channel.format)
    digest = Digests(tx).segwit_v0(getattr(message, "input", 0), message.wscript, spent.value, sighash)
    return digest, signing.nonce_of(message.TYPE, channel.dialect), sighash


_SIGN = {
    5: _commitment,
    12: _delayed,
    13: _remote_htlc_to_us,
    14: _penalty,
    16: _local_htlc,
    19: _remote_commitment,
    20: _remote_htlc,
    21: _mutual_close,
    29: _splice,
    142: _delayed,
    143: _remote_htlc_to_us,
    144: _penalty,
    146: _local_htlc,
}
