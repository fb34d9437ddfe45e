"""The complete list of things the daemon ever says, each with its level and its fields."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.observe.event import Event
from signerd.observe.pairing_events import (
    DeviceRevoked,
    PairingApproved,
    PairingExpired,
    PairingRefused,
    PairingWaiting,
)

__all__ = ["DeviceRevoked", "PairingApproved", "PairingExpired", "PairingRefused", "PairingWaiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """Everything was checked, and the loops begin."""

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
    """What is remembered. `highest_channel` is what `signerd new-store` asks for if the store gets lost,
    `audit_head` what `signerd audit verify` compares with if it is named there.
    """

    NAME = "store-opened"
    LEVEL = "info"
    path: str
    channels: int
    highest_channel: int
    audit_head: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportUnfinished(Event):
    """`signerd export` asked the host for it, and whether the host did it is not known here."""

    NAME = "export-unfinished"
    LEVEL = "warning"
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailing(Event):
    """The store cannot be written: what has to be remembered is refused."""

    NAME = "store-failing"
    LEVEL = "error"
    path: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWell(Event):
    """The store's disk can be written again."""

    NAME = "store-well"
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNotLocked(Event):
    """The secret's memory may be swapped out."""

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
class CertificateInUse(Event):
    """Until when the device certificate is good, in Unix seconds."""

    NAME = "certificate-in-use"
    expires: int
    days_left: int


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
    """The device certificate ends in so many days; said daily from 30 days before."""

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
    """The scheduler's request stream is open."""

    NAME = "scheduler-stream-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStreamEnded(Event):
    """It ended; it is opened again after `retry_seconds`."""

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
class NodeNotScheduled(Event):
    """The scheduler was asked where the node runs, and names no place, or keeps us waiting."""

    NAME = "node-not-scheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAttached(Event):
    """Attached to the node."""

    NAME = "node-attached"
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDetached(Event):
    """The node's stream ended; the node is looked for again."""

    NAME = "node-detached"
    LEVEL = "warning"
    uri: str
    reason: str
    retry_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAnswered(Event):
    """A request of the node was answered; `audit` is its record, none where alike ones are only counted."""

    NAME = "request-answered"
    request_id: int
    message: str
    ms: float
    audit: int | None = None
    channel: str | None = None
    facts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    """A request of the node was refused, by which rule; `audit` is its record, none where it is counted."""

    NAME = "request-refused"
    LEVEL = "warning"
    request_id: int
    message: str
    rule: str
    reason: str
    ms: float | None = None
    audit: int | None = None
    channel: str | None = None
    facts: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersTaken(Event):
    """The node took an answer again, after it had refused some (`answer-refused`)."""

    NAME = "answers-taken"
    request_id: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage(Event):
    """A stream brought bytes that are no protobuf; there is no request id to answer."""

    NAME = "garbage"
    LEVEL = "warning"
    source: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRefused(Event):
    """Somebody called at the control socket who may not, or one too many."""

    NAME = "control-refused"
    LEVEL = "warning"
    uid: int
    pid: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck(Event):
    """The daemon does not get on: the watchdog is not fed, so that whoever runs it restarts it."""

    NAME = "stuck"
    LEVEL = "error"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstuck(Event):
    """It gets on again."""

    NAME = "unstuck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """This machine slept; what stood before is looked at."""

    NAME = "resumed"
    slept_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChanged(Event):
    """We speak from other addresses than before; what stood before is looked at."""

    NAME = "network-changed"
    addresses: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSet(Event):
    """This machine's clock was put forward, or back (less than zero)."""

    NAME = "clock-set"
    LEVEL = "warning"
    by_seconds: int
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping(Event):
    """A signal arrived."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsListening(Event):
    """Metrics and health are served there."""

    NAME = "metrics-listening"
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(Event):
    """So many more lines like one that was shown before were left out of the log; `like` says which."""

    NAME = "repeated"
    LEVEL = "warning"
    of: str
    like: str
    count: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLinesLost(Event):
    """Whoever reads the log did not, and so many lines found no room."""

    NAME = "log-lines-lost"
    LEVEL = "warning"
    count: int
