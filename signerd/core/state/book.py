"""How a handler sees the state, and what it hands back to be remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from signerd.core.state.channel import ChannelState
from signerd.core.state.node import ApprovedPayment, NodeState
from signerd.core.tx.transaction import Outpoint
from signerd.units import UnixTime


@dataclass(frozen=True, slots=True)
class ChannelId:
    """A channel as the node names it: the peer (33 bytes) and Core Lightning's database id (64 bits)."""

    peer_id: bytes
    dbid: int

    def __str__(self) -> str:
        return f"{self.peer_id.hex()[:16]}…/{self.dbid}"


class Book(Protocol):
    """The state before a request. Looking something up does not depend on how much there is."""

    @property
    def node(self) -> NodeState: ...

    def channel(self, channel_id: ChannelId) -> ChannelState | None:
        """None for one that was never seen, or was forgotten."""

    def has_channel(self, channel_id: ChannelId) -> bool:
        """Whether `channel` would find it; its state is not looked at."""

    @property
    def channel_count(self) -> int:
        """How many channels are known, forgotten ones that must stay known with them."""

    def channel_funded_by(self, outpoint: Outpoint) -> ChannelId | None:
        """The channel that an output carries, None for any other output."""

    def is_foreign(self, channel_id: ChannelId) -> bool:
        """Whether another signer has made this channel, and we do not know its state."""

    @property
    def foreign_count(self) -> int:
        """How many such channels are known."""

    def payment(self, payment_hash: bytes) -> ApprovedPayment | None:
        """An approval, expired or not."""

    def payments_since(self, time: UnixTime) -> int:
        """How many approvals do not expire before `time`."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different after a request; None as a value removes. Written in one transaction."""

    channels: Mapping[ChannelId, ChannelState | None] = field(default_factory=dict)
    payments: Mapping[bytes, ApprovedPayment | None] = field(default_factory=dict)
    node: NodeState | None = None
    foreign: frozenset[ChannelId] = frozenset()
    """Channels of another signer that were heard of for the first time."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.channels and not self.payments and self.node is None and not self.foreign


NO_CHANGES = Changes()


class MemoryBook:
    """A state that is kept in memory only: for replays and tests."""

    def __init__(self) -> None:
        self.node = NodeState()
        self.channels: dict[ChannelId, ChannelState] = {}
        self.payments: dict[bytes, ApprovedPayment] = {}
        self.foreign: set[ChannelId] = set()
        self._funded: dict[Outpoint, list[ChannelId]] = {}

    @property
    def channel_count(self) -> int:
        return len(self.channels)

    def channel_funded_by(self, outpoint: Outpoint) -> ChannelId | None:
        return next(iter(self._funded.get(outpoint, ())), None)

    def is_foreign(self, channel_id: ChannelId) -> bool:
        return channel_id in self.foreign

    @property
    def foreign_count(self) -> int:
        return len(self.foreign)

    def channel(self, channel_id: ChannelId) -> ChannelState | None:
        return self.channels.get(channel_id)

    def has_channel(self, channel_id: ChannelId) -> bool:
        return channel_id in self.channels

    def payment(self, payment_hash: bytes) -> ApprovedPayment | None:
        return self.payments.get(payment_hash)

    def payments_since(self, time: UnixTime) -> int:
        return sum(payment.expires >= time for payment in self.payments.values())

    def apply(self, changes: Changes) -> None:
        """Remember."""
        for channel_id, channel in changes.channels.items():
            before = self.channels.pop(channel_id, None)
            if channel is not None:
                self.channels[channel_id] = channel
            self._index(channel_id, before, channel)
        for payment_hash, payment in changes.payments.items():
            if payment is None:
                self.payments.pop(payment_hash, None)
            else:
                self.payments[payment_hash] = payment
        self.node = changes.node or self.node
        self.foreign |= changes.foreign

    def _index(self, channel_id: ChannelId, before: ChannelState | None, after: ChannelState | None) -> None:
        old = {item.outpoint for item in before.fundings} if before else set()
        new = {item.outpoint for item in after.fundings} if after else set()
        for outpoint in new - old:
            self._funded.setdefault(outpoint, []).append(channel_id)
        for outpoint in old - new:
            self._funded[outpoint].remove(channel_id)
