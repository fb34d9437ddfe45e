"""Answers of a running signer as JSON documents, and moments as people read them."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message


def plain(message: Message) -> dict[str, Any]:
    """Every field under its own name; None for what is not set. Times are whole seconds."""
    return {
        field.name: (
            None
            if field.has_presence and not message.HasField(field.name)
            else _value(getattr(message, field.name))
        )
        for field in message.DESCRIPTOR.fields
    }


def moment(seconds: float) -> str:
    """In the time of this machine, to the minute."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _value(value: Any) -> Any:
    if hasattr(value, "DESCRIPTOR"):
        return plain(value)
    if isinstance(value, float):
        return int(value)
    if isinstance(value, str | int | bool):
        return value
    return [_value(item) for item in value]
