"""The values that cross the signer's one door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from signerd.core.state.book import Changes


@dataclass(frozen=True, slots=True)
class Context:
    """For whom the node asks: a sub-daemon of one channel. `dbid` 0 is the main daemon.

    `node_id` is the peer's, 33 bytes. `capabilities` are Core Lightning's permission bits, 0 where the
    node does not state them.
    """

    node_id: bytes
    dbid: int
    capabilities: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One signer-state entry as it came from the node: canonical JSON, a version, perhaps a signature."""

    key: str
    version: int
    value: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A client's call that is in flight at the node, as its device signed it (not yet verified).

    `timestamp` is in milliseconds, 0 where absent; `pubkey` 65 bytes; `rune` is not base64 here.
    """

    uri: str
    request: bytes = field(repr=False)
    signature: bytes
    pubkey: bytes
    timestamp: int
    rune: bytes = field(repr=False)


Ahead = Callable[[], object]


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What a node asks: `raw` is an hsmd message, type first, without a length."""

    id: int
    raw: bytes = field(repr=False)
    context: Context | None = None
    entries: tuple[Entry, ...] = field(default=(), repr=False)
    pending: tuple[PendingRequest, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Signed:
    """The answer: `reply` is an hsmd message, `changes` has to be remembered before it leaves.

    An empty reply is one that is not sent: dev_preinit has none. `message` is the request as it was decoded
    and `about` what else was read of it, for those who tell of it. `ahead` may be called once the answer is
    on its way: it makes what will be asked for next, and changes nothing else.
    """

    reply: bytes = field(repr=False)
    changes: Changes = field(default_factory=Changes, repr=False)
    message: Any = field(default=None, repr=False, compare=False)
    about: Any = field(default=None, repr=False, compare=False)
    ahead: Ahead | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer, and why: `rule` is stable, `reason` is for people. `malformed` says we could not read it.

    `message` is the request as it was decoded; None if it never was.
    """

    rule: str
    reason: str
    malformed: bool = False
    message: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.rule}: {self.reason}"
