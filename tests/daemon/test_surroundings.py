"""What two looks at the clocks and the routes tell."""

from __future__ import annotations

import dataclasses
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.daemon.surroundings import Change, Glance, between
from signerd.greenlight import reachability

START = Glance(monotonic=100.0, boottime=900.0, wall=1_800_000_000.0, sources={"192.0.2.1": "198.51.100.7"})


def later(
    seconds: float, *, slept: float = 0.0, clock: float = 0.0, sources: dict[str, str | None] | None = None
) -> Glance:
    return Glance(
        monotonic=START.monotonic + seconds,
        boottime=START.boottime + seconds + slept,
        wall=START.wall + seconds + slept + clock,
        sources=START.sources if sources is None else sources,
    )


@given(st.floats(0, 1e6), st.floats(0, 1.9), st.floats(-4.9, 4.9))
def test_time_that_passes_is_nothing_that_happened(seconds, late, drift):
    assert between(START, later(seconds, slept=late, clock=drift)) == Change(0.0, 0.0, ())


@given(st.floats(2.1, 1e8))
def test_a_sleep_is_no_step_of_the_clock(slept):
    change = between(START, later(1, slept=slept))
    assert change.slept == pytest.approx(slept)
    assert (change.clock_step, change.moved) == (0.0, ())
    assert change.connections_doubtful


@pytest.mark.parametrize("step", [-86_400.0, -6.0, 6.0, 1e9])
def test_a_step_of_the_clock_is_no_sleep_and_leaves_connections_alone(step):
    change = between(START, later(1, clock=step))
    assert change.clock_step == pytest.approx(step)
    assert change.slept == 0.0
    assert not change.connections_doubtful


@pytest.mark.parametrize(
    ("before", "now", "moved"),
    [
        ("198.51.100.7", "203.0.113.9", ("203.0.113.9",)),
        (None, "198.51.100.7", ("198.51.100.7",)),
        ("198.51.100.7", None, ()),
        (None, None, ()),
    ],
)
def test_a_way_that_begins_is_told_and_one_that_ends_is_not(before, now, moved):
    first = dataclasses.replace(START, sources={"192.0.2.1": before})
    assert between(first, later(1, sources={"192.0.2.1": now})).moved == moved


def test_a_way_that_was_not_looked_at_before_is_no_move():
    assert between(START, later(1, sources=dict(START.sources) | {"127.0.0.1": "127.0.0.1"})).moved == ()


def test_the_address_that_we_speak_from_is_the_kernels():
    assert reachability.source_address("127.0.0.1") == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.5", 9))
        assert reachability.source_address("127.0.0.5") == probe.getsockname()[0]


def test_where_no_way_leads_there_is_no_address():
    assert reachability.source_address("255.255.255.255") is None
