"""A network between two ends on loopback, which can be cut, go silent, and come back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

_CHUNK = 65536


class Proxy:
    """Forwards connections of one port to another one. Nobody else gets the port while it refuses."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._reservation = _bound(0)
        self.port: int = self._reservation.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self.accepted: list[float] = []

    @property
    def uri(self) -> str:
        return f"https://localhost:{self.port}"

    async def forward(self) -> None:
        """Take connections and forward them."""
        self._flows = asyncio.Event()
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, sock=_bound(self.port))

    async def refuse(self) -> None:
        """Take no connections; those that stand are not touched."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def cut(self) -> None:
        """Reset all connections, and refuse new ones."""
        await self.refuse()
        await self._end()

    def silence(self) -> None:
        """Forward nothing any more on the connections that stand, and end none; new ones are forwarded."""
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()

    async def close(self) -> None:
        await self.cut()
        self._reservation.close()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(asyncio.get_running_loop().time())
        task = asyncio.create_task(self._carry(reader, writer, self._flows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, far_writer, flows))
                    group.create_task(_copy(far_reader, writer, flows))
            finally:
                for each in (writer, far_writer):
                    each.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            await flows.wait()
            writer.write(data)
            await writer.drain()
    await flows.wait()
    writer.close()


@contextlib.asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    """A proxy that forwards."""
    proxy = Proxy(target)
    try:
        await proxy.forward()
        yield proxy
    finally:
        await proxy.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
