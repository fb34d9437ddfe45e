"""One GET over verified https, for the encrypted backup of a node that leaves: bounded in time at every step.

No certificate of ours, no cookies, no proxy, nothing compressed. Redirects are followed to https only.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from signerd.core import http_range
from signerd.errors import ConfigError, ProtocolViolation, RemoteError, Unavailable
from signerd.greenlight import failures

MAX_REDIRECTS = 5
MAX_URL = 8192
CHUNK = 64 * 1024
"""Bytes that have to arrive within the time that a download may stand still."""

_BY_HAND = "ask the operator of the service"


@dataclass(frozen=True, slots=True)
class Link:
    """An https URL, taken apart. `target` is path and query; nobody but the host should see the query."""

    host: str
    port: int
    target: str

    @property
    def resource(self) -> str:
        """The URL without its query, which may hold a signature that is new each time."""
        return f"https://{self.host}:{self.port}{self.target.partition('?')[0]}"

    def __str__(self) -> str:
        return self.host


def parse(url: str, *, source: str) -> Link:
    """Take a URL apart that `source` ("the scheduler") gave. Raises ProtocolViolation."""
    problem = _problem(url)
    if problem is None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            # As whoever looks it up does: a name with a part that is empty or too long fails there, untyped.
            (host or "").encode("idna")
        except ValueError:
            host, problem = None, "cannot be read"
        else:
            if parts.scheme != "https":
                problem = "does not start with https://; it was not followed"
            elif not host or parts.username is not None or port == 0:
                problem = "has no plain host"
            else:
                path = parts.path or "/"
                return Link(host, port or 443, f"{path}?{parts.query}" if parts.query else path)
    # Its query may be what opens the file: only its start is shown.
    shown = failures.printable(url.partition("?")[0][:100])
    raise ProtocolViolation(f"{source} gave the address {shown!r}, which {problem}", hint=_BY_HAND)


def _problem(url: str) -> str | None:
    if len(url) > MAX_URL:
        return f"is longer than {MAX_URL} characters"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "holds characters that no URL has"
    return None


class _Socket(ssl.SSLSocket):
    """Reads until a moment that the owner sets, so that many small steps cannot add up to for ever."""

    deadline: float | None = None

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.settimeout(left)
        return super().recv_into(*arguments, **more)


def tls_context(ca: bytes) -> ssl.SSLContext:
    """Trust what this system trusts, and the root of the service (PEM). Raises ConfigError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Python 3.13 turned this on, and refuses roots of private services that OpenSSL itself takes.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.sslsocket_class = _Socket
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            "the CA certificate is not readable PEM", hint="check `scheduler.ca_file` and GL_CA_CRT"
        ) from error
    return context


class Answer:
    """The head of an answer, and its body as it arrives."""

    def __init__(
        self, link: Link, asked: Mapping[str, str], response: http.client.HTTPResponse, socket: _Socket
    ) -> None:
        self.resource = link.resource
        self.asked_for_rest = "Range" in asked
        self.status = response.status
        self.headers = response.getheaders()
        self._link = link
        self._response = response
        self._socket = socket

    def read_into(self, buffer: memoryview, *, seconds: float) -> int:
        """Read up to CHUNK bytes; 0 at the end. Raises Unavailable if they do not come within `seconds`."""
        self._socket.deadline = time.monotonic() + seconds
        with _translated(self._link):
            return self._response.readinto(buffer[:CHUNK])


@contextlib.contextmanager
def get(
    link: Link, context: ssl.SSLContext, headers_for: Callable[[str], Mapping[str, str]], *, seconds: float
) -> Iterator[Answer]:
    """Ask for a link, and follow where it leads. `headers_for` gives the headers for each resource.

    `seconds` bounds the connection, the handshake and the head of the answer, each. Raises Unavailable for
    what may pass, ProtocolViolation for what will not.
    """
    for _ in range(1 + MAX_REDIRECTS):
        headers = dict(headers_for(link.resource))
        with _requested(link, context, headers, seconds) as answer:
            if answer.status not in http_range.REDIRECTS:
                yield answer
                return
            link = _redirected(link, answer)
    raise ProtocolViolation(
        f"the file host sends from one address to the next, more than {MAX_REDIRECTS} times", hint=_BY_HAND
    )


def _redirected(link: Link, answer: Answer) -> Link:
    places = {value for name, value in answer.headers if name.lower() == "location"}
    if len(places) != 1:
        raise ProtocolViolation(f"{link} redirects to nowhere", hint=_BY_HAND)
    base = f"https://{f'[{link.host}]' if ':' in link.host else link.host}:{link.port}{link.target}"
    try:
        place = urljoin(base, places.pop())
    except ValueError:
        place = ""
    return parse(place, source=f"a redirect of {link}")


@contextlib.contextmanager
def _requested(
    link: Link, context: ssl.SSLContext, headers: dict[str, str], seconds: float
) -> Iterator[Answer]:
    connection = http.client.HTTPSConnection(link.host, link.port, context=context, timeout=seconds)
    try:
        with _translated(link):
            connection.connect()
            socket = connection.sock
            assert isinstance(socket, _Socket)
            socket.deadline = time.monotonic() + seconds
            # The library asks for `Accept-Encoding: identity` by itself.
            connection.request("GET", link.target, headers={"Connection": "close", **headers})
            response = connection.getresponse()
        with contextlib.closing(response):
            yield Answer(link, headers, response, socket)
    finally:
        connection.close()


@contextlib.contextmanager
def _translated(link: Link) -> Iterator[None]:
    """Only around calls of the library: whatever fails in them, the other side or the way to it did."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise ProtocolViolation(
            f"the file host {link} shows a certificate that is refused: "
            f"{failures.printable(error.verify_message)}",
            hint="nothing was sent to it. Check this machine's clock, and that it has the system's "
            "certificates (SSL_CERT_FILE names others); else something on the way answers in its place",
        ) from error
    except TimeoutError as error:
        raise _unavailable(link, "it stands still") from error
    except (http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
        raise _unavailable(link, "the connection was cut") from error
    except http.client.HTTPException as error:
        raise ProtocolViolation(
            f"the file host {link} does not answer as a web server does", hint=_BY_HAND
        ) from error
    except OSError as error:
        raise _unavailable(link, failures.printable(error.strerror or str(error))) from error


def _unavailable(link: Link, reason: str) -> RemoteError:
    return Unavailable(f"cannot download from {link}: {reason}", hint="try again later", code="UNAVAILABLE")
