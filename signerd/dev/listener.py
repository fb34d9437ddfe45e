"""One TLS address on loopback: it serves, refuses, hangs half-open or cuts, always on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Any, Literal

import grpc
import grpc.aio

from signerd.dev.certificates import Identity
from signerd.errors import UsageError

HOST = "127.0.0.1"
MAX_MESSAGE = 256 * 1024 * 1024

Mode = Literal["closed", "serving", "refusing", "half-open", "cutting"]

# The reference client pings each second, also when idle; C-core's defaults answer that with GOAWAY.
_PATIENT_WITH_PINGS = (
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 100),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Listener:
    """A gRPC server that demands client certificates of `ca_pem`, and can stop being one."""

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        identity: Identity,
        ca_pem: bytes,
        *,
        port: int = 0,
        strict_pings: bool = False,
        compression: grpc.Compression | None = None,
    ) -> None:
        self._handlers = handlers
        self._identity = identity
        self._ca_pem = ca_pem
        self._strict_pings = strict_pings
        self._compression = compression
        # Bound, never listening: nobody else gets the port while we refuse.
        self._reservation = _reserve(port)
        self.port: int = self._reservation.getsockname()[1]
        self.mode: Mode = "closed"
        self._server: grpc.aio.Server | None = None
        self._plain: asyncio.Server | None = None
        self._held: set[asyncio.StreamWriter] = set()

    @property
    def uri(self) -> str:
        return f"https://localhost:{self.port}"

    async def serve(self) -> None:
        """Answer calls; what was done to connections before is over."""
        if self.mode == "serving":
            return
        await self._stop()
        options: list[tuple[str, Any]] = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_MESSAGE),
        ]
        if not self._strict_pings:
            options.extend(_PATIENT_WITH_PINGS)
        server = grpc.aio.server(options=options, compression=self._compression)
        server.add_generic_rpc_handlers(self._handlers)
        credentials = grpc.ssl_server_credentials(
            [(self._identity.key, self._identity.chain)],
            root_certificates=self._ca_pem,
            require_client_auth=True,
        )
        server.add_secure_port(f"{HOST}:{self.port}", credentials)
        await server.start()
        self._server = server
        self.mode = "serving"

    async def refuse(self) -> None:
        """End all connections and refuse new ones."""
        await self._stop()
        self.mode = "refusing"

    async def half_open(self) -> None:
        """End all connections; accept new ones and never say a word on them."""
        await self._stop()
        self._plain = await self._listen(cut=False)
        self.mode = "half-open"

    async def cut(self) -> None:
        """End all connections; accept new ones and close them at once."""
        await self._stop()
        self._plain = await self._listen(cut=True)
        self.mode = "cutting"

    async def restart(self) -> None:
        """End all connections and serve again, on the same port."""
        await self._stop()
        await self.serve()

    async def close(self) -> None:
        await self._stop()
        self._reservation.close()

    async def _listen(self, *, cut: bool) -> asyncio.Server:
        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if cut:
                writer.transport.abort()
            else:
                self._held.add(writer)

        listening = _bound(self.port)
        return await asyncio.start_server(accepted, sock=listening)

    async def _stop(self) -> None:
        server, self._server = self._server, None
        plain, self._plain = self._plain, None
        self.mode = "closed"
        if server:
            await server.stop(None)
        if plain:
            plain.close()
            for writer in self._held:
                writer.transport.abort()
            self._held.clear()
            await plain.wait_closed()


def _reserve(port: int) -> socket.socket:
    if port:
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            # Without SO_REUSEPORT: a port that another local Greenlight serves would be shared with it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise UsageError(
                    f"port {port} of {HOST} cannot be used: {error.strerror}",
                    hint="choose another --port, or 0 for any free one",
                ) from error
    return _bound(port)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound
