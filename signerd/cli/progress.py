"""A progress bar on stderr, when somebody looks at it and there is something to wait for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from signerd.cli import output

if TYPE_CHECKING:
    from rich import progress

SHOWN_FROM = 64 * 1024 * 1024
"""Bytes: less is done before anybody has read the bar."""


class Bar:
    """Steps with a name, each so many bytes of so many. Silent without a terminal."""

    def __init__(self, shown: progress.Progress | None = None, *, size: int | None = None) -> None:
        self._shown = shown
        self._size = size
        self._tasks: dict[str, progress.TaskID] = {}

    def restart(self, step: str, *, done: int, total: int) -> None:
        """From now on `step` has `done` of `total` bytes."""
        if self._shown is not None:
            self._shown.reset(self._task(step), total=total, completed=done)

    def advance(self, step: str, count: int) -> None:
        """So many bytes more; a step that is new begins."""
        if self._shown is not None:
            self._shown.advance(self._task(step), count)

    def say(self, line: str) -> None:
        """A line for people, above the bar."""
        if self._shown is None:
            output.talk(line)
        else:
            self._shown.console.print(output.plain(line), markup=False, highlight=False, soft_wrap=True)

    def _task(self, step: str) -> progress.TaskID:
        assert self._shown is not None
        if step not in self._tasks:
            self._tasks[step] = self._shown.add_task(step, total=self._size)
        return self._tasks[step]


@contextlib.contextmanager
def bar(size: int | None) -> Iterator[Bar]:
    """A bar for something of `size` bytes (None: not known)."""
    if not sys.stderr.isatty() or (size is not None and size < SHOWN_FROM):
        yield Bar()
        return
    from rich import progress
    from rich.console import Console

    with progress.Progress(
        progress.TextColumn("{task.description:>11}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as shown:
        yield Bar(shown, size=size)
