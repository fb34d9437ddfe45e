"""What systemd is told, byte for byte, over a socket of either kind; and nothing where nobody asked."""

from __future__ import annotations

import os
import re
import time

import pytest
from helpers.control import short_directory
from helpers.greenlight import asynchronous
from helpers.notifications import NotifySocket

from signerd.daemon.notify import Notifier


@pytest.mark.parametrize("kind", ["path", "abstract"])
@asynchronous
async def test_says_each_thing_in_systemds_words(kind):
    with (
        short_directory() as directory,
        NotifySocket(directory / "notify" if kind == "path" else None) as systemd,
    ):
        notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
        notifier.ready()
        notifier.status("ready: attached\nREADY=0")
        notifier.status("ready: attached READY=0")
        notifier.reloading()
        notifier.alive()
        notifier.stopping()
        ready, status, reloading, alive, stopping = systemd.rest()
    assert (ready, alive, stopping) == ("READY=1", "WATCHDOG=1", "STOPPING=1")
    assert status == "STATUS=ready: attached READY=0"
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading)
    assert found
    assert abs(int(found[1]) / 1e6 - time.monotonic()) < 10


@pytest.mark.parametrize("name", [None, "", "relative/path", "/nowhere/at/all", "@nobody-listens-here"])
def test_says_nothing_and_raises_nothing_where_nobody_listens(name):
    notifier = Notifier({} if name is None else {"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.status("x")
    notifier.alive()


@asynchronous
async def test_a_socket_that_nobody_reads_is_not_waited_for():
    with NotifySocket() as systemd:
        notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
        started = time.monotonic()
        for number in range(2000):
            notifier.status(f"line {number} " + "x" * 1000)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_reads_how_often_the_watchdog_wants_to_hear(environ, seconds):
    assert Notifier({"NOTIFY_SOCKET": "@x", **environ}).watchdog_seconds == seconds


def test_without_a_socket_there_is_no_watchdog():
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_seconds is None
