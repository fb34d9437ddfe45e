"""Room for a large piece of memory: told from what the kernel says, before anything is allocated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
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


@example(meminfo="", limits=["¹", "0\x1f"])
@given(meminfo=st.text(max_size=200), limits=st.lists(st.text(max_size=20), max_size=3))
def test_reads_anything(meminfo, limits):
    memory_room.shortage(256 * MIB, meminfo=meminfo, limits=limits)


def test_asks_the_machine_itself():
    memory_room.require(0)
    with pytest.raises(MemoryShort, match="MiB") as caught:
        memory_room.require(2**60)
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="limiting memory needs root")
def test_finds_the_limit_of_the_control_group_that_it_runs_in():
    hierarchies = {
        "memory.max": Path("/sys/fs/cgroup"),
        "memory.limit_in_bytes": Path("/sys/fs/cgroup/memory"),
    }
    found = [(name, place) for name, place in hierarchies.items() if (place / "cgroup.procs").exists()]
    for name, place in found:
        group = place / f"signerd-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / name).exists():
                continue
            (group / name).write_text(str(200 * MIB))
            code = (
                "import os, pathlib, sys\n"
                "from signerd.daemon import memory_room\n"
                "pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
                "memory_room.require(256 * 1024 * 1024)\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, str(group / "cgroup.procs")],
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            assert "this process may have 200 MiB in all" in done.stderr
            return
        finally:
            group.rmdir()
    pytest.skip("this machine lets us limit nobody's memory")
