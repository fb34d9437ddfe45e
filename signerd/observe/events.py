"""The complete list of things the daemon ever says, each with its level and its fields."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

Level = Literal["debug", "info", "warning", "error"]

_MAY_BE_TOLD = re.compile(r"(str|int|float|bool|UnixTime|tuple\[str, \.\.\.\]|Literal\[[^]]*\])( \| None)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything below. Fields are plain text and numbers: no class can have one for anything else."""

    NAME: ClassVar[str]
    LEVEL: ClassVar[Level] = "info"

    def __init_subclass__(cls) -> None:
        # Bytes and Secret are how secrets are held: neither is plain, so neither can be told.
        for name, kind in inspect.get_annotations(cls).items():
            if not (str(kind).startswith("ClassVar") or _MAY_BE_TOLD.fullmatch(str(kind))):
                raise TypeError(f"{cls.__name__}.{name}: an event cannot tell a {kind}")


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
    """What is remembered. `highest_channel` is what `signerd new-store` asks for if the store gets lost."""

    NAME = "store-opened"
    LEVEL = "info"
    path: str
    channels: int
    highest_channel: int


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
    """A request of the node, and how many milliseconds it took."""

    NAME = "request-answered"
    request_id: int
    message: str
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    """A request of the node was refused, by which rule."""

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
    """A device was paired, and with which restrictions."""

    NAME = "pairing-approved"
    request_id: int
    device: str
    restrictions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingRefused(Event):
    """An approval was refused, by which rule."""

    NAME = "pairing-refused"
    LEVEL = "warning"
    request_id: int
    device: str
    rule: str
    reason: str


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
