"""What a channel's type means for its transactions (BOLT 2 channel_type, BOLT 9 feature bits)."""

from __future__ import annotations

import enum
from functools import lru_cache

from signerd.errors import MalformedMessage

STATIC_REMOTEKEY_BIT = 12
ANCHORS_BIT = 20
ANCHORS_ZERO_FEE_HTLC_BIT = 22


class CommitmentFormat(enum.Enum):
    """The shapes of commitments. option_scid_alias and option_zeroconf change nothing in them."""

    LEGACY = "legacy"
    STATIC_REMOTEKEY = "static_remotekey"
    ANCHORS = "anchors"
    """The obsolete kind: anchors, and HTLC transactions that still pay fees."""
    ANCHORS_ZERO_FEE_HTLC = "anchors_zero_fee_htlc_tx"

    @property
    def anchors(self) -> bool:
        """Whether commitments have anchors, and HTLC signatures leave room for fees."""
        return self in (CommitmentFormat.ANCHORS, CommitmentFormat.ANCHORS_ZERO_FEE_HTLC)

    @property
    def static_remotekey(self) -> bool:
        """Whether to_remote pays to the payment basepoint itself."""
        return self is not CommitmentFormat.LEGACY

    @property
    def pays_htlc_fees(self) -> bool:
        """Whether HTLC transactions pay a fee from their HTLC."""
        return self is not CommitmentFormat.ANCHORS_ZERO_FEE_HTLC


@lru_cache(maxsize=64)
def commitment_format(channel_type: bytes) -> CommitmentFormat:
    """From the feature bits of a channel_type: big-endian, the lowest bit in the last byte.

    Raises MalformedMessage for anchors without static_remotekey, which BOLT 9 excludes.
    """
    bits = int.from_bytes(channel_type, "big")
    static = bool(bits >> STATIC_REMOTEKEY_BIT & 1)
    zero_fee = bool(bits >> ANCHORS_ZERO_FEE_HTLC_BIT & 1)
    anchors = bool(bits >> ANCHORS_BIT & 1)
    if (anchors or zero_fee) and not static:
        raise MalformedMessage("the channel type has anchors but not static_remotekey")
    if zero_fee:
        return CommitmentFormat.ANCHORS_ZERO_FEE_HTLC
    if anchors:
        return CommitmentFormat.ANCHORS
    return CommitmentFormat.STATIC_REMOTEKEY if static else CommitmentFormat.LEGACY
