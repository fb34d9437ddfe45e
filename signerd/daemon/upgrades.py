"""Announce our version and canned answers, at the start and after every lost connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from signerd.core import startup
from signerd.core.signer import Signer
from signerd.daemon.backoff import Backoff
from signerd.daemon.pulse import SLACK_SECONDS, Pulse
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.errors import AccessDenied, RemoteError
from signerd.observe import events
from signerd.observe.bus import Bus


@dataclass(frozen=True, slots=True)
class Upgrades:
    """The loop around MaybeUpgrade."""

    link: SchedulerLink
    signer: Signer
    signer_version: str
    backoff: Backoff
    bus: Bus
    pulse: Pulse
    call_seconds: Callable[[], float]

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when our credentials are refused."""
        keys, network = self.signer.keys, self.signer.network
        init_message = startup.init_message(keys, network)
        startup_messages = startup.startup_messages(keys, network)
        pause, returns = 0.0, self.link.returns
        while True:
            await self.link.upgrade_due()
            # Also after a success: a scheduler may accept this call and drop every other.
            if await self.link.pause(pause, returns):
                self.backoff.reset()
            returns = self.link.returns
            self.link.begin_upgrade()
            self.backoff.started()
            try:
                with self.pulse.at_work(
                    "the announcement of our version", self.call_seconds() + SLACK_SECONDS
                ):
                    old_version = await self.link.client.maybe_upgrade(
                        self.signer_version, init_message, startup_messages
                    )
            except AccessDenied:
                raise
            except RemoteError as error:
                self.link.note_upgrade_failed()
                pause = self.backoff.pause()
                self._failed(error, pause)
            else:
                self.link.note_upgraded()
                self.bus.emit(events.Upgraded(old_version=old_version, signer_version=self.signer_version))
                pause = await self._until_due()

    async def _until_due(self) -> float:
        """How long to wait before the next one, once it is due: nothing after a stable while."""
        await self.link.upgrade_due()
        self.link.note_upgrade_failed()
        return self.backoff.pause()

    def _failed(self, error: RemoteError, pause: float) -> None:
        self.bus.emit(
            events.SchedulerCallFailed(
                call="MaybeUpgrade", reason=error.message, hint=error.hint, retry_seconds=round(pause, 2)
            )
        )
