"""The status as a document: one shape for `--json`, for the short question, and for gRPC.

It has the fields of `StatusReply` in proto/control.proto, and no others (a test converts one into the other).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from signerd.observe import readiness
from signerd.observe.board import Board, Link
from signerd.observe.history import Record
from signerd.observe.readiness import Health

VERSION = 1
_DAY = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What is not told by events, and read when it is asked for."""

    pid: int
    channels: int | None = None
    last_write: float | None = None
    pairings_waiting: int | None = None
    """In the inbox; None where nothing is held back for a person."""


Status = Callable[[], tuple[Board, Readings, float]]
"""Board, readings, and the time: all that a document is made of."""


def status(board: Board, readings: Readings, now: float) -> dict[str, Any]:
    """How things stand. What is None is left out."""
    tally = board.tally
    document = {
        "v": VERSION,
        "node_id": board.node_id,
        "network": board.network,
        "pid": readings.pid,
        "now": now,
        "started": board.started,
        "versions": {"signerd": board.version, "announced": board.announced, "before": board.before},
        "health": health(readiness.health(board)),
        "scheduler": _link(board.scheduler),
        "node": _link(board.node),
        "requests": {
            "answered": tally.answered,
            "refused": tally.refused,
            "refused_by_rule": dict(sorted(tally.refused_by_rule.items())),
            "last_answer": tally.last_answer,
            "last_answer_to": tally.last_answer_to,
            "last_refusal": tally.last_refusal,
            "last_refusal_rule": tally.last_refusal_rule,
            "refused_in_a_row": tally.refused_in_a_row,
        },
        "pairing": {
            "approved": board.pairings_approved,
            "refused": board.pairings_refused,
            "waiting": readings.pairings_waiting,
        },
        "store": {
            "path": board.store_path,
            "channels": board.store_channels if readings.channels is None else readings.channels,
            "last_write": readings.last_write,
            "failing": board.store_failing,
        },
        "certificate": {
            "expires": board.certificate_expires,
            "days_left": None
            if board.certificate_expires is None
            else int((board.certificate_expires - now) // _DAY),
        },
    }
    return _without_none(document)


def health(found: Health) -> dict[str, Any]:
    """The part that says whether it can sign."""
    return {"live": found.live, "ready": found.ready, "state": str(found.state), "reason": found.reason}


def encode(document: dict[str, Any]) -> bytes:
    """As the short question is answered."""
    return json.dumps(document).encode() + b"\n"


def fields(record: Record) -> dict[str, str | int | float | bool]:
    """An event's own fields, those that it has."""
    values = ((item.name, getattr(record.event, item.name)) for item in dataclasses.fields(record.event))
    return {name: value for name, value in values if value is not None}


def _link(link: Link) -> dict[str, Any]:
    return dataclasses.asdict(link)


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }
