"""Answer at a Unix socket: look at who it is, and hand the connection on to gRPC.

gRPC does not say who called on a Unix socket. So we accept, ask the kernel for the caller's user, and then
pass bytes to and fro between the caller and a gRPC server that listens where nobody else gets to. A short
question (`GET /status`) is answered in place: whoever asks it need not load gRPC, which takes longer than
all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc.aio

from signerd.control.peer import Peer
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.store import socket_file

Service = Callable[[grpc.aio.Server], None]
"""Adds a service to the server, before that starts."""

Page = Callable[[], bytes]
"""Makes the JSON document that a short question is answered with."""

_MAX_QUESTION = 4096
_CHUNK = 65536
_MAX_REQUEST = 256 * 1024
_STREAMS_PER_CONNECTION = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much patience there is with callers."""

    connections: int = 240
    """Three descriptors each: with the usual limit of 1024, as many are left for the signer as it needs."""
    first_seconds: float = 5.0
    """Until a caller has said what it wants."""
    silence_seconds: float = 20.0
    """After which a caller is asked for a sign of life."""
    idle_seconds: float = 60.0
    """After which a connection without a question on it is closed."""


class ControlServer:
    """Serves at `path` while entered. Raises on entering what `socket_file.listen_private` raises."""

    def __init__(
        self,
        path: Path,
        services: Sequence[Service],
        bus: Bus,
        *,
        pages: Mapping[str, Page] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._path = path
        self._services = services
        self._bus = bus
        self._pages = pages or {}
        self._limits = limits or Limits()
        self._inner = ""
        self._callers: set[asyncio.Task[None]] = set()
        self._exits = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as exits:
            listener = socket_file.listen_private(self._path)
            exits.callback(socket_file.remove, self._path, self._path.lstat())
            exits.callback(listener.close)
            hidden = socket_file.HiddenSocket(self._path.parent)
            exits.callback(hidden.close)
            server = self._grpc_server(hidden.bind_address)
            exits.push_async_callback(server.stop, None)
            await server.start()
            self._inner = hidden.hide()
            exits.push_async_callback(self._send_away)
            accepting = await asyncio.start_unix_server(self._accepted, sock=listener, limit=_CHUNK)
            exits.callback(accepting.close)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    def _grpc_server(self, address: str) -> grpc.aio.Server:
        limits = self._limits
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", _MAX_REQUEST),
                ("grpc.max_concurrent_streams", _STREAMS_PER_CONNECTION),
                ("grpc.server_handshake_timeout_ms", int(limits.first_seconds * 1000)),
                # Who asks half a question and goes quiet is noticed: it does not answer a ping.
                ("grpc.keepalive_time_ms", int(limits.silence_seconds * 1000)),
                ("grpc.keepalive_timeout_ms", int(limits.first_seconds * 1000)),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.max_connection_idle_ms", int(limits.idle_seconds * 1000)),
            ]
        )
        for add in self._services:
            add(server)
        server.add_insecure_port(f"unix:{address}")
        return server

    async def _send_away(self) -> None:
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if not self._admits(writer.get_extra_info("socket")):
                writer.transport.abort()
                return
            self._callers.add(task)
            await self._serve(reader, writer)
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            pass  # it went away, or never came to the point
        except asyncio.CancelledError:
            if task.cancelling() and task not in self._callers:
                raise
        finally:
            self._callers.discard(task)
            writer.close()

    def _admits(self, connection: socket.socket) -> bool:
        try:
            peer = Peer.of(connection)
        except OSError:
            return False
        if not peer.may_ask:
            reason = f"only user {os.geteuid()} and root may ask"
        elif len(self._callers) >= self._limits.connections:
            reason = f"{self._limits.connections} callers at once are too many"
        else:
            return True
        self._bus.emit(events.ControlRefused(uid=peer.uid, pid=peer.pid, reason=reason))
        return False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(self._limits.first_seconds):
            start = await reader.readexactly(4)
            question = b"" if start != b"GET " else await reader.readuntil(b"\r\n\r\n")
        if start == b"PRI ":  # HTTP/2, which gRPC speaks, begins with it (RFC 9113, 3.4)
            await self._relay(start, reader, writer)
        elif start == b"GET ":
            writer.write(self._page(question))
            async with asyncio.timeout(self._limits.first_seconds):
                await writer.drain()

    def _page(self, question: bytes) -> bytes:
        target = question.split(b" ", 1)[0].split(b"?", 1)[0].decode("ascii", errors="replace")
        page = self._pages.get(target)
        status, body = ("200 OK", page()) if page else ("404 Not Found", b"{}\n")
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode("ascii") + body

    async def _relay(self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._inner, limit=_CHUNK)
        try:
            inner_writer.write(start)
            ways = [
                asyncio.ensure_future(_pass_on(reader, inner_writer)),
                asyncio.ensure_future(_pass_on(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            inner_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until either side ends. A reader that is slow slows its writer, and nobody else."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
