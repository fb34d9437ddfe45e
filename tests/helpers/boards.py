"""Boards as a life leaves them."""

from __future__ import annotations

import dataclasses
from typing import Any

from signerd.observe import board, events
from signerd.observe.board import Board
from signerd.observe.event import Event

NOW = 1_800_000_000.0

_SAMPLES: dict[str, Any] = {
    "str": "some text – ja",
    "int": 7,
    "float": 0.5,
    "bool": True,
    "str | None": "a hint",
    "int | None": 9,
    "float | None": 1.5,
}


def event_of_every_kind() -> list[Event]:
    """One of each of the catalogue, with all its fields set."""
    return [
        kind(**{item.name: _SAMPLES[str(item.type)] for item in dataclasses.fields(kind)})
        for kind in Event.__subclasses__()
    ]


def started(at: float = NOW - 1000) -> Board:
    """A daemon that has just said who it is."""
    event = events.Started(
        node_id="02" * 33,
        network="regtest",
        signer_version="v25.05",
        scheduler="https://scheduler.example",
        version="0.1.0",
    )
    return board.after(Board(started=at), event, at)


def later(found: Board, *happened: Event, at: float = NOW - 100, step: float = 1.0) -> Board:
    """After these, one after the other."""
    for number, event in enumerate(happened):
        found = board.after(found, event, at + number * step)
    return found


CONNECTED: tuple[Event, ...] = (
    events.StoreOpened(path="/var/lib/signerd/signerd.db", channels=2, highest_channel=5),
    events.CertificateInUse(expires=int(NOW) + 400 * 86400, days_left=400),
    events.Upgraded(old_version="v24.11", signer_version="v25.05"),
    events.SchedulerStreamOpen(),
)

ATTACHED = events.NodeAttached(uri="https://node.example:443")


def refused(rule: str = "sign-message") -> Event:
    return events.RequestRefused(request_id=1, message="sign_message (type 23)", rule=rule, reason="no")


def answered() -> Event:
    return events.RequestAnswered(request_id=1, message="ecdh_req (type 1)", ms=0.5)


def busy_board() -> Board:
    """One on which every field has something, and that is ready."""
    return later(
        started(),
        *CONNECTED,
        events.SchedulerStreamEnded(reason="lost", retry_seconds=2.0),
        events.SchedulerCallFailed(call="GetNodeInfo", reason="away", hint=None, retry_seconds=500.0),
        events.NodeDetached(uri="https://node.example:443", reason="gone", retry_seconds=500.0),
        ATTACHED,
        events.NodeDetached(uri="https://node.example:443", reason="gone", retry_seconds=500.0),
        events.SchedulerStreamOpen(),
        events.SchedulerCallFailed(call="GetNodeInfo", reason="away", hint=None, retry_seconds=500.0),
        refused(),
        answered(),
        refused(),
        refused("no-such-channel"),
        events.PairingApproved(request_id=2, device="phone", restrictions="", by="attested"),
        events.PairingRefused(request_id=3, device="tablet", rule="stale", reason="old"),
    )
