"""Type number ↔ class; bytes ↔ values. Every byte is consumed, and encoding gives the same bytes back."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from signerd.core.wire import (
    channel,
    closing,
    commitment,
    gossip,
    identity,
    names,
    onchain,
    payments,
    records,
    session,
    sweep,
)
from signerd.core.wire.fields import U16, Field, Reader
from signerd.errors import MalformedMessage

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes: what one gRPC message may hold. A commitment with 483 HTLCs a side comes with its PSBT to more than
300 kB, which is over the 128 KiB of the reference signer; a withdrawal carries whole earlier transactions."""

FAMILIES: tuple[types.ModuleType, ...] = (
    session,
    identity,
    gossip,
    payments,
    channel,
    commitment,
    closing,
    onchain,
    sweep,
)

_NO_REPLY = frozenset({99})

_OTHER_REPLIES = {
    1: (100,),
    11: (114, 115),
    **dict.fromkeys((12, 13, 14, 16, 19, 20, 21, 29, 142, 143, 144, 146), (112,)),
    # Core Lightning's hsmd gives the older reply to the newer question; its node takes both.
    51: (138, 151),
    52: (139, 152),
    147: (148,),
    149: (150,),
}

REPLY_TYPES: Mapping[int, tuple[int, ...]] = {
    number: _OTHER_REPLIES.get(number, (number + 100,)) for number in names.NAMES if number not in _NO_REPLY
}
"""Request number → the numbers that answer it, the usual one first. dev_preinit has no answer."""


class Message(Protocol):
    """Any class of the families."""

    @property
    def TYPE(self) -> int: ...  # noqa: N802


@cache
def classes() -> Mapping[int, type[Any]]:
    """Type number → class, for every message that this codec knows."""
    found: list[Any] = [
        item
        for family in FAMILIES
        for item in vars(family).values()
        if isinstance(item, type) and dataclasses.is_dataclass(item) and item.__module__ == family.__name__
    ]
    return {kind.TYPE: kind for kind in found}


def message_type(raw: bytes) -> int:
    """The 2-byte type. Raises MalformedMessage for what is too short or too long to be a message."""
    if len(raw) < 2:
        raise MalformedMessage(f"a message of {len(raw)} bytes has no type")
    if len(raw) > MAX_MESSAGE:
        raise MalformedMessage(f"a message of {len(raw)} bytes is over the limit of {MAX_MESSAGE}")
    return int.from_bytes(raw[:2], "big")


def decode(raw: bytes) -> Any:
    """The message as its class. Raises MalformedMessage, which names the message and the field."""
    number = message_type(raw)
    kind = classes().get(number)
    if kind is None:
        raise MalformedMessage(f"no message has type {number}")
    reader = Reader(raw, 2)
    try:
        message = records.read(kind, reader)
    except MalformedMessage as problem:
        raise MalformedMessage(f"{kind.__name__} (type {number}): {problem.message}") from None
    if reader.left:
        raise MalformedMessage(f"{kind.__name__} (type {number}): {reader.left} bytes too many")
    return message


def decode_reply(request: Message, raw: bytes) -> Any:
    """The answer to a request. Raises MalformedMessage also for a message that answers something else."""
    number = message_type(raw)
    if number not in REPLY_TYPES.get(request.TYPE, ()):
        raise MalformedMessage(f"type {number} does not answer {names.name_of(request.TYPE)}")
    return decode(raw)


def encode(message: Message) -> bytes:
    """The message as bytes, its type first."""
    return U16.write(message.TYPE) + records.write(message)


def layout(kind: type[Any]) -> tuple[tuple[str, Field[Any]], ...]:
    """The fields of a class in wire order, each with its codec."""
    return records.layout(kind)
