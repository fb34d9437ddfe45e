"""gRPC servers on loopback with mutual TLS, which a test scripts call by call, or frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import grpc
import grpc.aio

from helpers.ca import Issued

Context = grpc.aio.ServicerContext[bytes, bytes]

Script = Callable[..., Any]


def unary(reply: Callable[[bytes], bytes] | bytes, seen: list[bytes] | None = None) -> Script:
    """Answer with bytes, or with a function of the request's bytes; `seen` collects the requests."""

    async def handle(request: bytes, context: Context) -> bytes:
        del context
        if seen is not None:
            seen.append(request)
        return reply if isinstance(reply, bytes) else reply(request)

    return handle


def failing(code: grpc.StatusCode, details: str = "", *, calls: list[bytes] | None = None) -> Script:
    async def handle(request: bytes, context: Context) -> bytes:
        if calls is not None:
            calls.append(request)
        await context.abort(code, details)
        raise AssertionError

    return handle


class Server(grpc.GenericRpcHandler):
    """Counts what is open. `unary` and `streams` map paths to coroutines (async generators for streams)."""

    def __init__(
        self,
        unary: Mapping[str, Callable[..., Awaitable[bytes]]] | None = None,
        streams: Mapping[str, Callable[..., AsyncIterator[bytes]]] | None = None,
    ) -> None:
        self._unary = unary or {}
        self._streams = streams or {}
        self.open_calls = 0
        self.idle = asyncio.Event()
        self.port = 0
        self.metadata: list[dict[str, str | bytes]] = []

    @property
    def uri(self) -> str:
        return f"https://localhost:{self.port}"

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        self.metadata.append(dict(handler_call_details.invocation_metadata or ()))
        if path in self._unary:
            return grpc.unary_unary_rpc_method_handler(self._counted(self._unary[path]))
        if path in self._streams:
            return grpc.stream_stream_rpc_method_handler(self._counted_stream(self._streams[path]))
        return None

    def _counted(self, behaviour: Callable[..., Awaitable[bytes]]) -> Callable[..., Awaitable[bytes]]:
        async def handle(request: bytes, context: Context) -> bytes:
            with self._open():
                return await behaviour(request, context)

        return handle

    def _counted_stream(self, behaviour: Callable[..., AsyncIterator[bytes]]) -> Any:
        async def handle(requests: Any, context: Context) -> AsyncIterator[bytes]:
            with self._open():
                async for message in behaviour(requests, context):
                    yield message

        return handle

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        self.open_calls += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.open_calls -= 1
            if self.open_calls == 0:
                self.idle.set()


@contextlib.asynccontextmanager
async def serving(
    server: Server,
    certificate: Issued,
    *,
    options: Mapping[str, Any] | None = None,
    compression: grpc.Compression | None = None,
) -> AsyncIterator[Server]:
    """Run `server` with `certificate`, for clients of the same CA, until the block is left."""
    running = grpc.aio.server(options=list((options or {}).items()), compression=compression)
    running.add_generic_rpc_handlers((server,))
    credentials = grpc.ssl_server_credentials(
        [(certificate.key, certificate.chain)], certificate.ca, require_client_auth=True
    )
    server.port = running.add_secure_port("localhost:0", credentials)
    await running.start()
    try:
        yield server
    finally:
        await running.stop(None)


def server_context(certificate: Issued) -> ssl.SSLContext:
    """Mutual TLS for servers that are not gRPC's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=certificate.ca.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.chain + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


@contextlib.asynccontextmanager
async def listening(
    behaviour: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A TCP or TLS server that treats each connection as told, then closes it. Yields its port."""
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def treat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await behaviour(reader, writer)
        writer.transport.abort()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[asyncio.ensure_future(treat(reader, writer))] = writer

    server = await asyncio.start_server(accepted, "localhost", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in connections.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*connections, return_exceptions=True)


class FirstCall:
    """Takes a connection's frames (RFC 9113) up to the first DATA frame, then closes it."""

    HEADERS, DATA = 1, 0

    def __init__(self) -> None:
        self.frames: dict[int, bytes] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # empty SETTINGS
        kind = None
        while kind != self.DATA:
            head = await reader.readexactly(9)
            kind = head[3]
            self.frames[kind] = await reader.readexactly(int.from_bytes(head[:3], "big"))
