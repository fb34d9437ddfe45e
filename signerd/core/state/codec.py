"""State values ↔ bytes for the store: MessagePack of the dataclasses, strictly typed, one version byte."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from signerd.core.state.channel import ChannelState
from signerd.core.state.node import NodeState
from signerd.errors import StateDamaged

VERSION = 1
_MARK = bytes([VERSION])
_ENCODER = msgspec.msgpack.Encoder()
_CHANNEL = msgspec.msgpack.Decoder(ChannelState)
_NODE = msgspec.msgpack.Decoder(NodeState)
_HINT = "keep the damaged file; docs/operations.md goes on from there, under A damaged store"

T = TypeVar("T")


def encode(value: ChannelState | NodeState) -> bytes:
    """The value's bytes."""
    return _MARK + _ENCODER.encode(value)


def decode_channel(raw: bytes) -> ChannelState:
    """Raises StateDamaged for anything that `encode` did not write."""
    return _decode(_CHANNEL, raw)


def decode_node(raw: bytes) -> NodeState:
    """Raises StateDamaged for anything that `encode` did not write."""
    return _decode(_NODE, raw)


def _decode(decoder: msgspec.msgpack.Decoder[T], raw: bytes) -> T:
    if raw[:1] != _MARK:
        raise StateDamaged(
            f"a stored value has format {raw[:1].hex() or 'nothing'}, this signerd reads {VERSION}",
            hint=_HINT,
        )
    try:
        return decoder.decode(raw[1:])
    except msgspec.DecodeError as error:
        raise StateDamaged(f"a stored value is damaged: {error}", hint=_HINT) from error
