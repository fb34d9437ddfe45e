"""Run a command on a terminal of its own, as a person would."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 20.0


class Terminal:
    """`signerd …` on a pseudo-terminal: what is shown, and what is typed."""

    def __init__(self, *arguments: str | Path, env: dict[str, str]) -> None:
        self.shown = ""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execvpe(sys.executable, [sys.executable, "-m", "signerd", *map(str, arguments)], env)

    def until(self, pattern: str) -> re.Match[str]:
        """Read until the pattern has been shown."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            if found := re.search(pattern, self.shown):
                return found
            if not self._read(0.2) and self._ended():
                break
        raise AssertionError(f"never shown: {pattern!r} in {self.shown!r}")

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._master, text.encode() + b"\n")

    def end(self) -> int:
        """Read to the end; the exit code."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            if not self._read(0.2) and self._ended():
                return self.code
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"did not end: {self.shown!r}")

    def answer(self, pattern: str, reply: Callable[[re.Match[str]], str]) -> None:
        """Wait for a question and type the answer to it."""
        self.type(reply(self.until(pattern)))

    code = -1
    _over = False

    def _ended(self) -> bool:
        if not self._over:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._over, self.code = True, os.waitstatus_to_exitcode(status)
        return self._over

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return False
        try:
            text = os.read(self._master, 65536)
        except OSError:
            return False
        self.shown += text.decode(errors="replace")
        return bool(text)
