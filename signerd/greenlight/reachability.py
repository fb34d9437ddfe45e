"""Does anybody accept a connection at an endpoint? One SYN to each address, and nothing is said."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket

from signerd.greenlight import resolver
from signerd.greenlight.endpoint import Endpoint

PROBE_SECONDS = 2.0
"""The kernel repeats a SYN after one second; what takes longer than two is no way to work on."""

MOST_ADDRESSES = 4
MOST_LOOKUPS = 4
"""A resolver that hangs for its own ten seconds and more may not collect threads without end."""


class Found(enum.Enum):
    """What a probe met: somebody, a machine on which nobody listens, or nothing at all."""

    THERE = "there"
    REFUSED = "refused"
    SILENT = "silent"


class Probe:
    """Asks one endpoint, again and again. `address` is where it was found last."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lookups: set[asyncio.Task[list[str]]] = set()
        self.address: str | None = None

    async def __call__(self, seconds: float = PROBE_SECONDS) -> Found:
        """Whether it accepts a connection within `seconds`; its name is looked up each time."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(seconds):
                return await _best(await self._look_up(), self._endpoint.port)
        return Found.SILENT

    async def locate(self, seconds: float = PROBE_SECONDS) -> None:
        """Look its address up, if that can be done within `seconds`, and send it nothing."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(seconds):
                await self._look_up()

    async def _look_up(self) -> list[str]:
        if len(self._lookups) < MOST_LOOKUPS:
            task = asyncio.create_task(resolver.resolve_all(self._endpoint.host, self._endpoint.port))
            self._lookups.add(task)
            task.add_done_callback(self._looked_up)
        # One that was asked before may be answered first: whichever knows, knows.
        done, _ = await asyncio.wait(self._lookups, return_when=asyncio.FIRST_COMPLETED)
        addresses = next(iter(done)).result()[:MOST_ADDRESSES]
        self.address = addresses[0]
        return addresses

    def _looked_up(self, task: asyncio.Task[list[str]]) -> None:
        self._lookups.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to whoever waited for it, if anybody still did


async def _best(addresses: list[str], port: int) -> Found:
    met = Found.SILENT
    attempts = [asyncio.create_task(_connects(address, port)) for address in addresses]
    try:
        for attempt in asyncio.as_completed(attempts):
            if (found := await attempt) is Found.THERE:
                return found
            if found is Found.REFUSED:
                met = found
    finally:
        for task in attempts:
            task.cancel()
    return met


async def _connects(address: str, port: int) -> Found:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            await asyncio.get_running_loop().sock_connect(probe, (address, port))
    except ConnectionRefusedError:
        return Found.REFUSED
    except OSError:
        return Found.SILENT
    return Found.THERE


def source_address(towards: str) -> str | None:
    """The address from which we would speak to `towards` (an IP address); None where no way leads there.

    Connecting a UDP socket asks the kernel for the route, and sends nothing.
    """
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as asking:
            asking.connect((towards, 9))
            return str(asking.getsockname()[0])
    except OSError:
        return None
