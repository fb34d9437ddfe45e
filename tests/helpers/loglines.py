"""A log at whose other end somebody reads, and one at which nobody does."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Pipe:
    """What a log writes to, and what has come through."""

    reading: int
    writing: int

    def text(self) -> str:
        """All that has come and was not read yet."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.reading, 65536):
                found += piece
        return found.decode()


@contextlib.contextmanager
def pipe() -> Iterator[Pipe]:
    """A pipe that holds 64 KiB."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        yield Pipe(reading, writing)
    finally:
        for descriptor in (reading, writing):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@dataclass
class Journald:
    """Takes the datagrams that journald would."""

    socket: socket.socket

    def entries(self) -> list[dict[str, str]]:
        """The entries that have come and were not read yet."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(decode(self.socket.recv(1 << 20)))
        return found


@contextlib.contextmanager
def journald(path: Path) -> Iterator[Journald]:
    """Listens at this path, as journald does at its own."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(os.fspath(path))
        bound.setblocking(False)
        try:
            yield Journald(bound)
        finally:
            path.unlink()


def decode(entry: bytes) -> dict[str, str]:
    """One entry, read as the protocol says. A malformed one raises."""
    fields = {}
    while entry:
        line, feed, rest = entry.partition(b"\n")
        assert feed
        name, sign, value = line.partition(b"=")
        if not sign:
            size = int.from_bytes(rest[:8], "little")
            value, entry = rest[8 : 8 + size], rest[8 + size :]
            assert entry[:1] == b"\n"
            entry = entry[1:]
        else:
            entry = rest
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


@dataclass
class Time:
    """Both clocks of a log, moved by hand."""

    seconds: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
