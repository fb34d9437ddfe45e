"""What a handler is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from signerd.core.keys.channel import ChannelKeys
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Ahead, Context
from signerd.core.state.book import NO_CHANGES, Book, Changes, ChannelId
from signerd.core.state.channel import ChannelState
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire.codec import Message
from signerd.errors import MalformedMessage, Refused
from signerd.units import Network, UnixTime


@dataclass(frozen=True, slots=True)
class Call:
    """One request's surroundings. `context` is None for the main daemon."""

    keys: NodeKeys
    network: Network
    dialect: Dialect
    now: UnixTime
    book: Book
    context: Context | None = None

    @property
    def channel_id(self) -> ChannelId:
        """The context's channel. Raises Refused for a message that the main daemon sends without one."""
        if self.context is None or not self.context.dbid:
            raise Refused(
                "no-channel-context", "this message is about the channel of its context, and has none"
            )
        return ChannelId(self.context.node_id, self.context.dbid)

    def channel(self, channel_id: ChannelId) -> ChannelState:
        """Raises Refused for a channel that is not known, or was forgotten."""
        channel = self.book.channel(channel_id)
        if channel is None:
            raise Refused("channel-unknown", f"no channel {channel_id} is known here")
        return channel

    def channel_keys(self, channel_id: ChannelId) -> ChannelKeys:
        """The keys of a channel, whether it is known or not. Raises MalformedMessage for no peer id."""
        if len(channel_id.peer_id) != 33:
            raise MalformedMessage(f"a peer id has 33 bytes, not {len(channel_id.peer_id)}")
        return self.keys.channel(channel_id.peer_id, channel_id.dbid)


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply, None where nothing is sent, and what has to be remembered before it leaves.

    `about` is what was read with much work on the way, for those who tell of it: a Psbt.
    """

    reply: Message | None
    changes: Changes = NO_CHANGES
    about: Any = field(default=None, repr=False, compare=False)
    ahead: Ahead | None = field(default=None, repr=False, compare=False)

    @property
    def raw(self) -> bytes:
        """The reply's bytes; empty where nothing is sent."""
        return b"" if self.reply is None else codec.encode(self.reply)


Handler = Callable[[Any, Call], Answer]
"""Takes one wire class and the call. Raises Refused or MalformedMessage; pure."""
