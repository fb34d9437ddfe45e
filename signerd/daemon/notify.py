"""Tell systemd how it goes: one datagram to the socket that it names (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_USEC = 1_000_000


class Notifier:
    """Says nothing where nobody asked. Never raises: who runs us is not what we sign for."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._status = ""
        self.watchdog_seconds = _watchdog_seconds(environ) if self._address else None
        """How often the watchdog wants to hear from us at the latest; None where there is none."""

    def ready(self) -> None:
        """All was checked, and the loops run; or a reload is over."""
        self._send("READY=1")

    def status(self, line: str) -> None:
        """One line of state, sent where it differs from the last."""
        line = " ".join(line.split())  # a line break would begin another assignment
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def reloading(self) -> None:
        """From now until `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Food for the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A fresh socket each time: systemd may have been replaced (daemon-reexec) in the meantime.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.sendto(message.encode(errors="replace"), self._address)


def _address(named: str) -> str | bytes:
    """An absolute path, or with `@` in front the name of an abstract socket; anything else is no address."""
    if named.startswith("@"):
        return b"\0" + os.fsencode(named[1:])
    return named if named.startswith("/") else ""


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or not int(microseconds):
        return None
    # Meant for us, and not for a parent that forgot to take it out of the environment.
    meant = environ.get("WATCHDOG_PID")
    return int(microseconds) / _USEC if meant in {None, "", str(os.getpid())} else None
