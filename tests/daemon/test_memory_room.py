"""Room for a large piece of memory: told from what the kernel says, before anything is allocated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.daemon import memory_room
from signerd.errors import MemoryShort

MIB = 1024 * 1024
PLENTY = "MemTotal:       8000000 kB\nMemAvailable:    4000000 kB\nSwapFree:              0 kB\n"


@pytest.mark.parametrize("limits", [[], ["max\n"], ["", "max\n"], [f"{400 * MIB}\n", "max\n"], ["garbage"]])
def test_sees_no_shortage_where_there_is_none(limits):
    assert memory_room.shortage(256 * MIB, meminfo=PLENTY, limits=limits) is None


@pytest.mark.parametrize("limits", [["268435456\n"], ["max\n", "268435456\n"], ["0"], [str(319 * MIB)]])
def test_a_limit_counts_what_the_process_has_already(limits):
    reason = memory_room.shortage(256 * MIB, meminfo=PLENTY, limits=limits)
    assert reason is not None
    assert "MiB in all" in reason


def test_memory_that_can_be_swapped_for_is_memory():
    short = PLENTY.replace("4000000", " 100000")
    assert memory_room.shortage(256 * MIB, meminfo=short, limits=[]) == "this machine has 97 MiB left"
    swap = short.replace("SwapFree:              0", "SwapFree:        1000000")
    assert memory_room.shortage(256 * MIB, meminfo=swap, limits=[]) is None


@pytest.mark.parametrize("meminfo", ["", "MemAvailable: lots", "MemTotal:       8000000 kB\n"])
def test_what_is_not_known_is_held_against_nobody(meminfo):
    assert memory_room.shortage(256 * MIB, meminfo=meminfo, limits=[]) is None


@given(meminfo=st.text(max_size=200), limits=st.lists(st.text(max_size=20), max_size=3))
def test_reads_anything(meminfo, limits):
    memory_room.shortage(256 * MIB, meminfo=meminfo, limits=limits)


def test_asks_the_machine_itself():
    memory_room.require(0)
    with pytest.raises(MemoryShort, match="MiB") as caught:
        memory_room.require(2**60)
    assert caught.value.hint
