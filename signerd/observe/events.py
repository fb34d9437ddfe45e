"""The complete list of things the daemon ever says, each with its level and its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything below. Fields are plain text and numbers; no event has a field for a secret."""

    NAME: ClassVar[str]
    LEVEL: ClassVar[Level] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    NAME = "started"
    node_id: str
    network: str
    signer_version: str
    scheduler: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsNotChecked(Event):
    """What the node asks is held against the channels and the wallet, not against its owner's commands."""

    NAME = "commands-not-checked"
    LEVEL = "warning"
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStartedAnew(Event):
    """There was no store. Channels from before are unknown, also what was revoked in them."""

    NAME = "state-started-anew"
    LEVEL = "warning"
    path: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOpened(Event):
    """What is remembered. `highest_channel` is what `signerd new-store` asks for if the store gets lost."""

    NAME = "store-opened"
    LEVEL = "info"
    path: str
    channels: int
    highest_channel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNotLocked(Event):
    NAME = "memory-not-locked"
    LEVEL = "warning"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsReadable(Event):
    """Others on this machine can read the credentials, which hold the device key."""

    NAME = "credentials-readable"
    LEVEL = "warning"
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyLowered(Event):
    """A rule that the configuration lowers, said at every start."""

    NAME = "safety-lowered"
    LEVEL = "warning"
    key: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigWarning(Event):
    """Something in the configuration that may not be what was meant."""

    NAME = "config-warning"
    LEVEL = "warning"
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloaded(Event):
    """The configuration was read again: which keys hold from now on, and which wait for a restart."""

    NAME = "config-reloaded"
    applied: str
    needs_restart: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloadFailed(Event):
    """It was read again and is wrong: everything is as it was."""

    NAME = "config-reload-failed"
    LEVEL = "error"
    reason: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateExpires(Event):
    NAME = "certificate-expires"
    LEVEL = "warning"
    days_left: int
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded(Event):
    """MaybeUpgrade was accepted."""

    NAME = "upgraded"
    old_version: str
    signer_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStreamOpen(Event):
    NAME = "scheduler-stream-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStreamEnded(Event):
    NAME = "scheduler-stream-ended"
    LEVEL = "warning"
    reason: str
    retry_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerCallFailed(Event):
    """MaybeUpgrade or GetNodeInfo failed and will be tried again."""

    NAME = "scheduler-call-failed"
    LEVEL = "warning"
    call: str
    reason: str
    hint: str | None
    retry_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAttached(Event):
    NAME = "node-attached"
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDetached(Event):
    NAME = "node-detached"
    LEVEL = "warning"
    uri: str
    reason: str
    retry_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAnswered(Event):
    NAME = "request-answered"
    request_id: int
    message: str
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    NAME = "request-refused"
    LEVEL = "warning"
    request_id: int
    message: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(Event):
    """A stream brought bytes that are no protobuf; there is no request id to answer."""

    NAME = "garbage"
    LEVEL = "warning"
    source: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingApproved(Event):
    NAME = "pairing-approved"
    request_id: int
    device: str
    restrictions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingRefused(Event):
    NAME = "pairing-refused"
    LEVEL = "warning"
    request_id: int
    device: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping(Event):
    NAME = "stopping"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The daemon ends with an error that it cannot mend itself."""

    NAME = "failed"
    LEVEL = "error"
    reason: str
    hint: str | None
    exit_code: int
