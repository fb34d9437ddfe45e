"""One hosted node: asks its signers, keeps their state, judges what comes back (service greenlight.Node)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import grpc

from signerd.core.keys import secp256k1
from signerd.dev import rpc, verify
from signerd.dev.journal import Journal
from signerd.dev.ledger import Entry, Ledger, Registration
from signerd.dev.listener import Listener
from signerd.dev.node_state import BadEntry, NodeState, field_of
from signerd.dev.signer_requests import SignerRequests
from signerd.greenlight.pb import greenlight_pb2 as pb

FIRST_REQUEST_ID = 1000
HEARTBEAT_REQUEST = verify.HEARTBEAT.to_bytes(2, "big")


class RequestRefused(Exception):
    """A signer answered with an error; a real node goes on waiting for another answer."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer with an error text."""

    request_id: int
    raw: bytes
    error: str


@dataclass(eq=False, slots=True)
class Question:
    """An HSM request that is not answered yet. `outcome` is settled by the first answer or refusal."""

    request_id: int
    raw: bytes
    context: pb.HsmRequestContext | None
    requests: tuple[pb.PendingRequest, ...]
    outcome: asyncio.Future[bytes | Exception] = field(repr=False)
    message: rpc.Encoded | None = field(default=None, repr=False)
    """What every signer is sent, where that does not depend on what it was sent before."""

    def settle(self, outcome: bytes | Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class HostedNode:
    """A registered node, placed or not. `listener` is its own TLS server while it is placed."""

    def __init__(self, registration: Registration, ledger: Ledger, approvals: SignerRequests) -> None:
        self._ledger = ledger
        self.known = verify.Knowledge(registration)
        self.state = NodeState(
            ledger.entries(registration.node_id), lambda new: ledger.save_entries(self.node_id, new)
        )
        self.approvals = approvals
        self.listener: Listener | None = None
        self.session_id = 0
        self.sends_whole_state = False
        """Send all entries with each request, changed or not (for comparisons; the stock node does not)."""
        self.attached = asyncio.Event()
        """Set while at least one signer's stream is open."""
        self.rejections: Journal[Rejection] = Journal()
        self.wrong_answers: Journal[str] = Journal()
        self.late_answers = 0
        self._next_id = FIRST_REQUEST_ID
        self._pending: dict[int, Question] = {}
        self._streams: set[asyncio.Queue[Question]] = set()

    @property
    def registration(self) -> Registration:
        return self.known.registration

    @registration.setter
    def registration(self, registration: Registration) -> None:
        self._ledger.save_node(registration)
        self.known.registration = registration

    @property
    def node_id(self) -> bytes:
        """33 bytes."""
        return self.registration.node_id

    @property
    def grpc_uri(self) -> str:
        """Where the node is; empty when it is not placed."""
        return self.listener.uri if self.listener else ""

    @property
    def signers(self) -> int:
        """How many signers are attached."""
        return len(self._streams)

    # What a test, the demo and the control socket ask for.

    def put(
        self,
        raw: bytes,
        *,
        context: pb.HsmRequestContext | None = None,
        requests: Sequence[pb.PendingRequest] = (),
    ) -> Question:
        """Ask all signers, those to come included, until one answers (hsmd message, 2-byte type first)."""
        question = self.prepare(raw, context=context, requests=requests)
        self._put(question)
        return question

    def prepare(
        self,
        raw: bytes,
        *,
        context: pb.HsmRequestContext | None = None,
        requests: Sequence[pb.PendingRequest] = (),
    ) -> Question:
        """A request for `ask_prepared`: who times that does not time what the node does before it asks."""
        outcome = asyncio.get_running_loop().create_future()
        question = Question(self._next_id, raw, context, tuple(requests), outcome)
        self._next_id += 1
        if self.sends_whole_state:
            question.message = _message_of(question, self.state.live_fields())
        return question

    def _put(self, question: Question) -> None:
        self._pending[question.request_id] = question
        for stream in self._streams:
            stream.put_nowait(question)

    async def ask(
        self,
        raw: bytes,
        *,
        context: pb.HsmRequestContext | None = None,
        requests: Sequence[pb.PendingRequest] = (),
    ) -> bytes:
        """`put`, and the reply (2-byte type first).

        Raises RequestRefused at the first error answer (the request stays pending) and WrongAnswer.
        A cancelled call takes its request back.
        """
        return await self.ask_prepared(self.prepare(raw, context=context, requests=requests))

    async def ask_prepared(self, question: Question) -> bytes:
        """As `ask`, with what `prepare` has made of the request."""
        self._put(question)
        try:
            outcome = await question.outcome
        except asyncio.CancelledError:
            self.withdraw(question)
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def withdraw(self, question: Question) -> None:
        """Forget a request; an answer to it is late from now on."""
        self._pending.pop(question.request_id, None)

    def pending(self) -> list[int]:
        """Request ids without an answer, oldest first."""
        return list(self._pending)

    def fresh_point(self) -> bytes:
        """A new point whose secret we know, so that an ECDH answer for it is judged."""
        while not secp256k1.is_secret(secret := secrets.token_bytes(32)):
            pass
        point = secp256k1.public_key(secret)
        self.known.points[point] = secret
        return point

    async def examine(self, *, without: Collection[str] = ()) -> list[str]:
        """Ask each kind of question that is judged here; names of those answered, in order.

        `without` leaves some out: the reference signer aborts on init, which a stock node answers itself.
        Raises RequestRefused or WrongAnswer at the first that is not answered well.
        """
        wallet_key = verify.child_public_key(self.known.ext_key, 7)
        asked = {
            "heartbeat": HEARTBEAT_REQUEST,
            "init": self.registration.startup[0][0],
            "ecdh": _message(verify.ECDH, self.fresh_point()),
            **{f"derive_secret {r[4:].decode()}": r for r, _ in self.registration.startup[1:]},
            "check_pubkey": _message(verify.CHECK_PUBKEY, (7).to_bytes(4, "big") + wallet_key),
        }
        names = [name for name in asked if name not in without]
        for name in names:
            await self.ask(asked[name])
        return names

    # Service greenlight.Node.

    def methods(self) -> dict[str, rpc.Method]:
        """The part that a signer uses; every other method is UNIMPLEMENTED."""
        return {
            "StreamHsmRequests": rpc.server_stream(pb.Empty, self._stream),
            "RespondHsmRequest": rpc.unary(pb.HsmResponse, self._respond),
        }

    async def _stream(self, _request: pb.Empty, caller: rpc.Caller) -> AsyncGenerator[rpc.Encoded, None]:
        self._require_own_device(caller)
        questions: asyncio.Queue[Question] = asyncio.Queue()
        for question in self._pending.values():
            questions.put_nowait(question)
        self._streams.add(questions)
        self.attached.set()
        try:
            mark = self.state.mark
            yield _with_state(pb.HsmRequest(request_id=0, raw=HEARTBEAT_REQUEST), self.state.live_fields())
            while True:
                question = await questions.get()
                if question.request_id not in self._pending:
                    continue
                new, mark = self.state.since(mark), self.state.mark
                yield question.message or _message_of(question, map(field_of, new))
        finally:
            self._streams.discard(questions)
            if not self._streams:
                self.attached.clear()

    async def _respond(self, response: pb.HsmResponse, caller: rpc.Caller) -> pb.Empty:
        self._require_own_device(caller)
        question = self._pending.get(response.request_id)
        if question is None and response.request_id != 0:
            if not FIRST_REQUEST_ID <= response.request_id < self._next_id:
                raise rpc.Refusal(
                    grpc.StatusCode.INVALID_ARGUMENT, f"request {response.request_id} was never made"
                )
            self.late_answers += 1
            return pb.Empty()
        if response.error:
            raw = question.raw if question else HEARTBEAT_REQUEST
            self.rejections.append(Rejection(response.request_id, raw, response.error))
            if question:
                question.settle(RequestRefused(response.error))
            return pb.Empty()
        if question:
            self._judge(question, response.raw)
        # Stored before anyone hears the answer: a lost state would be a lost promise.
        self._merge(question, response)
        if question:
            del self._pending[question.request_id]
            question.settle(response.raw)
        return pb.Empty()

    def _judge(self, question: Question, reply: bytes) -> None:
        try:
            verify.check(question.raw, reply, self.known)
        except verify.WrongAnswer as wrong:
            raise self._wrong(question, wrong) from wrong

    def _merge(self, question: Question | None, response: pb.HsmResponse) -> None:
        entries = (Entry(e.key, e.version, e.value, e.signature) for e in response.signer_state)
        try:
            self.state.merge(entries)
        except BadEntry as bad:
            raise self._wrong(question, verify.WrongAnswer(str(bad))) from bad

    def _wrong(self, question: Question | None, wrong: verify.WrongAnswer) -> rpc.Refusal:
        self.wrong_answers.append(str(wrong))
        if question:
            question.settle(wrong)
        return rpc.Refusal(grpc.StatusCode.INVALID_ARGUMENT, str(wrong))

    def _require_own_device(self, caller: rpc.Caller) -> None:
        if caller.require_device().node_id != self.node_id:
            raise rpc.Refusal(grpc.StatusCode.PERMISSION_DENIED, "the device belongs to another node")


def _message_of(question: Question, fields: Iterable[bytes]) -> rpc.Encoded:
    request = pb.HsmRequest(
        request_id=question.request_id,
        context=question.context,
        raw=question.raw,
        requests=question.requests,
    )
    return _with_state(request, fields)


def _with_state(request: pb.HsmRequest, fields: Iterable[bytes]) -> rpc.Encoded:
    # In protobuf, fields may stand in any order.
    return rpc.Encoded(b"".join([request.SerializeToString(), *fields]))


def _message(message_type: int, body: bytes) -> bytes:
    return message_type.to_bytes(2, "big") + body
