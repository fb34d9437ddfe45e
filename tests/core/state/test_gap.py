"""What sets the fundings of a channel apart, and a lock that changes what it is reckoned from."""

from __future__ import annotations

from signerd.core.state import gap
from signerd.core.state.gap import Gap
from signerd.core.tx.transaction import Outpoint

OLD, NEW, RIVAL, GONE = (Outpoint(bytes([number]) * 32, 0) for number in range(4))


def test_a_gap_belongs_to_one_side():
    gaps = (Gap(NEW, True, 5), Gap(NEW, False, -7))
    assert (5, -7) == (gap.find(gaps, NEW, holder=True), gap.find(gaps, NEW, holder=False))
    assert gap.find(gaps, RIVAL, holder=True) is None


def test_gaps_are_reckoned_from_the_funding_that_comes_into_force():
    gaps = (Gap(NEW, True, 5), Gap(RIVAL, True, 7), Gap(GONE, True, 1), Gap(RIVAL, False, 9))
    assert (Gap(OLD, True, -5), Gap(RIVAL, True, 2)) == gap.rebase(gaps, OLD, NEW, [NEW, RIVAL])
