"""What is said of devices that are paired, and of those that are believed no more."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.observe.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingApproved(Event):
    """A device was paired: `by` is `attested`, `owner`, or `auto:` and the pattern of a rule."""

    NAME = "pairing-approved"
    request_id: int
    device: str
    restrictions: str
    by: str
    ms: float | None = None
    audit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingRefused(Event):
    """An approval was refused, by which rule."""

    NAME = "pairing-refused"
    LEVEL = "warning"
    request_id: int
    device: str
    rule: str
    reason: str
    ms: float | None = None
    audit: int | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingWaiting(Event):
    """A valid approval waits for a person; `number` is what `signerd pairing approve` takes."""

    NAME = "pairing-waiting"
    LEVEL = "warning"
    number: int
    device: str
    restrictions: str
    approver: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingExpired(Event):
    """Nobody decided it in time."""

    NAME = "pairing-expired"
    LEVEL = "warning"
    number: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRevoked(Event):
    """`device` is its ID, `name` what it was called when it was paired last."""

    NAME = "device-revoked"
    LEVEL = "warning"
    device: str
    name: str
