"""Whether the store can be written; and while it cannot, try again until it can.

What cannot be remembered is not answered. But a disk that is full is emptied by somebody, and a daemon that
has ended by then signs nothing until somebody starts it. So a failure refuses, is told, and is tried again.
The connection to the database stays the same: what failed to be written through it was rolled back there, and
is written over by what comes next. Another file in the same place is never taken for it.

A store whose bytes are wrong has a remedy of its own, which is told once. And what fails again as soon as it
was well is tried ever more rarely, because each recovery costs the node a new stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from signerd.errors import OutputError, StateDamaged, StateError, StateLost
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.store import disk, lineage
from signerd.store.state_db import StateDb

LOOK_SECONDS = 1.0
AHEAD_SECONDS = 5.0
ROOM = 1024 * 1024
"""Bytes that have to be free before the store is used again: some hundred decisions, so that it lasts."""
RELAPSE_SECONDS = 10.0
"""What fails again within that time was not well."""
MOST_SECONDS = 60.0
"""The longest pause between two looks, after relapses, or at a file that is damaged."""

_HINT = "free some space, or see to the disk; signerd goes on by itself as soon as the store can be written"


class StoreHealth:
    """Failing from the first write that failed until one works again."""

    def __init__(self, store: StateDb, path: Path, bus: Bus) -> None:
        self._store = store
        self._path = path
        self._bus = bus
        self._file = _identity(path)
        self._failing = asyncio.Event()
        self._damaged = False
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the store is failing; None while it is not."""
        return self._reason

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Around anything that writes to the store: a failure is noted, and does not come out of here.

        Raises StateLost: no patience brings a lost store back.
        """
        try:
            yield
        except StateLost:
            raise
        except (StateError, OutputError) as error:
            self._note(error)

    async def run(self, well: Callable[[], Awaitable[None]], seconds: float = LOOK_SECONDS) -> None:
        """Until cancelled; calls `well` when it has recovered.

        Raises StateError when another file has taken the store's place.
        """
        now, pause = asyncio.get_running_loop().time, seconds
        recovered: float | None = None
        while True:
            await self._until_failing()
            if recovered is not None:
                relapse = now() - recovered < RELAPSE_SECONDS
                pause = min(pause * 2, MOST_SECONDS) if relapse else seconds
                recovered = None
            await asyncio.sleep(pause)
            self.look()
            if self._reason is None:
                recovered = now()
                await well()
            elif self._damaged:
                pause = min(pause * 2, MOST_SECONDS)

    async def _until_failing(self) -> None:
        """A write that fails says so; a disk that is nearly full is seen before an answer is lost to it."""
        while not self._failing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AHEAD_SECONDS):
                    await self._failing.wait()
            if self._reason is None and (trouble := disk.trouble(self._path)):
                self._note(OutputError(f"{self._path}: {trouble}"))

    def look(self) -> None:
        """Try whether the store can be written again, if it is failing. Raises StateError as `run`."""
        if self._reason is None:
            return
        try:
            if _identity(self._path) != self._file:
                # Whoever starts looks at the file with care, and what is in memory here fits the other one.
                raise _another_file(self._path)
            if (room := _room(self._path)) < ROOM:
                self._reason = f"the disk of {self._path} has {room} bytes left"
                return
        except OSError as error:
            self._reason = f"{self._path} cannot be reached: {error.strerror}"
            return
        try:
            # Whatever failed, it was in some table: one row of lineage would not meet it again.
            self._store.rehearse(thorough=self._damaged)
            # A write to the database and one beside it, each on disk when this returns.
            lineage.count_use(self._store, self._path)
        except (StateError, OutputError) as error:
            self._note(error)
            return
        self._reason, self._damaged = None, False
        self._failing.clear()
        self._bus.emit(events.StoreWell(path=str(self._path)))

    def _note(self, error: StateError | OutputError) -> None:
        damaged = isinstance(error, StateDamaged)
        tell = self._reason is None or (damaged and not self._damaged)
        self._reason = error.message
        self._damaged |= damaged
        self._failing.set()
        if tell:
            hint = error.hint if damaged and error.hint else _HINT
            self._bus.emit(events.StoreFailing(path=str(self._path), reason=error.message, hint=hint))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _room(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _another_file(path: Path) -> StateError:
    return StateError(
        f"{path} is not the file any more that was opened: the disk was changed, or the file replaced",
        hint="start signerd again: it looks at what is there now with care",
    )
