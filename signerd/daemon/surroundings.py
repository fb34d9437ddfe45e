"""What happened to this machine between two looks: it slept, its clock was set, it moved in the network.

The clocks of Linux tell it (clock_gettime(2)): CLOCK_MONOTONIC stands still in suspend, CLOCK_BOOTTIME goes
on, and CLOCK_REALTIME can be set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LEAST_SLEEP_SECONDS = 2.0
LEAST_STEP_SECONDS = 5.0
"""Time services move a clock by less, and slowly."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One look. `sources` are our own addresses, by where they lead; None where nothing leads there."""

    monotonic: float
    boottime: float
    wall: float
    sources: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Change:
    """What two looks in a row show. Seconds; zero for what did not happen."""

    slept: float
    clock_step: float
    moved: tuple[str, ...]

    @property
    def connections_doubtful(self) -> bool:
        """Whether connections from before may be dead without having been told so."""
        return bool(self.slept or self.moved)


def between(before: Glance, now: Glance) -> Change:
    """`moved` has the addresses that we speak from now and did not before: a way that ends has none."""
    slept = (now.boottime - before.boottime) - (now.monotonic - before.monotonic)
    step = (now.wall - before.wall) - (now.boottime - before.boottime)
    moved = {
        source
        for towards, source in now.sources.items()
        if source is not None and towards in before.sources and before.sources[towards] != source
    }
    return Change(
        slept=slept if slept >= LEAST_SLEEP_SECONDS else 0.0,
        clock_step=step if abs(step) >= LEAST_STEP_SECONDS else 0.0,
        moved=tuple(sorted(moved)),
    )
