"""Answer at a Unix socket: look at who it is, and hand the connection on to gRPC.

gRPC does not say who called on a Unix socket. So we accept, ask the kernel for the caller's user, and then
pass bytes to and fro between the caller and a gRPC server that listens where nobody else gets to. A short
question (`GET /status`) is answered in place: whoever asks it need not load gRPC, which takes longer than
all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import grpc.aio

from signerd.control.peer import Peer
from signerd.errors import OutputError
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.store import socket_file

Service = Callable[[grpc.aio.Server], None]
"""Adds a service to the server, before that starts."""

Page = Callable[[], bytes]
"""Makes the JSON document that a short question is answered with."""

_CHUNK = 65536
_MAX_REQUEST = 256 * 1024
_STREAMS_PER_CONNECTION = 16
_AFTER_TROUBLE_SECONDS = 0.1
_OWN_DESCRIPTORS = 128
_DESCRIPTORS_EACH = 3
"""The caller's, ours to gRPC, and gRPC's to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much patience there is with callers."""

    connections: int = 240
    """Fewer where the process may not have many descriptors."""
    first_seconds: float = 5.0
    """Until a caller has said what it wants."""
    silence_seconds: float = 20.0
    """After which a caller is asked for a sign of life."""
    idle_seconds: float = 60.0
    """After which a connection without a question on it is closed."""


class ControlServer:
    """Serves at `path` while entered. Entering raises what `socket_file.listen_private` raises."""

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
        self._most = min(self._limits.connections, _room())
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
            exits.push_async_callback(_end, asyncio.create_task(self._accept(listener)))
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
                # Who is there answers a ping; the relay sends away who does not.
                ("grpc.keepalive_time_ms", int(limits.silence_seconds * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.max_connection_idle_ms", int(limits.idle_seconds * 1000)),
            ]
        )
        for add in self._services:
            add(server)
        try:
            server.add_insecure_port(f"unix:{address}")
        except RuntimeError as error:
            raise OutputError(
                f"cannot listen for gRPC beside {self._path}",
                hint="is /proc mounted, and its `self/fd` readable?",
            ) from error
        return server

    async def _send_away(self) -> None:
        await _end(*self._callers)

    async def _accept(self, listener: socket.socket) -> None:
        """Until cancelled. Not asyncio's own server, which loses whom it has accepted when it is closed."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:  # out of descriptors, or the caller has gone
                await asyncio.sleep(_AFTER_TROUBLE_SECONDS)
                continue
            if not self._admits(connection):
                connection.close()
                continue
            caller = loop.create_task(self._serve(connection))
            self._callers.add(caller)
            caller.add_done_callback(functools.partial(self._left, connection))

    def _left(self, connection: socket.socket, caller: asyncio.Task[None]) -> None:
        self._callers.discard(caller)
        connection.close()  # of one that was cancelled before it began; else it is closed

    def _admits(self, connection: socket.socket) -> bool:
        try:
            peer = Peer.of(connection)
        except OSError:
            return False
        if not peer.may_ask:
            status, reason = "403 Forbidden", f"only user {os.geteuid()} and root may ask"
        elif len(self._callers) >= self._most:
            status, reason = "503 Busy", f"{self._most} callers at once are too many"
        else:
            return True
        self._bus.emit(events.ControlRefused(uid=peer.uid, pid=peer.pid, reason=reason))
        with contextlib.suppress(OSError):
            connection.send(_document(status, b'{"error": "%s"}\n' % reason.encode("ascii")))
        return False

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_CHUNK)
        try:
            # It went away, or never came to the point.
            with contextlib.suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
                await self._answer(reader, writer)
                writer.close()
                async with asyncio.timeout(self._limits.first_seconds):
                    await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        return _document("200 OK", page()) if page else _document("404 Not Found", b"{}\n")

    async def _relay(self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._inner, limit=_CHUNK)
        try:
            inner_writer.write(start)
            silence = self._limits.silence_seconds + self._limits.first_seconds
            ways = [
                asyncio.create_task(_pass_on(reader, inner_writer, silence)),
                asyncio.create_task(_pass_on(inner_reader, writer, None)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(*ways)
        finally:
            inner_writer.close()


def _room() -> int:
    """How many callers there may be before the signer itself runs out of descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - _OWN_DESCRIPTORS) // _DESCRIPTORS_EACH)


def _document(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode("ascii") + body


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence: float | None) -> None:
    """Until either side ends, or nothing comes for so long. A slow reader slows its writer alone."""
    while True:
        async with asyncio.timeout(silence):
            data = await reader.read(_CHUNK)
        if not data:
            return
        writer.write(data)
        await writer.drain()
