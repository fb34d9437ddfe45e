"""By how much a side's commitments have come to pay us less, without an HTLC that explains it."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Loss:
    """Satoshi, as of `at` (Unix seconds). An HTLC that is too small for an output looks like this.

    It wears off with time, so that small payments go on for years while a node that takes a little with
    every commitment comes to an end. What comes in unexplained, as small payments to us do, counts against
    it, and makes it less than nothing for a while.
    """

    sat: int = 0
    at: int = 0

    def then(self, change_sat: int, now: int, *, most_sat: int, per_day_sat: int) -> Loss:
        """After another change, a fall being above zero, with `per_day_sat` worn off for each day since.

        No more than `most_sat` is ever to our credit. A clock that goes back wears nothing off.
        """
        worn_off = per_day_sat * max(0, now - self.at) // DAY
        left = max(0, self.sat - worn_off) if self.sat > 0 else min(0, self.sat + worn_off)
        return Loss(max(-most_sat, left + change_sat), now)


NO_LOSS = Loss()
