"""Compose an HTLC transaction: HTLC-timeout or HTLC-success, from a commitment to a delayed output."""

from __future__ import annotations

from functools import lru_cache

from signerd.core.tx import script
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.commitment import Commitment, CommitmentKeys
from signerd.core.tx.fees import htlc_fee
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


# Every HTLC transaction of a commitment pays to the same script.
@lru_cache(maxsize=256)
def _output_script(revocation_key: bytes, delayed_key: bytes, to_self_delay: int) -> bytes:
    witness_script = script.to_local(
        revocation_key=revocation_key, delayed_key=delayed_key, to_self_delay=to_self_delay
    )
    return script.p2wsh(witness_script)
