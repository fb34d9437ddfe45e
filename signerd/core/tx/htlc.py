"""A payment in flight, as a commitment holds it (BOLT 3)."""

from __future__ import annotations

from dataclasses import dataclass

MSAT = 1000
"""Millisatoshi in a satoshi."""


@dataclass(frozen=True, slots=True)
class Htlc:
    """A payment in flight. `offered` is from the broadcaster's view; `payment_hash` has 32 bytes."""

    offered: bool
    amount_msat: int
    payment_hash: bytes
    cltv_expiry: int

    @property
    def amount_sat(self) -> int:
        """What its output holds."""
        return self.amount_msat // MSAT
