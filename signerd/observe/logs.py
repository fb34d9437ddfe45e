"""Where events are written: to the journal, as JSON lines or as lines for people."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from signerd.observe import catalogue, events, journal, lines
from signerd.observe.event import Event, Level
from signerd.observe.folding import Folded, Folding
from signerd.observe.outlet import Outlet

Form = Literal["auto", "json", "text", "journal"]
STDERR = 2
_RANKS: Mapping[Level, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}


class Log:
    """Where the daemon's events go. It neither waits nor raises, whatever becomes of its readers."""

    def __init__(
        self,
        *,
        form: Form,
        level: Level,
        node: str | None = None,
        environ: Mapping[str, str] = os.environ,
        descriptor: int | None = None,
        journal_socket: Path = journal.SOCKET,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        descriptor = _stderr() if descriptor is None else descriptor
        self._descriptor = descriptor
        self._journal_socket = journal_socket
        self._node = node
        self._render, self._journal = self._made(form)
        self._outlet = Outlet(descriptor)
        self._folding = Folding()
        self._rank = _RANKS[level]
        self._clock = clock
        self._monotonic = monotonic
        self._told_lost = 0
        self.folded = 0

    @property
    def lost(self) -> int:
        """How many lines nobody took."""
        return self._outlet.lost

    def prepared(self, *, form: Form, level: Level) -> Callable[[], None]:
        """Another form and level; they hold once the result is called, which cannot fail."""
        render, way = self._made(form)

        def commit() -> None:
            if self._journal:
                self._journal.close()
            self._render, self._journal, self._rank = render, way, _RANKS[level]

        return commit

    def _made(self, form: Form) -> tuple[lines.Renderer, journal.Journal | None]:
        chosen = choose(form, self._environ, self._descriptor)
        if chosen == "journal":
            return lines.json_line, journal.Journal(self._journal_socket, node=self._node)
        if chosen == "text":
            return lines.text_renderer(colours=may_colour(self._environ, self._descriptor)), None
        return lines.json_line, None

    def emit(self, event: Event) -> None:
        """One line for one event, or for many that are the same trouble again."""
        if _RANKS[event.LEVEL] < self._rank:
            return
        self.tick()
        same = None if event.LEVEL == "error" else catalogue.sameness(event)
        if same is None or self._folding.shows(same, event, self._monotonic()):
            self._write(event)

    def tick(self) -> None:
        """Say what was left out, once its time has come; to be called every few seconds."""
        for folded in self._folding.ended(self._monotonic()):
            self._sum_up(folded)
        self._outlet.flush()

    def close(self) -> None:
        """Say what was left out so far. An event that comes after all is still shown, on stderr."""
        for folded in self._folding.rest(self._monotonic()):
            self._sum_up(folded)
        if self._journal:
            self._journal.close()
        self._outlet.close()

    def _sum_up(self, folded: Folded) -> None:
        self.folded += folded.count
        self._write(
            events.Repeated(
                of=folded.event.NAME,
                like=lines.sentence(folded.event),
                count=folded.count,
                seconds=round(folded.seconds),
            )
        )

    def _write(self, event: Event) -> None:
        now = self._clock()
        if self._journal and self._journal.send(event, now):
            return
        if self._outlet.has_room and self._outlet.lost > self._told_lost:
            lost, self._told_lost = self._outlet.lost - self._told_lost, self._outlet.lost
            self._outlet.write(self._render(events.LogLinesLost(count=lost), now))
        self._outlet.write(self._render(event, now))


def _stderr() -> int:
    """Where stderr leads, or nowhere for a process that was started without one.

    Its number is given to the next file that is opened then, which may be the store.
    """
    return STDERR if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def choose(
    form: Form, environ: Mapping[str, str], descriptor: int = STDERR
) -> Literal["json", "text", "journal"]:
    """What `auto` is here: the journal where stderr leads to it, text on a terminal, JSON elsewhere."""
    if form != "auto":
        return form
    if journal.is_stream(environ.get("JOURNAL_STREAM"), descriptor):
        return "journal"
    return "text" if os.isatty(descriptor) else "json"


def may_colour(environ: Mapping[str, str], descriptor: int = STDERR) -> bool:
    """Whether it is a terminal that shows colours, for somebody who wants them (no-color.org)."""
    return os.isatty(descriptor) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
