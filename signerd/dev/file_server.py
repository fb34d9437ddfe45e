"""The HTTPS host of the exports: GET and HEAD of one directory's files, whole or a range (RFC 9110)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from signerd.dev.faults import Fault, Faults
from signerd.dev.journal import Calls
from signerd.dev.listener import HOST

METHOD = "Download"
"""The name under which downloads are counted, and faults set."""

_CHUNK = 64 * 1024
_NAME = re.compile(r"/exports/([0-9a-f]{32}\.enc)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class _Answer:
    """`body` is a part of a file: path, first byte, number of bytes."""

    status: HTTPStatus
    headers: dict[str, str] = field(default_factory=dict)
    body: tuple[Path, int, int] | None = None


class FileServer:
    """Serves `directory` at https://localhost:<port>/exports/<name>; the names are not to be guessed."""

    def __init__(self, directory: Path, tls: ssl.SSLContext, faults: Faults, calls: Calls) -> None:
        self._directory = directory
        self._tls = tls
        self._faults = faults
        self._calls = calls
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    def url(self, name: str) -> str:
        return f"https://localhost:{self.port}/exports/{name}"

    async def start(self, port: int) -> None:
        """Listen on `port` if it is free, or else on any: a URL lives as long as its port."""
        try:
            self._server = await asyncio.start_server(self._serve, HOST, port, ssl=self._tls)
        except OSError:
            self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has gone, or does not speak HTTP
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may serve another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.split("\r\n")
        parts = request_line.split(" ")
        if len(parts) != 3:
            return False
        method, target, _version = parts
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        self._calls.record(METHOD)
        fault = self._faults.take(METHOD)
        if fault:
            await fault.before_the_work()
        answer = self._decide(method, target, headers)
        if fault and fault.status:
            answer = _Answer(HTTPStatus.SERVICE_UNAVAILABLE)
        length = answer.body[2] if answer.body else 0
        fields = {"Content-Length": str(length), "Accept-Ranges": "bytes", **answer.headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n{text}\r\n".encode("ascii"))
        if answer.body and method == "GET" and not await _send(writer, *answer.body, fault):
            return False
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    def _decide(self, method: str, target: str, headers: Mapping[str, str]) -> _Answer:
        if method not in ("GET", "HEAD"):
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
        match = _NAME.fullmatch(target)
        path = self._directory / match[1] if match else None
        if path is None or not path.is_file():
            return _Answer(HTTPStatus.NOT_FOUND)
        size = path.stat().st_size
        fields = {"Content-Type": "application/octet-stream", "ETag": f'"{path.stem}"'}
        asked = _RANGE.fullmatch(headers.get("range", ""))
        if (
            asked is None
            or asked[0] == "bytes=-"
            or headers.get("if-range", fields["ETag"]) != fields["ETag"]
        ):
            return _Answer(HTTPStatus.OK, fields, (path, 0, size))
        first, last = _bounds(asked[1], asked[2], size)
        if first > last:
            return _Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
        fields["Content-Range"] = f"bytes {first}-{last}/{size}"
        return _Answer(HTTPStatus.PARTIAL_CONTENT, fields, (path, first, last - first + 1))


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """First and last byte of a range; first > last when there is none."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last) if last else size - 1, size - 1)


async def _send(
    writer: asyncio.StreamWriter, path: Path, start: int, length: int, fault: Fault | None
) -> bool:
    """Whether all was sent: a fault may cut the connection on the way."""
    allowed = length if fault is None or fault.drop_after is None else min(length, fault.drop_after)
    with path.open("rb") as file:
        file.seek(start)
        remaining = allowed
        while remaining and (chunk := file.read(min(_CHUNK, remaining))):
            remaining -= len(chunk)
            writer.write(chunk)
            await writer.drain()
    return allowed == length
