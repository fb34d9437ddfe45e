"""Stay on the scheduler's request stream, and answer pairing approvals on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from signerd.core.pairing import Approved, Denied
from signerd.daemon.backoff import Backoff
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.signing_service import SigningService
from signerd.errors import AccessDenied, MalformedMessage, RemoteError
from signerd.greenlight import translate
from signerd.greenlight.pb import scheduler_pb2
from signerd.greenlight.scheduler import SignerRequests
from signerd.greenlight.values import Undecodable
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.events import Event


@dataclass(frozen=True, slots=True)
class SchedulerStream:
    """The loop around SignerRequestsStream."""

    link: SchedulerLink
    service: SigningService
    backoff: Backoff
    bus: Bus
    answer_refusals: Callable[[], bool]

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when our credentials are refused, StateError for the store."""
        while True:
            self.backoff.started()
            try:
                async with self.link.client.signer_requests() as stream:
                    await self._serve(stream)
                reason = "the scheduler closed it"
            except AccessDenied:
                raise
            except RemoteError as error:
                self.link.note_failure(error)
                reason = error.message
            pause = self.backoff.pause()
            self.bus.emit(events.SchedulerStreamEnded(reason=reason, retry_seconds=round(pause, 2)))
            await self.link.pause(pause)

    async def _serve(self, stream: SignerRequests) -> None:
        announcement = asyncio.create_task(self._announce(stream))
        try:
            async for request in stream:
                if isinstance(request, Undecodable):
                    self.bus.emit(events.Garbage(source="scheduler", size=len(request.raw)))
                    continue
                response, event = self._answer(request)
                try:
                    if response is not None:
                        await stream.answer(response)
                finally:
                    # Once we wait for the next request.
                    asyncio.get_running_loop().call_soon(self.bus.emit, event)
        finally:
            announcement.cancel()

    async def _announce(self, stream: SignerRequests) -> None:
        try:
            await stream.opened()
        except RemoteError:
            return  # the reader of the stream meets the same error, and tells
        self.bus.emit(events.SchedulerStreamOpen())

    def _answer(
        self, request: scheduler_pb2.SignerRequest
    ) -> tuple[scheduler_pb2.SignerResponse | None, Event]:
        """What to send, and what to log once it is sent: nobody should wait for a log."""
        try:
            approval = translate.pairing_approval(request)
        except MalformedMessage as problem:
            refused = events.PairingRefused(
                request_id=request.request_id, device="", rule="malformed", reason=problem.message
            )
            return translate.empty_response(request.request_id) if self.answer_refusals() else None, refused
        outcome = self.service.decide_pairing(approval)
        response = translate.signer_response(request.request_id, outcome)
        match outcome:
            case Approved():
                return response, events.PairingApproved(
                    request_id=request.request_id,
                    device=approval.device_name,
                    restrictions=approval.restrictions,
                )
            case Denied():
                # The reference signer is silent here; what a scheduler makes of `empty` is its own affair.
                return response if self.answer_refusals() else None, events.PairingRefused(
                    request_id=request.request_id,
                    device=approval.device_name,
                    rule=outcome.rule,
                    reason=outcome.reason,
                )
