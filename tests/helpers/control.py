"""A control socket as the daemon has one, and callers of every kind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from signerd.control.server import ControlServer, Limits, Page, Service
from signerd.observe.bus import Bus
from signerd.observe.event import Event


@contextmanager
def short_directory() -> Iterator[Path]:
    """One whose path leaves room for a socket's name, unlike those of long-named tests."""
    with tempfile.TemporaryDirectory(prefix="signerd-") as name:
        yield Path(name)


@asynccontextmanager
async def control_socket(
    services: Sequence[Service] = (),
    *,
    pages: Mapping[str, Page] | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[tuple[Path, list[Event]]]:
    """Its path, and the events that it tells, for the time of the block."""
    told: list[Event] = []
    with short_directory() as directory:
        path = directory / "run" / "signerd.sock"
        async with ControlServer(path, services, Bus(told.append), pages=pages, limits=limits):
            yield path, told


async def raw_call(path: Path, sent: bytes, *, patience: float = 10.0) -> bytes:
    """Send these bytes and read until the other side ends."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(sent)
        async with asyncio.timeout(patience):
            try:
                return await reader.read()
            except ConnectionError:
                return b""
    finally:
        writer.close()
