"""A resolver that hangs holds up nobody but the call that asked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers.greenlight import asynchronous

from signerd.greenlight import resolver

HANGING = """
import asyncio, socket, time
from signerd.greenlight import resolver
socket.getaddrinfo = lambda *a, **k: time.sleep(60)
async def main():
    try:
        async with asyncio.timeout(0.2):
            await resolver.resolve("example.invalid", 1)
    except TimeoutError:
        print("gave up")
asyncio.run(main())
"""


@asynchronous
async def test_finds_an_address():
    assert await resolver.resolve("localhost", 1) in ("127.0.0.1", "::1")
    assert await resolver.resolve("127.0.0.1", 1) == "127.0.0.1"


@asynchronous
async def test_says_when_there_is_none():
    with pytest.raises(OSError, match=r".+"):
        await resolver.resolve("no such host", 1)


def test_the_process_ends_while_a_look_up_hangs():
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "gave up\n"
