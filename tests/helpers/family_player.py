"""Play recorded hsmd requests to the handlers that need no commitment: a signer without its door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers import gossip, identity, payments, session
from signerd.core.handlers.call import Call, Handler
from signerd.core.keys.channel import Basepoints
from signerd.core.keys.node import NodeKeys
from signerd.core.policy import pending, permissions
from signerd.core.requests import Context, PendingRequest
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState, Funding, Setup
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint
from signerd.core.wire import codec
from signerd.errors import MalformedMessage, Refused
from signerd.units import Network, Secret, UnixTime

HANDLERS: Mapping[type[Any], Handler] = {
    kind: handler
    for family in (session, identity, gossip, payments)
    for kind, handler in family.HANDLERS.items()
}
NUMBERS = frozenset(kind.TYPE for kind in HANDLERS)

NEW_CHANNEL, SETUP_CHANNEL = 30, 31


def context_of(recorded: Mapping[str, Any] | None) -> Context | None:
    """Of a step: the reference's recording names the bits `capabilities`, Core Lightning's `permissions`."""
    if recorded is None:
        return None
    bits = recorded["capabilities"] if "capabilities" in recorded else recorded["permissions"]
    return Context(bytes.fromhex(recorded["node_id"]), recorded["dbid"], bits)


class Player:
    """Remembers from request to request what the handlers want remembered."""

    def __init__(self, secret: str | NodeKeys, network: Network, dialect: Dialect) -> None:
        self.keys = NodeKeys.derive(Secret(bytes.fromhex(secret))) if isinstance(secret, str) else secret
        self.network = network
        self.dialect = dialect
        self.book = MemoryBook()

    def answer(
        self, raw: bytes, context: Context | None, now: int, calls: tuple[PendingRequest, ...] = ()
    ) -> bytes:
        """The reply. Raises Refused or MalformedMessage."""
        number = codec.message_type(raw)
        if number in pending.ASKED_FOR:
            pending.require_readable(calls)
        permissions.require_spoken(number, self.dialect)
        permissions.require_permission(number, context)
        message = codec.decode(raw)
        call = Call(self.keys, self.network, self.dialect, UnixTime(now), self.book, context)
        answer = HANDLERS[type(message)](message, call)
        self.book.apply(answer.changes)
        return answer.raw

    def watch(self, raw: bytes, context: Context | None) -> None:
        """Learn of a channel from a request of another family, as far as announcements need it."""
        number = int.from_bytes(raw[:2], "big")
        if number not in (NEW_CHANNEL, SETUP_CHANNEL):
            return
        try:
            message = codec.decode(raw)
            if number == NEW_CHANNEL:
                self.book.channels.setdefault(ChannelId(message.peer_id, message.dbid), ChannelState())
            elif context is not None:
                self._set_up(ChannelId(context.node_id, context.dbid), message)
        except (MalformedMessage, Refused):
            return

    def _set_up(self, channel_id: ChannelId, message: Any) -> None:
        points = message.remote_basepoints
        setup = Setup(
            is_outbound=message.is_outbound,
            push_msat=message.push_value,
            holder_delay=message.local_to_self_delay,
            counterparty_delay=message.remote_to_self_delay,
            holder_shutdown_script=message.local_shutdown_script,
            holder_shutdown_index=message.local_shutdown_wallet_index,
            counterparty=Basepoints(
                funding=message.remote_funding_pubkey,
                revocation=points.revocation,
                payment=points.payment,
                htlc=points.htlc,
                delayed=points.delayed_payment,
            ),
            counterparty_shutdown_script=message.remote_shutdown_script,
            channel_type=message.channel_type,
        )
        funding = Funding(
            Outpoint(message.funding_txid, message.funding_txout),
            message.channel_value,
            message.remote_funding_pubkey,
        )
        channel = self.book.channels.get(channel_id, ChannelState())
        if channel.setup is None:
            self.book.channels[channel_id] = channel.set_up(setup, funding)
