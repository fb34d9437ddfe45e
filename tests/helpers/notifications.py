"""A socket as systemd has one for its services."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Self

PATIENCE = 20.0


class NotifySocket:
    """What was told, one datagram after the other. `name` is what goes into NOTIFY_SOCKET."""

    def __init__(self, path: Path | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        abstract = f"signerd-test-{os.urandom(8).hex()}"
        self._socket.bind(str(path) if path else f"\0{abstract}")
        self.name = str(path) if path else f"@{abstract}"
        self.told: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def next(self) -> str:
        """The next one, once it comes."""
        async with asyncio.timeout(PATIENCE):
            message = (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode()
        self.told.append(message)
        return message

    async def until(self, wanted: str) -> list[str]:
        """Read until one begins like this; those that came before it."""
        before = []
        while not (message := await self.next()).startswith(wanted):
            before.append(message)
        return before

    def rest(self) -> list[str]:
        """Those that are there already."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                self.told += found
                return found
