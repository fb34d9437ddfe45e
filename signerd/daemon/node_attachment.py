"""Find the node, attach to it, answer its requests in order until it goes away, and find it again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.wire import names
from signerd.daemon.backoff import Backoff
from signerd.daemon.clock import Clock
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.signing_service import SigningService
from signerd.errors import AccessDenied, Rejected, RemoteError
from signerd.greenlight import translate
from signerd.greenlight.known_entries import KnownEntries
from signerd.greenlight.node import NodeClient
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.values import Undecodable
from signerd.observe import events
from signerd.observe.bus import Bus

_POLL_RAN_OUT = "DEADLINE_EXCEEDED"
_NEARLY = 0.9


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
    known: KnownEntries = field(default_factory=KnownEntries)

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when the scheduler refuses our credentials."""
        while True:
            await self.link.upgraded()
            uri = await self._find()
            if uri:
                await self._session(uri)

    async def _find(self) -> str | None:
        """One poll: the node's URI, or None after a pause."""
        node_id = self.service.signer.keys.node_id
        started, poll_seconds = self.clock.monotonic(), self.poll_seconds()
        self.calls.started()
        try:
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
            await self._failed(error)
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

    async def _failed(self, error: RemoteError) -> None:
        pause = self.calls.pause()
        self.bus.emit(
            events.SchedulerCallFailed(
                call="GetNodeInfo", reason=error.message, hint=error.hint, retry_seconds=round(pause, 2)
            )
        )
        await self.link.pause(pause)

    async def _session(self, uri: str) -> None:
        self.sessions.started()
        try:
            async with self.connect(uri) as node, node.requests(self.known) as requests:
                self.bus.emit(events.NodeAttached(uri=uri))
                async for request in requests:
                    if isinstance(request, Undecodable):
                        self.bus.emit(events.Garbage(source="node", size=len(request.raw)))
                    else:
                        await self._answer(node, request)
            reason = "the node closed the stream"
        except RemoteError as error:
            # Even a refusal: the scheduler hands out the address, and must not be able to end us with it.
            reason = error.message
        pause = self.sessions.pause()
        self.bus.emit(events.NodeDetached(uri=uri, reason=reason, retry_seconds=round(pause, 2)))
        await asyncio.sleep(pause)

    async def _answer(self, node: NodeClient, message: greenlight_pb2.HsmRequest) -> None:
        started = self.clock.monotonic()
        request = translate.signing_request(message)
        outcome = self.service.answer(request)
        if isinstance(outcome, Signed) and message.signer_state:
            # Only now: of a request that is refused, nothing is remembered.
            self.known.remember(message.signer_state)
        try:
            await node.respond(translate.hsm_response(request.id, outcome))
        except Rejected as error:
            # Another signer may have been quicker; the stream is none the worse for it.
            outcome = Refusal("answer-not-taken", error.message)
        elapsed = (self.clock.monotonic() - started) * 1000
        # Once we wait for the next request.
        asyncio.get_running_loop().call_soon(self._tell, request, outcome, round(elapsed, 2))

    def _tell(self, request: SigningRequest, outcome: Signed | Refusal, milliseconds: float) -> None:
        name = names.name_of(int.from_bytes(request.raw[:2], "big"))
        if isinstance(outcome, Refusal):
            self.bus.emit(
                events.RequestRefused(
                    request_id=request.id, message=name, rule=outcome.rule, reason=outcome.reason
                )
            )
        else:
            self.bus.emit(events.RequestAnswered(request_id=request.id, message=name, ms=milliseconds))
