"""The connection to the scheduler, as the loops share it: which client, and is an upgrade due?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from signerd.errors import RemoteError, Unavailable
from signerd.greenlight.scheduler import SchedulerClient

STOOD_SECONDS = 10.0
"""A connection that stood so long and is lost shows an outage; one that is always cut at once shows none."""

_CONNECTION_LOST = "UNAVAILABLE"


class SchedulerLink:
    """One client at a time. MaybeUpgrade is due at the start and after every lost connection."""

    def __init__(self, connect: Callable[[], SchedulerClient]) -> None:
        self._connect = connect
        self._client: SchedulerClient | None = None
        self._upgrade_due = asyncio.Event()
        self._upgraded = asyncio.Event()
        self._recovered = asyncio.Event()
        self._missing = asyncio.Event()
        self._broken = asyncio.Event()
        # Who pauses, and whether that ends when the scheduler is heard of.
        self._pausing: dict[asyncio.Future[None], bool] = {}
        self._returns = 0
        self._upgrade_due.set()
        self._missing.set()

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
            stood = await client.lost()
            if client is self._client:
                if stood >= STOOD_SECONDS:
                    self._broken.set()
                self._lost()

    async def broken(self) -> None:
        """Wait until a connection breaks that had stood for a while; each tells of it once."""
        await self._broken.wait()
        self._broken.clear()

    async def upgrade_due(self) -> None:
        """Wait until MaybeUpgrade has to be sent; it counts as not due from then on."""
        await self._upgrade_due.wait()
        self._upgrade_due.clear()

    def begin_upgrade(self) -> None:
        """It is sent now, on the connection in use: whatever was lost until now is made good by it."""
        self._upgrade_due.clear()

    def note_upgraded(self) -> None:
        """MaybeUpgrade was accepted. Wakes the loops that wait for it or for the scheduler's return."""
        if not self._upgrade_due.is_set():
            self._upgraded.set()
        self._recovered.set()
        self._missing.clear()
        self._wake(all_of_them=False)

    def note_upgrade_failed(self) -> None:
        """It has to be sent again."""
        self._upgrade_due.set()

    async def upgraded(self) -> None:
        """Wait until MaybeUpgrade has completed on the connection in use."""
        await self._upgraded.wait()

    @property
    def is_missing(self) -> bool:
        """Whether the scheduler is not heard of."""
        return self._missing.is_set()

    async def missing(self) -> None:
        """Wait until the scheduler is not heard of: not yet, or not any more."""
        await self._missing.wait()

    async def recovered(self) -> None:
        """Wait until the scheduler is heard of again."""
        await self._recovered.wait()

    @property
    def returns(self) -> int:
        """How often the way to the scheduler has come back."""
        return self._returns

    async def come_back(self, *, works: bool) -> None:
        """There is evidence that the way to the scheduler is open again: end all pauses.

        Unless the connection `works`, it is made anew: it may be in a pause of its own, or dead.
        """
        if not works:
            await self.replace()
        self._returns += 1
        self._wake(all_of_them=True)

    async def returned(self, since: int) -> None:
        """Wait until the way to the scheduler has come back after `returns` was `since`."""
        while self._returns == since:
            await self._woken(by_scheduler=False)

    async def pause(self, seconds: float, since: int | None = None) -> bool:
        """Wait; where the connection is lost, no longer than until the scheduler is heard of again.

        Nor longer than until the way to it comes back, if it has not since `returns` was `since`: then True.
        """
        seen = self._returns if since is None else since
        if self._returns == seen:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken(by_scheduler=not self._recovered.is_set())
        return self._returns != seen

    async def _woken(self, *, by_scheduler: bool) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pausing[woken] = by_scheduler
        try:
            await woken
        finally:
            del self._pausing[woken]

    def _wake(self, *, all_of_them: bool) -> None:
        for woken, by_scheduler in self._pausing.items():
            if (all_of_them or by_scheduler) and not woken.done():
                woken.set_result(None)

    def _lost(self) -> None:
        self._upgraded.clear()
        self._recovered.clear()
        self._missing.set()
        self._upgrade_due.set()
