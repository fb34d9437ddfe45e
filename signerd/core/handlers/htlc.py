"""HTLC transactions, rebuilt from the commitment that they spend, which we remember."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

from signerd.core.handlers import composing
from signerd.core.keys.channel import ChannelKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.state.channel import Content, Contents
from signerd.core.tx import htlc_transaction, script, script_reading
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.commitment import CommitmentKeys
from signerd.core.tx.difference import first_difference
from signerd.core.tx.fees import htlc_fee
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.psbt import MAGIC
from signerd.core.tx.reader import octets
from signerd.core.tx.sighash import Digests
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.core.wire import composites
from signerd.errors import Refused

_OUTPOINT_END = 41
"""Of the first input of a transaction without a witness marker: version, count, id, index."""


@dataclass(frozen=True, slots=True)
class Side:
    """Whose HTLC transactions these are: the keys of one commitment, and the delay on what they pay."""

    keys: CommitmentKeys
    to_self_delay: int
    format: CommitmentFormat
    contents: Iterable[Contents]
    """What the commitments with these keys hold."""


@dataclass(frozen=True, slots=True)
class _Spent:
    """The HTLC output that is spent."""

    outpoint: Outpoint
    output: Output
    script: bytes
    htlc: Htlc
    feerate_per_kw: int


def sign(
    request: composites.BitcoinTx, witness_script: bytes, side: Side, keys: ChannelKeys, nonce: Nonce
) -> composites.BitcoinSignature:
    """Our signature of an HTLC transaction. Raises Refused unless it is the one that we would build."""
    spent = _spent(_outpoint(request.raw), witness_script, side)
    expected = htlc_transaction.compose(
        spent.outpoint,
        amount_sat=spent.output.value,
        fee_sat=htlc_fee(side.format, spent.feerate_per_kw, offered=spent.htlc.offered),
        locktime=spent.htlc.cltv_expiry if spent.htlc.offered else 0,
        keys=side.keys,
        to_self_delay=side.to_self_delay,
        anchors=side.format.anchors,
    )
    sighash = htlc_transaction.sighash_type(side.format)
    # A node asks for hundreds of these in a row, all in the same form: what is equal needs no reading.
    if request != _usual(expected, spent, side):
        tx, psbt = composing.read(request)
        if words := first_difference(expected, tx):
            raise Refused("policy-htlc-other", f"this is not the transaction of its HTLC: {words}")
        composing.require_spent(psbt, 0, spent.output, sighash)
    digest = Digests(expected).segwit_v0(0, witness_script, spent.output.value, sighash)
    signature = keys.sign_htlc(digest, side.keys.per_commitment_point, nonce)
    return composites.BitcoinSignature(signature, sighash)


def _outpoint(raw: bytes) -> Outpoint:
    """What the first input spends."""
    if raw[4:5] == b"\x01" and len(raw) >= _OUTPOINT_END:
        return Outpoint(raw[5:37], int.from_bytes(raw[37:_OUTPOINT_END], "little"))
    return Transaction.parse(raw).inputs[0].outpoint


def _spent(outpoint: Outpoint, witness_script: bytes, side: Side) -> _Spent:
    content = _content(outpoint, side)
    # The one at this very output: parts of one payment can have the same script and expire at other times.
    place = bisect.bisect_left(content.htlc_outputs, outpoint.index)
    if content.htlc_outputs[place : place + 1] == (outpoint.index,):
        htlc = content.htlcs[place]
        made = script.htlc(
            revocation_key=side.keys.revocation,
            own_htlc_key=side.keys.own_htlc,
            other_htlc_key=side.keys.other_htlc,
            payment_hash=htlc.payment_hash,
            cltv_expiry=None if htlc.offered else htlc.cltv_expiry,
            anchors=side.format.anchors,
        )
        if made == witness_script:
            output = Output(htlc.amount_sat, script.p2wsh(made))
            return _Spent(outpoint, output, made, htlc, content.feerate_per_kw)
    if script_reading.read_htlc(witness_script) is None:
        raise Refused("policy-commitment-scripts", "the script is not that of an HTLC")
    raise Refused("htlc-unknown", f"the commitment has no HTLC with this script at output {outpoint.index}")


def _content(outpoint: Outpoint, side: Side) -> Content:
    for contents in side.contents:
        for _, content in contents:
            if content.txid == outpoint.txid:
                return content
    raise Refused("htlc-unknown", f"{outpoint} is not an output of a commitment that is known here")


def _usual(expected: Transaction, spent: _Spent, side: Side) -> composites.BitcoinTx:
    """The transaction and its PSBT as nodes send them."""
    delayed = script.to_local(
        revocation_key=side.keys.revocation,
        delayed_key=side.keys.delayed,
        to_self_delay=side.to_self_delay,
    )
    whole = expected.without_witnesses()
    psbt = (
        MAGIC + b"\x01\x00" + octets(whole) + b"\x00",
        b"\x01\x01" + octets(spent.output.serialize()) + b"\x01\x05" + octets(spent.script) + b"\x00",
        b"\x01\x01" + octets(delayed) + b"\x00",
    )
    return composites.BitcoinTx(whole, b"".join(psbt))
