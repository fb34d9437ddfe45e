"""What a commitment costs, who pays, and which of its outputs are too small to exist (BOLT 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.htlc import MSAT, Htlc

ANCHOR_SAT = 330

_COMMITMENT_WEIGHT = 724
_COMMITMENT_WEIGHT_ANCHORS = 1124
_HTLC_WEIGHT = 172
_TIMEOUT_WEIGHT = 663
_TIMEOUT_WEIGHT_ANCHORS = 666
_SUCCESS_WEIGHT = 703
_SUCCESS_WEIGHT_ANCHORS = 706


@dataclass(frozen=True, slots=True)
class Settled:
    """The outputs of a commitment before they have scripts. A main output of 0 sat does not exist."""

    to_broadcaster_sat: int
    to_other_sat: int
    htlcs: tuple[Htlc, ...]
    fee_sat: int
    """By feerate and weight; what is trimmed or rounded away goes to the miner on top."""


def commitment_fee(commitment_format: CommitmentFormat, feerate_per_kw: int, htlcs: int) -> int:
    """Satoshi, for a number of HTLC outputs; anchors are not in it."""
    base = _COMMITMENT_WEIGHT_ANCHORS if commitment_format.anchors else _COMMITMENT_WEIGHT
    return feerate_per_kw * (base + _HTLC_WEIGHT * htlcs) // 1000


def htlc_fee(commitment_format: CommitmentFormat, feerate_per_kw: int, *, offered: bool) -> int:
    """Satoshi that the HTLC transaction pays: HTLC-timeout for an offered HTLC, else HTLC-success."""
    if not commitment_format.pays_htlc_fees:
        return 0
    if commitment_format.anchors:
        weight = _TIMEOUT_WEIGHT_ANCHORS if offered else _SUCCESS_WEIGHT_ANCHORS
    else:
        weight = _TIMEOUT_WEIGHT if offered else _SUCCESS_WEIGHT
    return feerate_per_kw * weight // 1000


def is_trimmed(
    htlc: Htlc, commitment_format: CommitmentFormat, *, feerate_per_kw: int, dust_limit_sat: int
) -> bool:
    """Whether an HTLC is too small to have an output, given the broadcaster's dust limit."""
    cost = htlc_fee(commitment_format, feerate_per_kw, offered=htlc.offered)
    return htlc.amount_msat < (dust_limit_sat + cost) * MSAT


def settle(
    commitment_format: CommitmentFormat,
    *,
    to_broadcaster_msat: int,
    to_other_msat: int,
    htlcs: Sequence[Htlc],
    feerate_per_kw: int,
    dust_limit_sat: int,
    broadcaster_funds: bool,
) -> Settled:
    """From balances, HTLCs not counted in, to outputs: trims, takes the fee and the anchors from the funder.

    A funder who cannot pay gives what there is. Order is kept.
    """
    kept = tuple(
        htlc
        for htlc in htlcs
        if not is_trimmed(
            htlc, commitment_format, feerate_per_kw=feerate_per_kw, dust_limit_sat=dust_limit_sat
        )
    )
    fee = commitment_fee(commitment_format, feerate_per_kw, len(kept))
    # Both anchors, even where one of them will not exist.
    cost = fee + (2 * ANCHOR_SAT if commitment_format.anchors else 0)
    broadcaster, other = to_broadcaster_msat // MSAT, to_other_msat // MSAT
    if broadcaster_funds:
        broadcaster = max(0, broadcaster - cost)
    else:
        other = max(0, other - cost)
    return Settled(
        to_broadcaster_sat=broadcaster if broadcaster >= dust_limit_sat else 0,
        to_other_sat=other if other >= dust_limit_sat else 0,
        htlcs=kept,
        fee_sat=fee,
    )
