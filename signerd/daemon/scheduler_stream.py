"""Stay on the scheduler's request stream, and answer pairing approvals on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from signerd.daemon.backoff import Backoff
from signerd.daemon.pairing_inbox import PairingInbox
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.errors import AccessDenied, RemoteError
from signerd.greenlight.pb import scheduler_pb2
from signerd.greenlight.scheduler import SignerRequests
from signerd.greenlight.values import Undecodable
from signerd.observe import events
from signerd.observe.bus import Bus


@dataclass(slots=True)
class SchedulerStream:
    """The loop around SignerRequestsStream."""

    link: SchedulerLink
    inbox: PairingInbox
    backoff: Backoff
    bus: Bus
    _given_up: bool = field(default=False, init=False)
    _reading: asyncio.Timeout | None = field(default=None, init=False)

    async def renew(self) -> None:
        """Begin a new stream as soon as none is being answered: the scheduler asks again on that one."""
        self._given_up = True
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when our credentials are refused, StateError for the store."""
        while True:
            self.backoff.started()
            returns = self.link.returns
            self._given_up = False
            try:
                async with self.link.client.signer_requests() as stream:
                    await self._serve(stream)
                reason = "it was given up for a new one" if self._given_up else "the scheduler closed it"
            except AccessDenied:
                raise
            except RemoteError as error:
                self.link.note_failure(error)
                reason = error.message
            pause = self.backoff.pause()
            self.bus.emit(events.SchedulerStreamEnded(reason=reason, retry_seconds=round(pause, 2)))
            if await self.link.pause(pause, returns):
                self.backoff.reset()

    async def _serve(self, stream: SignerRequests) -> None:
        self.inbox.answers.opened()
        beside = [
            asyncio.create_task(self._announce(stream)),
            asyncio.create_task(self.inbox.answers.send_on(stream)),
        ]
        try:
            while (request := await self._next(stream)) is not None:
                if isinstance(request, Undecodable):
                    self.bus.emit(events.Garbage(source="scheduler", size=len(request.raw)))
                    continue
                response, event = self.inbox.answer(request)
                try:
                    if response is not None:
                        await stream.answer(response)
                finally:
                    if event is not None:
                        # Once we wait for the next request.
                        asyncio.get_running_loop().call_soon(self.bus.emit, event)
        finally:
            for task in beside:
                task.cancel()

    async def _next(self, stream: SignerRequests) -> scheduler_pb2.SignerRequest | Undecodable | None:
        """The next request; None where the stream ends or is given up, which no answer is cut off by."""
        if self._given_up:
            return None
        scope = self._reading = asyncio.timeout(None)
        try:
            async with scope:
                return await anext(stream, None)
        except TimeoutError:
            if not scope.expired():
                raise
            return None
        finally:
            self._reading = None

    async def _announce(self, stream: SignerRequests) -> None:
        try:
            await stream.opened()
        except RemoteError:
            return  # the reader of the stream meets the same error, and tells
        self.bus.emit(events.SchedulerStreamOpen())
