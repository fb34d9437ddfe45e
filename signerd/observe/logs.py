"""Events as JSON lines or as lines for people, on stderr."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Callable
from typing import Literal, TextIO

import structlog

from signerd.observe.events import Event, Level

_MAX_FIELD = 2000
_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Log:
    """Where the daemon's events go."""

    def __init__(
        self, *, form: Literal["auto", "json", "text"], level: Level, stream: TextIO | None = None
    ) -> None:
        self._out = stream or sys.stderr
        self._logger = self._made(form, level)

    def prepared(self, *, form: Literal["auto", "json", "text"], level: Level) -> Callable[[], None]:
        """Another form and level; they hold once the result is called, which cannot fail."""
        logger = self._made(form, level)

        def commit() -> None:
            self._logger = logger

        return commit

    def _made(
        self, form: Literal["auto", "json", "text"], level: Level
    ) -> structlog.typing.FilteringBoundLogger:
        out = self._out
        text = form == "text" or (form == "auto" and out.isatty())
        colours = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        renderer: structlog.typing.Processor = (
            structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=24)
            if text
            else structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
        )
        logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            structlog.WriteLogger(out),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _headline_first,
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        )
        return logger

    def emit(self, event: Event) -> None:
        """One line for one event. Text from outside is cleaned and cut before it gets here or a terminal."""
        fields = {
            item.name: _clean(value)
            for item in dataclasses.fields(event)
            if (value := getattr(event, item.name)) is not None
        }
        # A log that cannot be written (its reader died, its disk is full) must not stop the signing.
        with contextlib.suppress(OSError, ValueError):
            self._logger.log(_LEVELS[event.LEVEL], event.NAME, **fields)


def _headline_first(
    _logger: object, _method: str, entry: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    headline = ("timestamp", "level", "event")
    return {key: entry[key] for key in headline} | {k: v for k, v in entry.items() if k not in headline}


def _clean(value: object) -> object:
    if not isinstance(value, str):
        return value
    shown = value[:_MAX_FIELD]
    text = shown
    if not shown.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return text if len(value) <= _MAX_FIELD else text + "…"
