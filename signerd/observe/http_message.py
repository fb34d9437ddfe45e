"""The little of HTTP/1.1 that is needed to answer a GET (RFC 9110, RFC 9112)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD = 8192

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back; the connection is closed after it."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    def encode(self, *, with_body: bool = True) -> bytes:
        """As it goes out. Without its body, for HEAD: the length is told all the same."""
        head = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ]
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            head.append("Allow: GET, HEAD")
        return "\r\n".join([*head, "", ""]).encode("ascii") + (self.body if with_body else b"")


class BadRequest(Exception):
    """No request that is answered; `response` says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response = Response(status, reason.encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `path` has no query; `host` is None where none was named (HTTP/1.0)."""

    method: str
    path: str
    host: str | None


def parse(head: bytes) -> Request:
    """A request up to and with its empty line. Raises BadRequest."""
    line, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if not found:
        raise BadRequest(400, "no HTTP/1.1 request")
    fields = [_FIELD.fullmatch(field) for field in rest]
    hosts = [field[2] for field in fields if field and field[1].lower() == b"host"]
    if not all(fields) or len(hosts) > 1 or (found[3] == b"1" and not hosts):
        raise BadRequest(400, "a header is missing, doubled or malformed")
    host = hosts[0].strip().decode("latin-1") if hosts else None
    path = found[2].partition(b"?")[0].decode("ascii")
    if not path.startswith("/"):  # as a proxy is asked, with the address before the path
        _, _, rest_of_it = path.partition("://")
        path = "/" + rest_of_it.partition("/")[2]
    method = found[1].decode("ascii")
    if method not in {"GET", "HEAD"}:
        raise BadRequest(405, "only GET and HEAD")
    return Request(method, path, host)


def is_loopback(host: str | None) -> bool:
    """Whether a request meant this machine.

    A web page can have its own name lead to 127.0.0.1, and its visitor's browser ask us; it cannot help
    telling that name.
    """
    if host is None:
        return True
    name = re.sub(r":\d*$", "", host)
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
