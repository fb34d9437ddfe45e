"""The connection to the scheduler, as the loops share it: which client, and is an upgrade due?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from signerd.errors import RemoteError, Unavailable
from signerd.greenlight.scheduler import SchedulerClient

_CONNECTION_LOST = "UNAVAILABLE"


class SchedulerLink:
    """One client at a time. MaybeUpgrade is due at the start and after every lost connection."""

    def __init__(self, connect: Callable[[], SchedulerClient]) -> None:
        self._connect = connect
        self._client: SchedulerClient | None = None
        self._upgrade_due = asyncio.Event()
        self._upgraded = asyncio.Event()
        self._recovered = asyncio.Event()
        self._upgrade_due.set()

    @property
    def client(self) -> SchedulerClient:
        """The client in use; ask anew for every call, it may have been replaced."""
        if self._client is None:
            raise RuntimeError("the link is not open")
        return self._client

    async def open(self) -> None:
        """Make the first client. It connects with its first call."""
        self._client = await self._connect().__aenter__()

    async def close(self) -> None:
        """Close the client; its calls fail."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)

    async def replace(self) -> None:
        """Leave a connection that is dead without saying so, and begin a new one."""
        old, self._client = self._client, await self._connect().__aenter__()
        self._lost()
        if old is not None:
            await old.__aexit__(None, None, None)

    def note_failure(self, error: RemoteError) -> None:
        """A call failed: if the connection was lost, the upgrade is due again."""
        if isinstance(error, Unavailable) and error.code == _CONNECTION_LOST:
            self._lost()

    async def watch(self) -> None:
        """Notice a lost connection even while no call is on it; until cancelled."""
        while True:
            client = self.client
            await client.lost()
            if client is self._client:
                self._lost()

    async def upgrade_due(self) -> None:
        """Wait until MaybeUpgrade has to be sent; it counts as not due from then on."""
        await self._upgrade_due.wait()
        self._upgrade_due.clear()

    def note_upgraded(self) -> None:
        """MaybeUpgrade was accepted. Wakes the loops that wait for it or for the scheduler's return."""
        if not self._upgrade_due.is_set():
            self._upgraded.set()
        self._recovered.set()

    def note_upgrade_failed(self) -> None:
        """It has to be sent again."""
        self._upgrade_due.set()

    async def upgraded(self) -> None:
        """Wait until MaybeUpgrade has completed on the connection in use."""
        await self._upgraded.wait()

    async def pause(self, seconds: float) -> None:
        """Wait; where the connection is lost, no longer than until the scheduler is heard of again."""
        if self._recovered.is_set():
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._recovered.wait()
        except TimeoutError:
            return

    def _lost(self) -> None:
        self._upgraded.clear()
        self._recovered.clear()
        self._upgrade_due.set()
