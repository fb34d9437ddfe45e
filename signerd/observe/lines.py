"""An event as one line: JSON, or text for people."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

from signerd.observe import catalogue
from signerd.observe.event import Event

Value = str | int | float | bool
Renderer = Callable[[Event, float], str]
"""An event and its Unix time → one line, with its end."""

_MAX_FIELD = 2000
_COLUMN = 24
_json = json.JSONEncoder(ensure_ascii=False).encode


def fields_of(event: Event) -> dict[str, Value]:
    """What an event tells, without what it leaves open; text from outside is cleaned and cut."""
    return {
        name: plain(value)
        for name in catalogue.field_names(type(event))
        if (value := getattr(event, name)) is not None
    }


def plain(value: object) -> Value:
    """A value as it may be shown. What is no text and no number is not: it could be a secret."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, tuple):
        return _clean(" ".join(str(plain(item)) for item in value))
    return f"({type(value).__name__}, not shown)"


def json_line(event: Event, at: float) -> str:
    """One JSON object: timestamp, level and name first."""
    headline = {"timestamp": _time(at), "level": event.LEVEL, "event": event.NAME}
    return _json(headline | fields_of(event)) + "\n"


def sentence(event: Event) -> str:
    """The name and the fields, for readers of the journal."""
    if not (fields := fields_of(event)):
        return event.NAME
    return f"{event.NAME}: " + " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())


def text_renderer(*, colours: bool) -> Renderer:
    """Lines for a terminal."""
    # Here, because it loads what draws on terminals: a tenth of the memory of a daemon that never does.
    import structlog  # noqa: PLC0415

    draw = structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=_COLUMN, sort_keys=False)

    def line(event: Event, at: float) -> str:
        entry: dict[str, Any] = {"timestamp": _time(at), "level": event.LEVEL, "event": event.NAME}
        return f"{draw(None, event.LEVEL, entry | fields_of(event))}\n"

    return line


def _time(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _quoted(value: Value) -> str:
    text = str(value)
    return _json(text) if " " in text or '"' in text or not text else text


def _clean(text: str) -> str:
    shown = text[:_MAX_FIELD]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return shown if len(text) <= _MAX_FIELD else shown + "…"
