"""Ask the socket a short question without gRPC: loading that alone takes longer than the whole answer.

The question is a `GET` of HTTP/1.1, so that `curl --unix-socket` can ask it too; the answer is JSON.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from signerd.errors import AccessDenied, ConfigError, ProtocolViolation, Unavailable

_MAX_ANSWER = 1024 * 1024
_MAX_PATH = 107  # unix(7)


class NotRunning(Unavailable):
    """Nobody listens there."""


def ask(path: Path, target: str, timeout: float) -> bytes:
    """The document at `target`. `timeout` is for each step, and there are few.

    Raises Unavailable if no signer runs or none answers, AccessDenied if it is another user's.
    """
    with connect(path, timeout) as connection:
        try:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: signerd\r\n\r\n".encode("ascii"))
            answer = bytearray()
            while len(answer) <= _MAX_ANSWER and (piece := connection.recv(65536)):
                answer += piece
        except TimeoutError as error:
            raise Unavailable(
                f"the signer at {path} did not answer within {timeout:g} s",
                hint="it is stuck, or the machine is very busy; look into its log",
                code="DEADLINE_EXCEEDED",
            ) from error
        except OSError as error:
            raise Unavailable(f"the signer at {path} hung up", hint="look into its log") from error
    return _body(bytes(answer), path)


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to the socket. Raises what `ask` raises, and ConfigError for an impossible path."""
    if len(os.fsencode(path)) > _MAX_PATH:
        raise ConfigError(f"{path} is too long for a socket", hint="set `control.socket` to a shorter path")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(timeout)
    try:
        connection.connect(os.fspath(path))
    except OSError as error:
        connection.close()
        raise _no_connection(error, path) from error
    return connection


def _no_connection(error: OSError, path: Path) -> Unavailable | AccessDenied:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return AccessDenied(
            f"the socket {path} belongs to another user",
            hint="run this as the user who runs signerd, or as root",
        )
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return Unavailable(f"the signer at {path} does not take calls", hint="it is stuck; look into its log")
    return NotRunning(
        f"no signer runs at {path}",
        hint="start it with `signerd run`; if it runs elsewhere, name its socket with --socket",
    )


def _body(answer: bytes, path: Path) -> bytes:
    head, end, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if not answer:
        raise AccessDenied(
            f"the signer at {path} refused this user",
            hint="run this as the user who runs signerd, or as root",
        )
    lengths = [
        line.split(b":", 1)[1].strip() for line in lines[1:] if line.lower().startswith(b"content-length:")
    ]
    whole = end and lines[0].startswith(b"HTTP/1.1 200 ") and lengths == [b"%d" % len(body)]
    if not whole:
        raise ProtocolViolation(
            f"what answers at {path} is not this version of signerd", hint="restart signerd"
        )
    return body
