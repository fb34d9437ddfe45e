"""Find an address without asyncio's thread pool, whose threads the interpreter waits for when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading


async def resolve(host: str, port: int) -> str:
    """An IP address of a host. Raises OSError. A resolver that hangs holds up nobody but this call."""
    return (await resolve_all(host, port))[0]


async def resolve_all(host: str, port: int) -> list[str]:
    """All IP addresses of a host, at least one, the best first; the rest as `resolve`."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def tell(result: list[str] | OSError) -> None:
        if found.done():
            return
        if isinstance(result, OSError):
            found.set_exception(result)
        else:
            found.set_result(result)

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result: list[str] | OSError = [str(entry[4][0]) for entry in entries]
        except OSError as error:
            result = error
        # The loop may be gone by now, and with it whoever asked.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=look_up, name="resolver", daemon=True).start()
    return await found
