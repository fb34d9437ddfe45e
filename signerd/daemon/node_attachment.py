"""Find the node, attach to it, answer its requests in order until it goes away, and find it again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from signerd.core.audit.record import Record, channel_name
from signerd.core.audit.words import facts_line
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.wire import names
from signerd.daemon.backoff import Backoff
from signerd.daemon.clock import Clock
from signerd.daemon.node_path import NodePath
from signerd.daemon.pulse import SLACK_SECONDS, Pulse
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.signing_service import SigningService
from signerd.errors import AccessDenied, AlreadyExists, NotFound, Rejected, RemoteError, first_error
from signerd.greenlight import translate
from signerd.greenlight.known_entries import KnownEntries
from signerd.greenlight.node import HsmRequests, NodeClient
from signerd.greenlight.values import Undecodable
from signerd.observe import events
from signerd.observe.bus import Bus

NOT_SCHEDULED_SECONDS = 2.0
"""Where a node runs, a scheduler says within a fraction of it."""

_POLL_RAN_OUT = "DEADLINE_EXCEEDED"
_NEARLY = 0.9
_UNDER_WAY = 16
"""Answers that the node has not acknowledged yet."""


@dataclass(slots=True)
class _UnderWay:
    """The answers of one session: room for more, and whether the node refused the last that it spoke of."""

    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_UNDER_WAY))
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAttachment:
    """The loop around GetNodeInfo and the node's request stream.

    `calls` counts failed calls, `sessions` those that ended, `placement` the polls without a result.
    """

    link: SchedulerLink
    service: SigningService
    connect: Callable[[str], NodeClient]
    calls: Backoff
    sessions: Backoff
    placement: Backoff
    clock: Clock
    bus: Bus
    poll_seconds: Callable[[], float]
    probe_seconds: Callable[[], float]
    answer_seconds: Callable[[], float]
    pulse: Pulse
    path: NodePath
    known: KnownEntries = field(default_factory=KnownEntries)

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when the scheduler refuses our credentials."""
        while True:
            await self.link.upgraded()
            with self._telling():
                while not (uri := await self._find()):
                    await self.link.upgraded()
            await self._session(uri)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say once that the node does not run, if it is not found soon."""
        tell = events.NodeNotScheduled()
        soon = asyncio.get_running_loop().call_later(NOT_SCHEDULED_SECONDS, self.bus.emit, tell)
        try:
            yield
        finally:
            soon.cancel()

    async def _find(self) -> str | None:
        """One poll: the node's URI, or None after a pause."""
        node_id = self.service.signer.keys.node_id
        started, returns, poll_seconds = self.clock.monotonic(), self.link.returns, self.poll_seconds()
        self.calls.started()
        try:
            with self.pulse.at_work("the question where the node is", poll_seconds + SLACK_SECONDS):
                info = await self.link.client.get_node_info(node_id, wait=True, deadline=poll_seconds)
        except AccessDenied:
            raise
        except RemoteError as error:
            # Only our own deadline ends a poll in peace: a scheduler that says so at once is one that fails.
            ran_out = self.clock.monotonic() - started >= poll_seconds * _NEARLY
            if ran_out and error.code == _POLL_RAN_OUT and await self._alive():
                await asyncio.sleep(self.placement.pause())
                return None
            self.link.note_failure(error)
            await self._failed(error, returns)
            return None
        self.calls.reset()
        if not info.grpc_uri:
            # A scheduler that does not hold the call open answers at once, again and again.
            await asyncio.sleep(self.placement.pause())
            return None
        self.placement.reset()
        return info.grpc_uri

    async def _alive(self) -> bool:
        """Whether the scheduler still answers after a long poll ran out; if not, connect anew."""
        try:
            await self.link.client.get_node_info(
                self.service.signer.keys.node_id, wait=False, deadline=self.probe_seconds()
            )
        except AccessDenied:
            raise
        except RemoteError:
            await self.link.replace()
            return False
        return True

    async def _failed(self, error: RemoteError, returns: int) -> None:
        pause = self.calls.pause()
        self.bus.emit(
            events.SchedulerCallFailed(
                call="GetNodeInfo", reason=error.message, hint=error.hint, retry_seconds=round(pause, 2)
            )
        )
        if await self.link.pause(pause, returns):
            self.calls.reset()

    async def _session(self, uri: str) -> None:
        self.sessions.started()
        reason, problem = "the node closed the stream", None
        returns = self.link.returns
        try:
            async with (
                self.connect(uri) as node,
                self.path.in_use(),
                node.requests(self.known) as requests,
            ):
                self.bus.emit(events.NodeAttached(uri=uri))
                async with asyncio.TaskGroup() as answers:
                    renewal = answers.create_task(self.path.ended())
                    await self._serve(node, requests, answers)
                    renewal.cancel()
        except* RemoteError as failures:
            # Even a refusal: the scheduler hands out the address, and must not be able to end us with it.
            problem = first_error(failures)
            reason = problem.message
        pause = self.sessions.pause()
        self.bus.emit(events.NodeDetached(uri=uri, reason=reason, retry_seconds=round(pause, 2)))
        if await self.path.pause(pause, uri=uri, problem=problem, returns=returns):
            self.sessions.reset()

    async def _serve(self, node: NodeClient, requests: HsmRequests, answers: asyncio.TaskGroup) -> None:
        """Decide one request after the other; what was decided travels while the next one is decided."""
        under_way = _UnderWay()
        async for message in requests:
            if isinstance(message, Undecodable):
                self.bus.emit(events.Garbage(source="node", size=len(message.raw)))
                continue
            started = self.clock.monotonic()
            request = translate.signing_request(message)
            outcome = self.service.answer(request)
            record = self.service.latest
            elapsed = (self.clock.monotonic() - started) * 1000
            # A node that sends and does not take its answers is not read any further.
            await under_way.room.acquire()
            answers.create_task(self._respond(node, request, outcome, under_way))
            # Two turns of the loop, and the answer is on the wire: what does not concern it comes behind it.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if isinstance(outcome, Signed):
                # Only of an answer: of a request that is refused, nothing is remembered.
                self.known.remember(message.signer_state)
                if outcome.ahead is not None:
                    # Not here: if it failed, nothing else would have to.
                    asyncio.get_running_loop().call_soon(outcome.ahead)
            self._tell(request, outcome, record, round(elapsed, 2))

    async def _respond(
        self, node: NodeClient, request: SigningRequest, outcome: Signed | Refusal, under_way: _UnderWay
    ) -> None:
        try:
            with self.pulse.at_work("an answer to the node", self.answer_seconds() + SLACK_SECONDS):
                await node.respond(translate.hsm_response(request.id, outcome))
        except (AlreadyExists, NotFound) as error:
            # Another signer may have been quicker; the stream is none the worse for it.
            self._tell(request, Refusal("answer-not-taken", error.message), None, 0.0)
        except Rejected as error:
            # A late answer is no reason: a node takes those without a word.
            under_way.refused = True
            self._tell(request, Refusal("answer-refused", error.message), None, 0.0)
        else:
            if under_way.refused:
                under_way.refused = False
                self.bus.emit(events.AnswersTaken(request_id=request.id, message=_name(request)))
        finally:
            under_way.room.release()

    def _tell(
        self, request: SigningRequest, outcome: Signed | Refusal, record: Record | None, milliseconds: float
    ) -> None:
        name, told = _name(request), _told(record)
        if isinstance(outcome, Refusal):
            self.bus.emit(
                events.RequestRefused(
                    request_id=request.id,
                    message=name,
                    rule=outcome.rule,
                    reason=outcome.reason,
                    ms=milliseconds,
                    **told,
                )
            )
        else:
            self.bus.emit(
                events.RequestAnswered(request_id=request.id, message=name, ms=milliseconds, **told)
            )


def _name(request: SigningRequest) -> str:
    return names.name_of(int.from_bytes(request.raw[:2], "big"))


def _told(record: Record | None) -> dict[str, Any]:
    """Of a decision's record, what its line says."""
    if record is None:
        return {}
    decision = record.decision
    return {
        "audit": record.number or None,
        "channel": None if decision.channel is None else channel_name(decision.channel),
        "facts": facts_line(decision.facts),
    }
