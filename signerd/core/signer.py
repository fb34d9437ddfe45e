"""The one door: every answer to a node's hsmd request leaves through `Signer.handle`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from signerd.core import handlers
from signerd.core.handlers.call import Answer, Call
from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.core.policy import pending, permissions
from signerd.core.requests import Context, Refusal, Signed, SigningRequest
from signerd.core.state import entries
from signerd.core.state.book import Book, ChannelId
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec, names
from signerd.errors import MalformedMessage, Refused, SecretError
from signerd.units import Network, UnixTime

SIGN_MESSAGE = 23
ECDH = 1
MOST_FOREIGN_CHANNELS = 50_000
MALFORMED_RULE = "malformed"
LONGEST_REASON = 2000
"""Characters of a refusal's reason."""


class Signer:
    """Answers hsmd requests. Holds keys; owns no state, no clock, no file and no socket.

    Raises SecretError for keys of a 64-byte seed in the hosted dialect: those of a hosted node are others.
    """

    def __init__(self, keys: NodeKeys, network: Network, dialect: Dialect = Dialect.HOSTED) -> None:
        if keys.kind.words and dialect is Dialect.HOSTED:
            raise SecretError("a hosted node has a secret of 32 bytes, not the whole seed of its words")
        self.keys = keys
        self.network = network
        self.dialect = dialect

    def handle(self, request: SigningRequest, book: Book, now: UnixTime) -> Signed | Refusal:
        """The answer and what it changes in `book`, or why there is none.

        Never raises for anything that a node can send. Whoever lets the answer go remembers the changes
        first.
        """
        message = None
        try:
            message = self._read(request)
            answer = self._decide(message, request, book, now)
        except Refused as refused:
            return Refusal(refused.rule, _shortened(refused.message), message=message)
        except MalformedMessage as problem:
            return Refusal(MALFORMED_RULE, _shortened(problem.message), malformed=True, message=message)
        return Signed(answer.raw, answer.changes, message, answer.about, answer.ahead)

    def _read(self, request: SigningRequest) -> Any:
        """The message, if it is one that this signer answers at all to whoever asks."""
        number = codec.message_type(request.raw)
        if number == SIGN_MESSAGE and self.dialect is Dialect.HOSTED:
            # The same operation signs the scheduler's challenges: a node that had it could take the
            # node over with a certificate of its own. This stays refused.
            raise Refused(
                "sign-message", "a node may not have messages signed: the scheduler's challenges are"
            )
        if request.context is not None:
            _check_context(request.context)
        if number not in handlers.ANSWERED:
            raise Refused("unsupported-message", f"this signer does not answer {names.name_of(number)}")
        permissions.require_spoken(number, self.dialect)
        permissions.require_permission(number, request.context)
        return codec.decode(request.raw)

    def _decide(self, message: Any, request: SigningRequest, book: Book, now: UnixTime) -> Answer:
        if message.TYPE in pending.ASKED_FOR:
            pending.require_readable(request.pending)
        foreign = _foreign(request, book)
        _require_ours(message, request.context, book, foreign)
        call = Call(self.keys, self.network, self.dialect, now, book, request.context)
        answer = handlers.HANDLERS[type(message)](message, call)
        return replace(answer, changes=replace(answer.changes, foreign=foreign)) if foreign else answer


def _shortened(reason: str) -> str:
    """A script of the node's choice can be megabytes long."""
    return reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…"


def _foreign(request: SigningRequest, book: Book) -> frozenset[ChannelId]:
    """Channels of another signer that this request's state entries speak of for the first time."""
    if not request.entries:
        return frozenset()
    new = frozenset(
        channel_id
        for channel_id in entries.channels_of_others(request.entries)
        if not book.has_channel(channel_id) and not book.is_foreign(channel_id)
    )
    if new and book.foreign_count + len(new) > MOST_FOREIGN_CHANNELS:
        # They are remembered on disk, and it is the node that names them.
        raise Refused("state-too-many-channels", f"the node speaks of over {MOST_FOREIGN_CHANNELS} channels")
    return new


def _require_ours(message: Any, context: Context | None, book: Book, foreign: frozenset[ChannelId]) -> None:
    """Refuse what concerns a channel whose state only another signer knows. Plain ECDH concerns none."""
    if message.TYPE == ECDH:
        return
    concerned = {ChannelId(context.node_id, context.dbid)} if context is not None and context.dbid else set()
    if (peer_id := getattr(message, "peer_id", None)) is not None:
        # `get_output_scriptpubkey` has its own word for it.
        dbid = message.dbid if hasattr(message, "dbid") else message.channel_id
        concerned.add(ChannelId(peer_id, dbid))
    for channel_id in concerned:
        if channel_id in foreign or book.is_foreign(channel_id):
            raise Refused(
                "channel-foreign",
                f"channel {channel_id} was made under another signer, and its state is not known here",
            )


def _check_context(context: Context) -> None:
    if context.dbid and not secp256k1.is_point(context.node_id):
        raise MalformedMessage(
            f"the context of channel {context.dbid} names a peer of {len(context.node_id)} bytes, no node id"
        )
