"""Compose an HTLC transaction: HTLC-timeout or HTLC-success, from a commitment to a delayed output."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from signerd.core.tx import script
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.commitment import Commitment, CommitmentKeys
from signerd.core.tx.fees import htlc_fee
from signerd.core.tx.reader import octets
from signerd.core.tx.sighash import ALL, SINGLE_ANYONECANPAY
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction

VERSION = 2


def sighash_type(commitment_format: CommitmentFormat) -> int:
    """With anchors the broadcaster adds inputs and change later, so signatures leave room for them."""
    return SINGLE_ANYONECANPAY if commitment_format.anchors else ALL


def compose(
    spent: Outpoint,
    *,
    amount_sat: int,
    fee_sat: int,
    locktime: int,
    keys: CommitmentKeys,
    to_self_delay: int,
    anchors: bool,
) -> Transaction:
    """Unsigned. `locktime` is the expiry for HTLC-timeout, 0 for HTLC-success.

    Raises ValueError if the HTLC cannot pay the fee.
    """
    if fee_sat > amount_sat:
        raise ValueError(f"an HTLC of {amount_sat} sat cannot pay {fee_sat} sat")
    output = Output(amount_sat - fee_sat, _output_script(keys.revocation, keys.delayed, to_self_delay))
    return Transaction(VERSION, (Input(spent, 1 if anchors else 0),), (output,), locktime)


def compose_for(commitment: Commitment, index: int, *, feerate_per_kw: int) -> Transaction:
    """For output `index` of a commitment. Raises ValueError if that is no HTLC."""
    terms, item = commitment.terms, commitment.outputs[index]
    if item.htlc is None:
        raise ValueError(f"output {index} is no HTLC")
    return compose(
        Outpoint(commitment.txid, index),
        amount_sat=item.output.value,
        fee_sat=htlc_fee(terms.format, feerate_per_kw, offered=item.htlc.offered),
        locktime=item.htlc.cltv_expiry if item.htlc.offered else 0,
        keys=terms.keys,
        to_self_delay=terms.to_self_delay,
        anchors=terms.format.anchors,
    )


def digests(commitment: Commitment, *, feerate_per_kw: int) -> list[bytes]:
    """What the other side signs of each HTLC transaction, in the order of `htlc_outputs`: 32 bytes.

    That is the BIP 143 digest of what `compose_for` gives, whose parts that all of them share are made once.
    Raises ValueError if an HTLC cannot pay its fee.
    """
    terms, kind = commitment.terms, sighash_type(commitment.terms.format)
    version, txid = VERSION.to_bytes(4, "little"), commitment.txid
    sequence = (1 if terms.format.anchors else 0).to_bytes(4, "little")
    hashed_sequence = b"" if terms.format.anchors else _sha256d(sequence)
    script_out = octets(_output_script(terms.keys.revocation, terms.keys.delayed, terms.to_self_delay))
    fees = {way: htlc_fee(terms.format, feerate_per_kw, offered=way) for way in (True, False)}
    found = []
    for index, item in commitment.htlc_outputs():
        assert item.htlc is not None
        assert item.witness_script is not None
        outpoint, amount, fee = txid + index.to_bytes(4, "little"), item.output.value, fees[item.htlc.offered]
        if fee > amount:
            raise ValueError(f"an HTLC of {amount} sat cannot pay {fee} sat")
        locktime = item.htlc.cltv_expiry if item.htlc.offered else 0
        # With anchors (SINGLE and ANYONECANPAY) other inputs and their sequences are not looked at.
        others = bytes(64) if kind != ALL else _sha256d(outpoint) + hashed_sequence
        found.append(
            _sha256d(
                version
                + others
                + outpoint
                + octets(item.witness_script)
                + amount.to_bytes(8, "little")
                + sequence
                + _sha256d((amount - fee).to_bytes(8, "little") + script_out)
                + locktime.to_bytes(4, "little")
                + kind.to_bytes(4, "little")
            )
        )
    return found


# Every HTLC transaction of a commitment pays to the same script.
@lru_cache(maxsize=256)
def _output_script(revocation_key: bytes, delayed_key: bytes, to_self_delay: int) -> bytes:
    witness_script = script.to_local(
        revocation_key=revocation_key, delayed_key=delayed_key, to_self_delay=to_self_delay
    )
    return script.p2wsh(witness_script)


def _sha256d(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()
