"""What watches a running daemon and answers for it: board, history, control socket, watchdog, systemd.

All of it hears of the daemon by its events and a few readings; the loops know of `pulse` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from signerd.config_change import ConfigChange
from signerd.control import document
from signerd.control.document import Readings
from signerd.control.server import ControlServer, Service
from signerd.control.services import ControlService, HealthService
from signerd.control.values import Reload
from signerd.core.keys.node import NodeKeys
from signerd.daemon.clock import Clock
from signerd.daemon.notify import Notifier
from signerd.daemon.pulse import Pulse
from signerd.daemon.watchdog import SelfTest, Watchdog
from signerd.errors import SignerdError, StateError
from signerd.observe import board, readiness
from signerd.observe.board import Board
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.observe.events import Stopping
from signerd.observe.history import History
from signerd.observe.readiness import Health
from signerd.store import disk
from signerd.store.state_db import StateDb

SHOWN_SECONDS = 0.1


class Oversight:
    """Listens from the moment that it is made; answers while `on_duty`."""

    def __init__(self, keys: NodeKeys, bus: Bus, clock: Clock, *, notifier: Notifier | None = None) -> None:
        self.pulse = Pulse(clock)
        self.notifier = notifier or Notifier()
        self.history = History(time.time)
        self.pairings_waiting: Callable[[], int | None] | None = None
        """How many approvals wait for a person; whoever keeps an inbox says so here."""
        self._bus = bus
        self._clock = clock
        self._self_test = SelfTest(keys)
        self._board = Board(started=time.time())
        self._changed = asyncio.Event()
        self._health_service = HealthService()
        self._store: StateDb | None = None
        bus.listen(self._hear)
        bus.listen(self.history.hear)

    @property
    def board(self) -> Board:
        """How things stand."""
        return self._board

    @property
    def health(self) -> Health:
        """Whether it is alive, and can sign."""
        return readiness.health(self._board)

    @contextlib.asynccontextmanager
    async def on_duty(
        self, path: Path, store: StateDb, reload: Reload, more: Sequence[Service] = ()
    ) -> AsyncIterator[None]:
        """The control socket, for the time of the block.

        Raises what makes a socket impossible, and SignerdError if the node key does not work.
        """
        if failure := self._self_test.failure():
            raise SignerdError(
                failure, hint="this machine or this installation computes wrongly; trust neither"
            )
        self._store = store
        control = ControlService(self._status, self.history, self.announced(reload))
        pages = {
            "/status": lambda: document.encode(document.status(*self._status())),
            "/health": lambda: document.encode({"v": 1, **document.health(self.health)}),
        }
        services = [control.add_to, self._health_service.add_to, *more]
        async with ControlServer(path, services, self._bus, pages=pages):
            yield

    async def ready(self) -> None:
        """To be run as the last task of the daemon's: the others have begun when it does."""
        self.notifier.ready()

    def loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What it does by itself, to run beside the daemon's own loops."""
        watchdog = Watchdog(
            notifier=self.notifier, pulse=self.pulse, self_test=self._self_test, bus=self._bus
        )
        return {
            "watchdog": watchdog.run(),
            "state line": self._show(),
        }

    def _hear(self, event: Event) -> None:
        self._board = board.after(self._board, event, time.time())
        if isinstance(event, Stopping):
            self.notifier.status(_line(self.health))
            self.notifier.stopping()
        self._changed.set()

    def _status(self) -> tuple[Board, Readings, float]:
        channels = None
        with contextlib.suppress(StateError):
            channels = self._store.channel_count if self._store else None
        readings = Readings(
            pid=os.getpid(),
            channels=channels,
            last_write=disk.last_write(Path(self._board.store_path)) if self._board.store_path else None,
            pairings_waiting=self.pairings_waiting() if self.pairings_waiting else None,
        )
        return self._board, readings, time.time()

    def announced(self, reload: Reload) -> Reload:
        """The same, told to systemd before and after."""

        async def announced() -> ConfigChange:
            self.notifier.reloading()
            try:
                return await reload()
            finally:
                self.notifier.ready()

        return announced

    async def _show(self) -> None:
        """Keep systemd's line and the standard health service at what the board says."""
        while True:
            self._changed.clear()
            health = self.health
            self.notifier.status(_line(health))
            await self._health_service.show(health)
            # A busy node changes the board hundreds of times a second, and nobody reads as fast.
            await asyncio.sleep(SHOWN_SECONDS)
            await self._changed.wait()


def _line(health: Health) -> str:
    return f"{health.state}: {health.reason}"
