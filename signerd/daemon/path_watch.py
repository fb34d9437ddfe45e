"""Notice that the way to the scheduler is open again, or that connections may be dead that do not say so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from signerd.daemon import surroundings
from signerd.daemon.clock import Clock
from signerd.daemon.races import first_of
from signerd.daemon.reach import Reach
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.surroundings import Change, Glance
from signerd.errors import AccessDenied, RemoteError
from signerd.greenlight import reachability
from signerd.greenlight.reachability import Probe
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.units import NodeId

LOOK_SECONDS = 1.0
CHECK_SECONDS = 2.0
"""For a call on a connection that may be dead."""

FAR = ("192.0.2.1", "2001:db8::1")
"""Addresses that are nobody's (RFC 5737, RFC 3849): the way to them is the way to everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathWatch:
    """Two loops: probes, rarely while all is well and often while it is not; a look around once a second."""

    link: SchedulerLink
    node_id: NodeId
    probe: Probe
    reach: Reach
    renew_node: Callable[[], Awaitable[None]]
    clock: Clock
    bus: Bus

    async def run(self) -> None:
        """Until cancelled. Raises AccessDenied when our credentials are refused."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_return())
            group.create_task(self._watch_surroundings())

    async def _watch_return(self) -> None:
        while True:
            returns = self.reach.returns
            # Also while all is well: a network that loses everything, with no change on this machine, ends no
            # connection. A new wait probes soon, an old one rarely.
            other = self.link.recovered() if self.link.is_missing else self.link.missing()
            await first_of(self.reach.back(), other, self._note_break())
            if self.reach.returns == returns:
                continue
            if self.reach.was_silent:
                await self.renew()
            else:
                await self.link.come_back(works=self.link.client.connected)

    async def _note_break(self) -> None:
        await self.link.broken()
        self.reach.note_break()

    async def _watch_surroundings(self) -> None:
        await self.probe.locate()
        before = self._glance()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._glance()
            change, before = surroundings.between(before, now), now
            self._tell(change)
            if change.connections_doubtful:
                await self.renew()
                await self.probe.locate()

    async def renew(self) -> None:
        """Make sure that both connections work now. Raises AccessDenied."""
        await self.link.come_back(works=self.link.client.connected and await self._answers())
        # A node has no call that a signer could try; a new stream costs one handshake.
        await self.renew_node()

    async def _answers(self) -> bool:
        try:
            await self.link.client.get_node_info(self.node_id, wait=False, deadline=CHECK_SECONDS)
        except AccessDenied:
            raise
        except RemoteError:
            return False
        return True

    def _tell(self, change: Change) -> None:
        if change.slept:
            self.bus.emit(events.Resumed(slept_seconds=round(change.slept)))
        if change.moved:
            self.bus.emit(events.NetworkChanged(addresses=", ".join(change.moved)))
        if change.clock_step:
            self.bus.emit(
                events.ClockSet(
                    by_seconds=round(change.clock_step),
                    hint="nothing to do, if it is right now; pairing approvals are judged by this clock",
                )
            )

    def _glance(self) -> Glance:
        address = self.probe.address
        towards = FAR if address is None else (*FAR, address)
        return Glance(
            monotonic=self.clock.monotonic(),
            boottime=self.clock.boottime(),
            wall=float(self.clock.now()),
            sources={each: reachability.source_address(each) for each in towards},
        )
