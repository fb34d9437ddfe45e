"""The way to the node: end a stream that may be dead, and a pause when the node can be reached again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

from signerd.daemon.races import first_of
from signerd.daemon.reach import Reach
from signerd.daemon.scheduler_link import STOOD_SECONDS, SchedulerLink
from signerd.errors import RemoteError, SignerdError, Unavailable

_NO_CONNECTION = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


class NodePath:
    """The node moves: what probes have shown holds for one address only."""

    def __init__(self, link: SchedulerLink, reach: Callable[[str], Reach]) -> None:
        """`reach` makes what probes an https URI, and may raise a SignerdError for one that is none."""
        self._link = link
        self._make_reach = reach
        self._uri = ""
        self._reach: Reach | None = None
        self._renewed = asyncio.Event()
        self._stood = False

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """A stream is open: `renew` ends it by `ended`."""
        self._renewed.clear()
        now = asyncio.get_running_loop().time
        since = now()
        try:
            yield
        finally:
            self._stood = now() - since >= STOOD_SECONDS

    async def renew(self) -> None:
        """Begin a new stream now. The node tells on it again what is not answered yet."""
        self._renewed.set()

    async def ended(self) -> NoReturn:
        """Wait for `renew`. Raises Unavailable then: calls are given up before their channel."""
        await self._renewed.wait()
        raise Unavailable("the connection to the node was given up for a new one", code="CANCELLED")

    async def pause(self, seconds: float, *, uri: str, problem: RemoteError | None, returns: int) -> bool:
        """Wait; no longer than until the node, found out of reach, is within reach: then True.

        The same when the way to the scheduler comes back, or if it has since it had done so `returns` times.
        """
        evidence = [self._link.returned(returns), self._renewed.wait()]
        reach = self._reach_of(uri)
        if reach is not None and isinstance(problem, Unavailable) and problem.code in _NO_CONNECTION:
            if self._stood:
                reach.note_break()
            evidence.append(reach.back())
        self._stood = False
        came = await first_of(*evidence, seconds=seconds)
        # It counts once: the next attempt may fail as the last one did.
        self._renewed.clear()
        return came

    def _reach_of(self, uri: str) -> Reach | None:
        if uri != self._uri:
            self._uri, self._reach = uri, None
            # An address that is none is told by the attempt to connect to it.
            with contextlib.suppress(SignerdError):
                self._reach = self._make_reach(uri)
        return self._reach
