"""Writing a line neither waits nor raises, whatever has become of its reader."""

from __future__ import annotations

import os
import pty
import socket
import time

from helpers.loglines import pipe

from signerd.observe.outlet import Outlet

LINE = "x" * 999 + "\n"


def test_a_reader_that_does_not_read_holds_up_nobody():
    with pipe() as p:
        outlet = Outlet(p.writing, kept=50)
        started = time.monotonic()
        for number in range(1000):
            outlet.write(f"{number:>999}\n")
        assert time.monotonic() - started < 1
        assert not outlet.has_room

        first = p.text()
        outlet.flush()
        numbers = [int(line) for line in (first + p.text()).splitlines()]

        assert outlet.has_room
        assert numbers == list(range(len(numbers)))  # the first ones, in order and whole
        assert outlet.lost == 1000 - len(numbers)
        assert outlet.lost > 800


def test_a_line_that_is_longer_than_a_pipe_comes_whole():
    with pipe() as p:
        outlet = Outlet(p.writing)
        outlet.write("y" * 200_000 + "\n")
        text = ""
        while not outlet.has_room:
            text += p.text()
            outlet.flush()
        assert text + p.text() == "y" * 200_000 + "\n"


def test_a_reader_that_died_costs_its_lines_and_nothing_else():
    with pipe() as p:
        outlet = Outlet(p.writing)
        os.close(p.reading)
        for _ in range(10):
            outlet.write(LINE)
        assert outlet.lost == 10
        assert outlet.has_room


def test_a_full_disk_costs_its_lines_and_nothing_else():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        outlet = Outlet(descriptor)
        outlet.write(LINE)
        assert outlet.lost == 1
    finally:
        os.close(descriptor)


def test_a_socket_that_nobody_reads_holds_up_nobody():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        outlet = Outlet(ours.fileno(), kept=10)
        started = time.monotonic()
        for _ in range(2000):
            outlet.write(LINE)
        assert time.monotonic() - started < 1
        assert outlet.lost > 0


def test_a_terminal_that_was_stopped_holds_up_nobody():
    ours, theirs = pty.openpty()
    try:
        outlet = Outlet(theirs, kept=10)
        started = time.monotonic()
        for _ in range(2000):
            outlet.write(LINE)
        assert time.monotonic() - started < 1
        assert outlet.lost > 0
        # The terminal's own descriptor, which a shell shares with us, waits as before.
        assert os.get_blocking(theirs)
    finally:
        os.close(ours)
        os.close(theirs)
