"""Answer GETs on a listening socket, with little patience and for few at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from signerd.observe import http_message
from signerd.observe.http_message import BadRequest, Request, Response

Page = Callable[[], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much patience there is with those who ask."""

    connections: int = 32
    head_seconds: float = 5.0
    """Until the whole question is there."""
    body_seconds: float = 10.0
    """Until the whole answer was taken."""
    linger_seconds: float = 1.0
    """After it, until the client closes its side."""


class HttpServer:
    """Serves pages while entered, and closes the socket then. What one client does, another does not feel."""

    def __init__(
        self, listener: socket.socket, pages: Mapping[str, Page], *, limits: Limits | None = None
    ) -> None:
        self._listener = listener
        self._pages = pages
        self._limits = limits or Limits()
        # The oldest first, with what is told to whom is given up: nothing any more, once it has asked.
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter | None] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        start = asyncio.start_unix_server if self._listener.family == socket.AF_UNIX else asyncio.start_server
        self._server = await start(self._accepted, sock=self._listener, limit=http_message.MAX_HEAD)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= self._limits.connections:
            self._give_up_one()
        self._clients[task] = writer
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError):
            pass  # it went away, or did not read
        except asyncio.CancelledError:
            pass  # the server closes, or somebody else wants to ask
        finally:
            del self._clients[task]
            writer.transport.abort()  # after an answer that was taken, there is nothing left to lose

    def _give_up_one(self) -> None:
        """The oldest that has not asked, or else the oldest: who is idle may not keep others from asking."""
        staying = [task for task in self._clients if not task.cancelling()]
        if not staying:
            return
        oldest = next((task for task in staying if self._clients[task]), staying[0])
        if (writer := self._clients[oldest]) is not None:
            writer.write(Response(503, b"too many connections\n").encode())
        oldest.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                head = await reader.readuntil(b"\r\n\r\n")
            self._clients[task] = None
            request = http_message.parse(head)
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            await self._send(writer, Response(431, b"the request is too long\n").encode())
        except TimeoutError:
            await self._send(writer, Response(408, b"the request took too long\n").encode())
        except BadRequest as bad:
            await self._send(writer, bad.response.encode())
        else:
            response = self._answer(request)
            await self._send(writer, response.encode(with_body=request.method != "HEAD"))
        await self._hear_out(reader)

    def _answer(self, request: Request) -> Response:
        if self._listener.family != socket.AF_UNIX and not http_message.is_loopback(request.host):
            return Response(421, b"this is served to its own machine, by the name localhost\n")
        page = self._pages.get(request.path)
        return page() if page else Response(404, b"no such page\n")

    async def _hear_out(self, reader: asyncio.StreamReader) -> None:
        """A socket that is closed over something unread takes back what it sent (RFC 9112, 9.6)."""
        async with asyncio.timeout(self._limits.linger_seconds):
            while await reader.read(http_message.MAX_HEAD):
                pass

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        async with asyncio.timeout(self._limits.body_seconds):
            writer.transport.set_write_buffer_limits(0)  # drain() is content with less than all, otherwise
            writer.write(data)
            writer.write_eof()
            await writer.drain()
