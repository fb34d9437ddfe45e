"""The short question from the asking side: what it makes of every kind of silence and nonsense."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from helpers.control import control_socket, short_directory
from helpers.greenlight import asynchronous
from hypothesis import given
from hypothesis import strategies as st

from signerd.control import quick
from signerd.control.client import ControlClient
from signerd.control.server import Limits
from signerd.errors import ConfigError, ProtocolViolation, SignerdError, Unavailable

GOOD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}\n"


@contextmanager
def somebody(answer: bytes | None):
    """Somebody listens and answers this once; None never answers."""
    with short_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = directory / "s"
        listener.bind(str(path))
        listener.listen()
        over = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(BrokenPipeError):
                if answer is None:
                    over.wait(20)
                    return
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            over.set()
            thread.join()


def test_takes_the_document_out_of_a_whole_answer():
    with somebody(GOOD) as path:
        assert quick.ask(path, "/x", 5) == b"{}\n"


@pytest.mark.parametrize(
    "answer",
    [
        GOOD[:-1],
        GOOD + b"more",
        GOOD.replace(b"200", b"404"),
        GOOD.replace(b"Length: 3", b"Length: three"),
        GOOD.replace(b"Content-Length: 3\r\n", b""),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x04\x00",
    ],
)
def test_refuses_an_answer_that_is_not_whole_or_not_ours(answer):
    with somebody(answer) as path, pytest.raises(ProtocolViolation, match="not this version of signerd"):
        quick.ask(path, "/x", 5)


@given(st.binary(min_size=1, max_size=200))
def test_no_answer_breaks_the_reader(answer):
    with suppress(SignerdError):
        assert answer.endswith(quick._body(answer, path="x"))


def test_says_when_nobody_is_there():
    with short_directory() as directory:
        for place in (directory / "none", directory / "none" / "at" / "all"):
            with pytest.raises(quick.NotRunning, match="no signer runs at"):
                quick.ask(place, "/x", 1)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(directory / "dead"))
        with pytest.raises(quick.NotRunning, match="no signer runs at"):
            quick.ask(directory / "dead", "/x", 1)
        (directory / "file").touch()
        with pytest.raises(quick.NotRunning):
            quick.ask(directory / "file", "/x", 1)


def test_says_when_no_answer_comes():
    with somebody(None) as path, pytest.raises(Unavailable, match=r"did not answer within 0\.05 s") as silent:
        quick.ask(path, "/x", 0.05)
    assert not isinstance(silent.value, quick.NotRunning)


@asynchronous
async def test_says_when_there_are_too_many_callers():
    async with control_socket(limits=Limits(connections=0)) as (path, _):
        with pytest.raises(Unavailable, match="too many callers"):
            await asyncio.to_thread(quick.ask, path, "/x", 5)


def test_says_when_a_path_is_impossible():
    with short_directory() as directory, pytest.raises(ConfigError, match="too long"):
        quick.ask(directory / ("x" * 200), "/x", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("reachable", [False, True])
@asynchronous
async def test_another_user_is_told_to_be_the_owner(reachable):
    program = (
        "import os, sys, pathlib\n"
        "from signerd.control import quick\n"
        "from signerd.errors import AccessDenied\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    quick.ask(pathlib.Path(sys.argv[1]), '/status', 10)\n"
        "except AccessDenied as refused:\n"
        "    print(refused.hint)\n"
    )
    async with control_socket(pages={"/status": lambda: b"{}\n"}) as (path, _):
        if reachable:
            path.chmod(0o666)
            for opened in (path.parent, path.parent.parent):
                opened.chmod(0o755)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(path), stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert out == b"run this as the user who runs signerd, or as root\n"


@asynchronous
async def test_the_grpc_client_gives_the_same_reasons():
    with short_directory() as directory, pytest.raises(quick.NotRunning):
        async with ControlClient(directory / "none"):
            pass
    # What takes calls and is no signer is noticed with the first one.
    with somebody(b"SSH-2.0\r\n") as path:
        async with ControlClient(path, deadline=0.5) as client:
            with pytest.raises(Unavailable):
                await client.health()
