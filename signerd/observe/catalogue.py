"""What is known of each kind of event beside its fields: its id, its repeats, what to do about it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from signerd.observe import events
from signerd.observe.event import Event

_IDS = uuid.UUID("6f1c3c6e-5d0f-4a55-9a3c-0d8d5a6f7b21")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `same`: fields by which two of a kind are the same trouble again; None, where each is news."""

    advice: str
    same: tuple[str, ...] | None = None


_NEWS = Entry("")
_field_names: dict[type[Event], tuple[str, ...]] = {}
_message_ids: dict[type[Event], str] = {}

CATALOGUE: Mapping[type[Event], Entry] = {
    events.Started: Entry(""),
    events.CommandsNotChecked: Entry(
        "know it: [what it signs](signing.md#what-is-not-looked-at-yet)",
    ),
    events.StateStartedAnew: Entry(
        "if the node has channels, stop and bring the file back, "
        "or see [A lost store](operations.md#a-lost-store)"
    ),
    events.StoreOpened: Entry("note the number with your backups"),
    events.MemoryNotLocked: Entry("raise the limit for locked memory, as the line says"),
    events.CredentialsReadable: Entry("type what the line says"),
    events.SafetyLowered: Entry("be sure that you meant it"),
    events.CertificateExpires: Entry("`signerd recover`, then restart"),
    events.Upgraded: Entry(""),
    events.SchedulerStreamOpen: Entry(""),
    events.SchedulerStreamEnded: Entry("nothing, unless it repeats", same=("reason",)),
    events.SchedulerCallFailed: Entry(
        "read `reason` and `hint`, if it repeats",
        same=("call", "reason"),
    ),
    events.NodeAttached: Entry(""),
    events.NodeDetached: Entry("nothing: hosted nodes come and go", same=("reason",)),
    events.RequestAnswered: Entry(""),
    events.AnswersTaken: Entry(""),
    events.RequestRefused: Entry(
        "`signerd explain` with the number at `audit`",
        same=("message", "rule"),
    ),
    events.Garbage: Entry("ask the operator of the service, if it repeats", same=("source",)),
    events.PairingApproved: Entry("did you pair it?"),
    events.PairingRefused: Entry("look the rule up: [Rules](pairing.md#rules)", same=("rule",)),
    events.StoreFailing: Entry("see to the disk: [A disk that fails](operations.md#a-disk-that-fails)"),
    events.StoreWell: Entry(""),
    events.CertificateInUse: Entry(""),
    events.NodeNotScheduled: Entry("if it should run: `signerd schedule`"),
    events.PairingWaiting: Entry("`signerd pairing list`, and [compare the code](pairing.md#the-inbox)"),
    events.PairingExpired: Entry("approve again on the device, and decide sooner", same=()),
    events.DeviceRevoked: Entry("was it you?"),
    events.ControlRefused: Entry(
        "which user and process; with several of yours, who keeps calling", same=("uid", "reason")
    ),
    events.Stuck: Entry("systemd restarts signerd; report it"),
    events.Unstuck: Entry(""),
    events.ExportUnfinished: Entry("`signerd export` again"),
    events.Resumed: Entry(""),
    events.NetworkChanged: Entry(""),
    events.ClockSet: Entry("nothing, if it is right now; approvals of pairings are judged by it"),
    events.ConfigWarning: Entry("mend it"),
    events.ConfigReloaded: Entry("restart, if `needs_restart` says so"),
    events.ConfigReloadFailed: Entry("mend it, and send SIGHUP again"),
    events.MetricsListening: Entry(""),
    events.Repeated: Entry("what you do about the event that `of` names"),
    events.LogLinesLost: Entry("find out what stopped reading"),
    events.Stopping: Entry(""),
    events.Failed: Entry("do what `hint` says"),
}


def sameness(event: Event) -> tuple[object, ...] | None:
    """What two events have in common that are the same trouble again; None for one that is always news."""
    same = CATALOGUE.get(type(event), _NEWS).same
    if same is None:
        return None
    return (event.NAME, *(getattr(event, name) for name in same))


def field_names(kind: type[Event]) -> tuple[str, ...]:
    """The fields of a kind of event, in their order."""
    names = _field_names.get(kind)
    if names is None:
        names = _field_names[kind] = tuple(item.name for item in dataclasses.fields(kind))
    return names


def message_id(kind: type[Event]) -> str:
    """Its id in journals, for ever: a UUID of version 5 of its name (RFC 9562), as journald writes one."""
    known = _message_ids.get(kind)
    if known is None:
        known = _message_ids[kind] = uuid.uuid5(_IDS, kind.NAME).hex
    return known


def kinds() -> list[type[Event]]:
    """Everything that the daemon ever says."""
    return [
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    ]


def table() -> Iterator[str]:
    """The rows of docs/events.md."""
    yield "| event | level | meaning | fields | what to do | `MESSAGE_ID` |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind in kinds():
        meaning = " ".join((kind.__doc__ or "").split())
        fields = ", ".join(f"`{name}`" for name in field_names(kind))
        advice = CATALOGUE.get(kind, _NEWS).advice
        yield f"| `{kind.NAME}` | {kind.LEVEL} | {meaning} | {fields} | {advice} | `{message_id(kind)}` |"
