"""An https file host that answers as it is told: right, wrong, in part, or not at all."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from helpers.ca import Issued


@dataclass(frozen=True)
class Request:
    """One request: its number on this host from 0, its target, and its headers in lower case."""

    number: int
    target: str
    headers: dict[str, str]

    @property
    def start(self) -> int | None:
        """The first byte that was asked for, if it was a range."""
        asked = self.headers.get("range")
        return None if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))


@dataclass(frozen=True)
class Reply:
    """`cut` sends only so many bytes of the body; `reset` ends with a TCP reset; `hang` keeps it open."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    hang: bool = False
    reset: bool = False
    raw: bytes | None = None
    drip: bool = False


def whole(content: bytes, **headers: str) -> Reply:
    return Reply(200, {"Content-Length": str(len(content)), **_fields(headers)}, content)


def part(content: bytes, start: int, **headers: str) -> Reply:
    rest = content[start:]
    fields = {
        "Content-Length": str(len(rest)),
        "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}",
        **_fields(headers),
    }
    return Reply(206, fields, rest)


def _fields(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def honest(content: bytes, etag: str = '"v1"') -> Callable[[Request], Reply]:
    """As RFC 9110 has it: ranges, and If-Range by the tag."""

    def answer(request: Request) -> Reply:
        start = request.start
        if start is None or request.headers.get("if-range", etag) != etag:
            return whole(content, ETag=etag)
        return part(content, start, ETag=etag)

    return answer


class FileHost:
    """`answer` may be replaced at any time; `requests` are those that arrived."""

    def __init__(self, identity: Issued, answer: Callable[[Request], Reply], directory: Path) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.ca = identity.ca
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = directory / f"host-{id(self)}.pem"
        chain.write_bytes(identity.chain + b"\n" + identity.key)
        self._context.load_cert_chain(chain)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()

    def url(self, target: str = "/exports/backup.enc") -> str:
        return f"https://localhost:{self.port}{target}"

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(plain,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        self._open.add(plain)
        # Whatever a client does, including to go away, is its own affair.
        with (
            contextlib.suppress(OSError, ValueError),
            self._context.wrap_socket(plain, server_side=True) as tls,
        ):
            self._open.add(tls)
            self._talk(tls)
            self._open.discard(tls)
        self._open.discard(plain)
        plain.close()

    def _talk(self, tls: ssl.SSLSocket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = tls.recv(65536)
            if not more:
                return
            head += more
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = Request(len(self.requests), first.split(" ")[1], headers)
        self.requests.append(request)
        reply = self.answer(request)
        if reply.raw is not None:
            self._send(tls, reply.raw, drip=reply.drip)
        else:
            fields = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
            tls.sendall(f"HTTP/1.1 {reply.status} Word\r\n{fields}\r\n".encode("latin-1"))
            self._send(tls, reply.body[: reply.cut], drip=reply.drip)
        if reply.hang:
            tls.recv(1)
        if reply.reset:
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    def _send(self, tls: ssl.SSLSocket, data: bytes, *, drip: bool) -> None:
        if not drip:
            tls.sendall(data)
            return
        for byte in data:
            tls.sendall(bytes([byte]))
            if self._closing.wait(0.02):
                return

    def close(self) -> None:
        self._closing.set()
        for connection in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@contextlib.contextmanager
def file_host(identity: Issued, answer: Callable[[Request], Reply], directory: Path) -> Iterator[FileHost]:
    """A host for the time of the block."""
    host = FileHost(identity, answer, directory)
    thread = threading.Thread(target=host._run)
    thread.start()
    try:
        yield host
    finally:
        host.close()
        thread.join(10)
