"""How much is too much: the reference signer's limits, per network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from signerd.units import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Defaults are those for bitcoin. Delays in blocks, feerates in satoshi per 1000 weight."""

    min_delay: int = 144
    max_delay: int = 2016
    max_channel_size_sat: int = 1_000_000_001
    epsilon_sat: int = 10_000
    """By how much a mutual close may pay us less than the commitments do."""
    max_htlcs: int = 1000
    max_htlc_value_sat: int = 16_777_216
    """All HTLCs of one commitment together."""
    dust_limit_sat: int = 354
    """What a commitment's main output, or an HTLC without a transaction fee, holds at least."""
    htlc_dust_limit_sat: int = 330
    """What an HTLC holds at least beside the fee of its transaction."""
    max_dust_exposure_sat: int = 100_000
    """HTLCs too small for an output, together. Core Lightning's own limit is half of that."""
    max_feerate_per_kw: int = 150_000
    max_invoices: int = 10_000
    max_transaction_size: int = 32_768
    """Bytes without witnesses, of a transaction that spends from the wallet."""
    clock_skew: int = 60
    """Seconds by which the node's clock may differ from ours."""


_MAINNET = Limits()
_TEST = replace(_MAINNET, min_delay=4)

LIMITS: Mapping[Network, Limits] = {
    "bitcoin": _MAINNET,
    "testnet": _TEST,
    "signet": _TEST,
    "regtest": _TEST,
}
"""Network → its limits."""
