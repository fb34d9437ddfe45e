"""Stay on the scheduler's request stream, and answer pairing approvals on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from signerd.daemon.backoff import Backoff
from signerd.daemon.pairing_inbox import PairingInbox
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.errors import AccessDenied, RemoteError
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
    _open: asyncio.Timeout | None = field(default=None, init=False)

    async def renew(self) -> None:
        """Begin a new stream now. The scheduler asks again on it what is not answered yet."""
        scope, self._open = self._open, None
        if scope is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when our credentials are refused, StateError for the store."""
        while True:
            self.backoff.started()
            returns = self.link.returns
            scope = self._open = asyncio.timeout(None)
            try:
                async with self.link.client.signer_requests() as stream, scope:
                    await self._serve(stream)
                reason = "the scheduler closed it"
            except AccessDenied:
                raise
            except TimeoutError:
                if not scope.expired():
                    raise
                reason = "it was given up for a new one"
            except RemoteError as error:
                self.link.note_failure(error)
                reason = error.message
            finally:
                self._open = None
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
            async for request in stream:
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

    async def _announce(self, stream: SignerRequests) -> None:
        try:
            await stream.opened()
        except RemoteError:
            return  # the reader of the stream meets the same error, and tells
        self.bus.emit(events.SchedulerStreamOpen())
