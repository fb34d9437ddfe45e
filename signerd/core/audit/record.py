"""One decision as it is recorded: its fields, its canonical bytes, and how each record binds the one before.

The canonical bytes of a record are JSON: one object, keys sorted, no blanks, UTF-8 without escapes for what
is not ASCII, whole numbers only, and no field that has nothing in it. No text holds a control character.

    genesis     = SHA-256("signerd audit v1" || name of the store (16) || node id (33))
    hash of n   = SHA-256(hash of n - 1 (32) || canonical bytes of n)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from signerd.core.state.book import ChannelId
from signerd.errors import MalformedMessage

VERSION = 1
DOMAIN = b"signerd audit v1"
LONGEST_TEXT = 500
"""Characters of a text that came from outside."""

Kind = Literal["request", "pairing"]
Outcome = Literal["answered", "refused"]
Fact = int | str | tuple[str, ...]

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_KINDS = {"request", "pairing"}
_OUTCOMES = {"answered", "refused"}
_FIELDS = {
    "v", "number", "time", "kind", "request_id", "message", "outcome", "channel", "rule", "reason", "facts",
    "request_sha256", "reply_sha256", "count", "since",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was asked and what became of it. Times in Unix seconds, digests are SHA-256 (32 bytes).

    `count` is how many alike decisions this stands for, of which the first was at `since`: what repeats too
    often is counted.
    """

    time: int
    kind: Kind
    request_id: int
    message: str
    outcome: Outcome
    channel: ChannelId | None = None
    rule: str | None = None
    reason: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    request_digest: bytes | None = None
    reply_digest: bytes | None = None
    count: int = 1
    since: int | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether it got no answer."""
        return self.outcome == "refused"


@dataclass(frozen=True, slots=True)
class Record:
    """A decision and its place: numbers begin with 1 and go up by 1."""

    number: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class Head:
    """The last record of a chain, and the hash that binds it and all before it; number 0 for none."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """From what `str` gives. Raises MalformedMessage."""
        number, _, digest = text.strip().partition(":")
        if not number.isascii() or not number.isdecimal() or len(number) > 18 or len(digest) != 64:
            raise MalformedMessage("a head is a number, a colon and 64 hexadecimal digits")
        try:
            return cls(int(number), bytes.fromhex(digest))
        except ValueError:
            raise MalformedMessage("a head ends in 64 hexadecimal digits") from None

    def next(self, raw: bytes) -> Head:
        """With one more record, of these canonical bytes."""
        return Head(self.number + 1, hashlib.sha256(self.hash + raw).digest())


def genesis(store_name: bytes, node_id: bytes) -> Head:
    """Before the first record of a store (16 bytes) of a node (33 bytes)."""
    return Head(0, hashlib.sha256(DOMAIN + store_name + node_id).digest())


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Text from outside, so that it fits in a record: printable, and not too long."""
    shown = text[:longest]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
    return shown if len(text) <= longest else shown + "…"


def channel_name(channel: ChannelId) -> str:
    """`<peer id in hex>/<database id>`."""
    return f"{channel.peer_id.hex()}/{channel.dbid}"


def document(record: Record) -> dict[str, Any]:
    """The record as JSON has it."""
    decision = record.decision
    found: dict[str, Any] = {
        "v": VERSION,
        "number": record.number,
        "time": decision.time,
        "kind": decision.kind,
        "request_id": decision.request_id,
        "message": decision.message,
        "outcome": decision.outcome,
    }
    if decision.channel is not None:
        found["channel"] = channel_name(decision.channel)
    if decision.rule is not None:
        found["rule"] = decision.rule
    if decision.reason is not None:
        found["reason"] = decision.reason
    if decision.facts:
        found["facts"] = dict(decision.facts)
    if decision.request_digest is not None:
        found["request_sha256"] = decision.request_digest.hex()
    if decision.reply_digest is not None:
        found["reply_sha256"] = decision.reply_digest.hex()
    if decision.count != 1:
        found["count"] = decision.count
    if decision.since is not None:
        found["since"] = decision.since
    return found


def canonical(record: Record) -> bytes:
    """The bytes that are stored and hashed."""
    return _ENCODER.encode(document(record)).encode()


def parse(raw: bytes) -> Record:
    """The record of these canonical bytes. Raises MalformedMessage for any others."""
    try:
        found = json.loads(raw)
        record = _read(found)
        exact = found.keys() <= _FIELDS and _ENCODER.encode(found).encode() == raw
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedMessage(f"not an audit record: {type(error).__name__}") from error
    if not exact:
        raise MalformedMessage("not an audit record in its canonical form")
    return record


def _read(found: dict[str, Any]) -> Record:
    if found["v"] != VERSION:
        raise MalformedMessage(f"an audit record of version {found['v']!r}, and this signerd reads {VERSION}")
    if found["kind"] not in _KINDS or found["outcome"] not in _OUTCOMES:
        raise ValueError("kind or outcome")
    if not all(type(found[key]) is int for key in ("number", "time", "request_id")):
        raise TypeError("a number")
    decision = Decision(
        time=found["time"],
        kind=found["kind"],
        request_id=found["request_id"],
        message=found["message"],
        outcome=found["outcome"],
        channel=_channel(found.get("channel")),
        rule=found.get("rule"),
        reason=found.get("reason"),
        facts={
            key: tuple(value) if isinstance(value, list) else value
            for key, value in found.get("facts", {}).items()
        },
        request_digest=_digest(found.get("request_sha256")),
        reply_digest=_digest(found.get("reply_sha256")),
        count=found.get("count", 1),
        since=found.get("since"),
    )
    return Record(found["number"], decision)


def _channel(text: str | None) -> ChannelId | None:
    if text is None:
        return None
    peer, _, dbid = text.partition("/")
    return ChannelId(bytes.fromhex(peer), int(dbid))


def _digest(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
