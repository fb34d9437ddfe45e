"""Watches a signer's answers, remembers what was signed, and knows what must never happen.

A broken promise is an AssertionError, which a fuzzer takes for a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

from fuzz import landmarks
from signerd.core.keys import commitment
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state import codec as state_codec
from signerd.core.state.book import Book, Changes, ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState
from signerd.core.tx.transaction import Outpoint, Transaction
from signerd.core.wire import codec, names
from signerd.core.wire.channel import ValidateRevocation
from signerd.core.wire.commitment import SignCommitmentTx, SignRemoteCommitmentTx, ValidateCommitmentTx
from signerd.core.wire.session import DevPreinit
from signerd.units import UnixTime

Commitment = tuple[str, ChannelId, int, Outpoint]
FUTURE = 3
"""Secrets of commitments to come that are looked for in every reply, and any that a message names."""
LAST_COMMITMENT = 2**48 - 1


def copy_of(book: MemoryBook) -> MemoryBook:
    """Its values are immutable, so that this is cheap."""
    copy = MemoryBook()
    copy.apply(Changes(book.channels, book.payments, book.node, frozenset(book.foreign)))
    return copy


def content_of(book: MemoryBook) -> tuple[object, ...]:
    """What can be compared with the same at another time."""
    return dict(book.channels), dict(book.payments), book.node, set(book.foreign)


@lru_cache(maxsize=100_000)
def secret_of(signer: Signer, channel_id: ChannelId, number: int) -> bytes:
    """Our per-commitment secret, 32 bytes."""
    return signer.keys.channel(channel_id.peer_id, channel_id.dbid).release_secret(number)


class Store(Book, Protocol):
    """A book that is kept."""

    def commit(self, changes: Changes) -> None: ...


@dataclass
class Witness:
    """One signer, its state, and all that it ever said about commitments."""

    signer: Signer
    secret: bytes
    """Of the node."""
    now: UnixTime
    book: MemoryBook = field(default_factory=MemoryBook)
    signatures: dict[Commitment, bytes] = field(default_factory=dict)
    """What was signed: a signature is a function of what it signs."""
    published: set[tuple[ChannelId, int]] = field(default_factory=set)
    validated: set[tuple[ChannelId, int, Outpoint]] = field(default_factory=set)
    """Commitments of ours that the peer has signed."""
    points: dict[tuple[ChannelId, int], bytes] = field(default_factory=dict)
    """Of the peer's commitments that we have signed."""
    counters: dict[ChannelId, tuple[int, int, int]] = field(default_factory=dict)
    store: Store | None = None
    """Where the same is remembered, if anywhere: it must lead to the same answers."""

    def copy(self) -> Witness:
        return Witness(
            self.signer,
            self.secret,
            self.now,
            copy_of(self.book),
            dict(self.signatures),
            set(self.published),
            set(self.validated),
            dict(self.points),
            dict(self.counters),
        )

    def ask(self, request: SigningRequest) -> Signed | Refusal:
        """The answer; what it changes is remembered. Then once more the same, as after a lost connection."""
        outcome = self._ask(request)
        if isinstance(outcome, Signed):
            known = content_of(self.book)
            again = self._ask(request)
            if isinstance(again, Signed):
                assert again.reply == outcome.reply, "a repetition got another answer"
                assert known == content_of(self.book), "a repetition changed something"
        return outcome

    def _ask(self, request: SigningRequest) -> Signed | Refusal:
        before = content_of(self.book)
        outcome = self.signer.handle(request, self.book, self.now)
        assert before == content_of(self.book), "the state changed before anybody remembered the answer"
        if self.store is not None:
            stored = self.signer.handle(request, self.store, self.now)
            assert stored == outcome, f"from the store it is {stored}, from memory {outcome}"
        number = int.from_bytes(request.raw[:2], "big")
        # Types without a name are all one to a fuzzer: there are so many of them.
        name = names.NAMES.get(number)
        if isinstance(outcome, Refusal):
            assert outcome.rule
            assert outcome.reason
            landmarks.reach(name, outcome.rule)
            return outcome
        landmarks.reach(name, len(outcome.changes.channels), len(outcome.changes.payments))
        message = codec.decode(request.raw)
        self._check_changes(outcome.changes)
        self.book.apply(outcome.changes)
        if self.store is not None:
            self.store.commit(outcome.changes)
        if isinstance(message, DevPreinit):
            # Channels of others become known by what comes with a request, whatever it asks.
            assert outcome.reply == b""
            assert replace(outcome.changes, foreign=frozenset()).empty
            return outcome
        reply = codec.decode_reply(message, outcome.reply)
        assert codec.encode(reply) == outcome.reply
        # A node may have such bytes in what it asks, and gets those back.
        assert self.secret not in outcome.reply or self.secret in request.raw, (
            "the node's secret was given away"
        )
        concerned = _channels(message, request)
        self._check_secrets(message, outcome.reply, concerned)
        self._check_signature(message, reply, concerned)
        self._check_revocation(message, concerned)
        return outcome

    def _check_changes(self, changes: Changes) -> None:
        _check_storable(changes)
        if changes.node is not None:
            assert changes.node.forgotten_dbid >= self.book.node.forgotten_dbid
        for channel_id, after in changes.channels.items():
            before = self.book.channel(channel_id)
            if after is None:
                assert before is not None
                assert before.setup is None, "a channel was removed that had parameters"
                continue
            counters = (after.next_holder, after.next_counterparty, after.next_counterparty_revocation)
            earlier = self.counters.get(channel_id, (0, 0, 0))
            assert all(new >= old for new, old in zip(counters, earlier, strict=True)), "a number went back"
            self.counters[channel_id] = counters
            assert after.next_counterparty <= after.next_counterparty_revocation + 2
            if before is not None:
                _check_step(before, after)

    def _check_secrets(self, message: Any, reply: bytes, concerned: set[ChannelId]) -> None:
        for channel_id in concerned:
            channel = self.book.channel(channel_id)
            current = max(0, channel.next_holder - 1) if channel is not None else 0
            named = {n for name in ("n", "commit_num") if (n := getattr(message, name, -1)) >= current}
            kept = {
                number for number in {*range(current, current + FUTURE), *named} if number <= LAST_COMMITMENT
            }
            # What was signed for the chain may never be revoked any more.
            kept |= {number for known, number in self.published if known == channel_id}
            for number in kept:
                secret = secret_of(self.signer, channel_id, number)
                assert secret not in reply, f"the secret of commitment {number} was given away"

    def _check_signature(self, message: Any, reply: Any, concerned: set[ChannelId]) -> None:
        if isinstance(message, SignRemoteCommitmentTx):
            side = "theirs"
        elif isinstance(message, SignCommitmentTx) and Transaction.parse(message.tx.raw).locktime:
            side = "ours"
        else:
            return
        (channel_id,) = concerned
        channel = self.book.channels[channel_id]
        number = message.commit_num
        outpoint = Transaction.parse(message.tx.raw).inputs[0].outpoint
        signed = self.signatures.setdefault((side, channel_id, number, outpoint), reply.signature.signature)
        assert signed == reply.signature.signature, f"two commitments {number} of {side} were signed"
        if side == "ours":
            assert number + 1 == channel.next_holder, "a commitment of ours was signed that is revoked"
            assert channel.published
            self.published.add((channel_id, number))
        else:
            assert number + 1 == channel.next_counterparty
            assert number >= channel.next_counterparty_revocation, "a revoked commitment was signed again"
            point = message.remote_per_commitment_point
            assert self.points.setdefault((channel_id, number), point) == point, "a number with two points"

    def _check_revocation(self, message: Any, concerned: set[ChannelId]) -> None:
        for channel_id in concerned:
            if isinstance(message, ValidateCommitmentTx):
                spent = Transaction.parse(message.tx.raw).inputs[0].outpoint
                self.validated.add((channel_id, message.commit_num, spent))
            elif isinstance(message, ValidateRevocation):
                point = commitment.point_of(message.per_commitment_secret)
                known = self.points.get((channel_id, message.revoke_num))
                assert known == point, "a secret was taken that is not that of the commitment"
            channel = self.book.channel(channel_id)
            if channel is not None and channel.next_holder > 1:
                current = (channel_id, channel.next_holder - 1, channel.in_force)
                assert current in self.validated, "revoked before its successor was validated"


