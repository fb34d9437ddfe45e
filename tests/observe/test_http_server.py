"""Metrics and health over HTTP: real sockets, and clients that behave as badly as they can."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from helpers.greenlight import asynchronous

from signerd.observe.http_message import Response
from signerd.observe.http_server import HttpServer, Limits

BIG = b"y" * 4 * 2**20


@dataclass
class Served:
    """Where it is served, and how to ask."""

    port: int
    server: HttpServer

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, raw: bytes) -> bytes:
        """Everything that comes back until the connection is closed."""
        reader, writer = await self.connect()
        writer.write(raw)
        with contextlib.closing(writer):
            return await reader.read()

    async def get(self, path: str, method: str = "GET", host: str = "localhost") -> tuple[int, bytes]:
        answer = await self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body


@contextlib.asynccontextmanager
async def served(**limits: float) -> AsyncIterator[Served]:
    pages = {"/small": lambda: Response(200, b"hello\n"), "/big": lambda: Response(200, BIG)}
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    listener.setblocking(False)
    async with HttpServer(listener, pages, limits=Limits(**limits)) as server:
        yield Served(listener.getsockname()[1], server)


@asynchronous
async def test_answers_get_and_head_and_nothing_else():
    async with served() as s:
        assert await s.get("/small") == (200, b"hello\n")
        assert await s.get("/small?now=1") == (200, b"hello\n")
        assert await s.get("/small", "HEAD") == (200, b"")
        assert await s.get("/none") == (404, b"no such page\n")
        assert (await s.get("/small", "POST"))[0] == 405
        assert (await s.get("/big"))[1] == BIG


@asynchronous
async def test_a_name_that_is_not_of_this_machine_is_not_answered():
    async with served() as s:
        status, body = await s.get("/small", host="evil.example")
        assert (status, b"hello" in body) == (421, False)


@asynchronous
async def test_over_a_unix_socket_any_name_will_do(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    listener.setblocking(False)
    async with HttpServer(listener, {"/x": lambda: Response(200, b"hello")}):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"GET /x HTTP/1.1\r\nHost: whatever\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()


@pytest.mark.parametrize(
    "raw", [b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
)
@asynchronous
async def test_garbage_gets_an_error_of_its_own(raw):
    async with served() as s:
        assert (await s.send(raw)).startswith(b"HTTP/1.1 400 ")
        assert await s.get("/small") == (200, b"hello\n")


@asynchronous
async def test_a_request_that_is_too_long_is_cut_off():
    async with served() as s:
        answer = await s.send(b"GET /small HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")


@asynchronous
async def test_half_a_request_is_given_up():
    async with served(head_seconds=0.05) as s:
        reader, writer = await s.connect()
        writer.write(b"GET /sma")
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()


@asynchronous
async def test_a_client_that_never_reads_is_given_up():
    async with served(body_seconds=0.1) as s:
        mute = socket.create_connection(("127.0.0.1", s.port))
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        mute.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not s.server._clients:
            await asyncio.sleep(0)
        assert await s.get("/small") == (200, b"hello\n")
        while s.server._clients:
            await asyncio.sleep(0.01)
        mute.close()


@asynchronous
async def test_a_client_that_goes_away_in_the_middle_harms_nobody():
    async with served() as s:
        for raw in (b"", b"GET", b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            _, writer = await s.connect()
            writer.write(raw)
            await writer.drain()
            writer.transport.abort()
        assert await s.get("/small") == (200, b"hello\n")


@asynchronous
async def test_who_is_idle_keeps_nobody_from_asking():
    async with served(connections=32) as s:
        crowd = [await s.connect() for _ in range(32)]
        while len(s.server._clients) < 32:
            await asyncio.sleep(0)
        for number in range(40):
            # Not even one that came after them and has sent half a question.
            crowd.append(await s.connect())
            crowd[-1][1].write(b"GET /sma")
            assert await s.get("/small") == (200, b"hello\n"), number
        assert len(s.server._clients) <= 32
        reader, _ = crowd[0]
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        for _, writer in crowd:
            writer.close()


@asynchronous
async def test_who_asks_and_never_reads_keeps_nobody_from_asking():
    async with served(connections=4) as s:
        mute = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(4)]
        for each in mute:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while len(s.server._clients) < 4:
            await asyncio.sleep(0)
        assert await s.get("/small") == (200, b"hello\n")
        for each in mute:
            each.close()


@asynchronous
async def test_of_two_hundred_idle_connections_the_last_are_heard_out():
    async with served(head_seconds=0.3, connections=32) as s:
        crowd = [await s.connect() for _ in range(200)]
        answers = []
        for reader, writer in crowd:
            answers.append((await reader.read()).split()[1])
            writer.close()
        assert answers == [b"503"] * 168 + [b"408"] * 32
        while s.server._clients:
            await asyncio.sleep(0)
        assert await s.get("/small") == (200, b"hello\n")


@asynchronous
async def test_closing_does_not_wait_for_anybody():
    async with served() as s:
        reader, writer = await s.connect()
        while not s.server._clients:
            await asyncio.sleep(0)
    assert await reader.read() == b""
    writer.close()
