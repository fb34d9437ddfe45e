"""Write lines to a file descriptor, and never wait for whoever reads them."""

from __future__ import annotations

import os
import select
from collections import deque

KEPT = 256
"""Lines that are kept while nobody reads. The first ones: they tell how it began."""

_PIECE = select.PIPE_BUF
"""A pipe or socket that has room at all has room for so much (pipe(7), poll(2)): writing it does not wait."""


class Outlet:
    """For stderr, which may be a terminal that was stopped or a pipe whose reader hangs.

    What finds no room is kept and tried again with the next line; what finds none there is counted in `lost`.
    """

    def __init__(self, descriptor: int, *, kept: int = KEPT) -> None:
        terminal = _reopened(descriptor)
        self._descriptor = descriptor if terminal is None else terminal
        self._never_waits = terminal is not None
        self._given = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._kept = kept
        self._waiting: deque[bytes] = deque()
        self.lost = 0

    @property
    def has_room(self) -> bool:
        """Whether everything so far was taken."""
        return not self._waiting

    def write(self, line: str) -> None:
        """One line, now or later. Never raises: a log that cannot be written must not stop the signing."""
        if len(self._waiting) >= self._kept:
            self.flush()
        if len(self._waiting) >= self._kept:
            self.lost += 1
            return
        self._waiting.append(line.encode("utf-8", "replace"))
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as there is room."""
        while self._waiting:
            rest = self._waiting.popleft()
            try:
                written = os.write(self._descriptor, rest[:_PIECE]) if self._has_room() else 0
            except BlockingIOError:
                written = 0
            except (OSError, ValueError):
                # The reader died or the disk is full: what could not be written is gone.
                self.lost += 1 + len(self._waiting)
                self._waiting.clear()
                return
            if rest := rest[written:]:
                self._waiting.appendleft(rest)
            if not written:
                return

    def close(self) -> None:
        """Write what there is room for, and let go of what was opened here."""
        self.flush()
        if self._never_waits:
            os.close(self._descriptor)
            self._descriptor, self._never_waits = self._given, False

    def _has_room(self) -> bool:
        return self._never_waits or bool(self._poll.poll(0))


def _reopened(descriptor: int) -> int | None:
    """A terminal once more, in a mode of our own: its room is told less exactly than that of a pipe.

    The mode of the descriptor that we were given is shared with whoever gave it.
    """
    try:
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(os.ttyname(descriptor), flags)
    except OSError:
        return None
