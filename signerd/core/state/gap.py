"""By how much more a new funding's commitments leave us than those of the funding in force.

As long as both fundings have commitments, that difference is the same in each of them: whatever is paid is
paid in both. It may be below zero, where we take something out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from signerd.core.tx.transaction import Outpoint


@dataclass(frozen=True, slots=True)
class Gap:
    """Satoshi, in the commitments of one side. `holder` says that they are our own."""

    outpoint: Outpoint
    holder: bool
    sat: int


Gaps = tuple[Gap, ...]


def find(gaps: Gaps, outpoint: Outpoint, *, holder: bool) -> int | None:
    """The gap of a funding on one side; None before its first commitment was accepted there."""
    return next((gap.sat for gap in gaps if gap.outpoint == outpoint and gap.holder is holder), None)


def rebase(gaps: Gaps, old: Outpoint, new: Outpoint, others: Collection[Outpoint]) -> Gaps:
    """Reckoned from `new`, which comes into force after `old`: of `old` itself, and of `others`.

    On a side where nothing is known of `new` itself, nothing is known of the others either.
    """
    rebased: list[Gap] = []
    for holder in (True, False):
        base = find(gaps, new, holder=holder)
        if base is not None:
            rebased.append(Gap(old, holder, -base))
            rebased += (
                Gap(gap.outpoint, holder, gap.sat - base)
                for gap in gaps
                if gap.holder is holder and gap.outpoint != new and gap.outpoint in others
            )
    return tuple(rebased)