def _check_storable(changes: Changes) -> None:
    """What is remembered is the same when it comes back from the store."""
    for channel in changes.channels.values():
        assert channel is None or state_codec.decode_channel(state_codec.encode(channel)) == channel
    assert changes.node is None or state_codec.decode_node(state_codec.encode(changes.node)) == changes.node
    for payment in changes.payments.values():
        assert payment is None or 0 <= payment.expires < 2**63, "the store has no place for this time"


def _check_step(before: ChannelState, after: ChannelState) -> None:
    assert before.setup in (None, after.setup), "the parameters of a channel changed"
    assert after.fundings[: len(before.fundings)] == before.fundings
    for name in ("closing", "published", "forgotten"):
        assert getattr(after, name) or not getattr(before, name), f"a channel is no longer {name}"
    if before.closing:
        assert after.next_counterparty == before.next_counterparty
    if after.fundings and before.fundings:
        outpoints = [funding.outpoint for funding in after.fundings]
        assert outpoints.index(after.in_force) >= outpoints.index(before.in_force)
    if after.signed is not None and before.signed is not None and after.signed.number == before.signed.number:
        assert after.signed.point == before.signed.point
        assert after.signed.contents[: len(before.signed.contents)] == before.signed.contents


def _channels(message: Any, request: SigningRequest) -> set[ChannelId]:
    """As the message names one, else as its context does."""
    peer_id, context = getattr(message, "peer_id", None), request.context
    if peer_id is not None:
        found = ChannelId(peer_id, message.dbid if hasattr(message, "dbid") else message.channel_id)
    elif context is not None and context.dbid:
        found = ChannelId(context.node_id, context.dbid)
    else:
        return set()
    return {found} if len(found.peer_id) == 33 else set()
