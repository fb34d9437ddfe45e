"""The socket itself: who gets in, what becomes of garbage, and how many are served at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from helpers.control import control_socket, raw_call, short_directory
from helpers.greenlight import asynchronous

from signerd.control import quick
from signerd.control.server import ControlServer, Limits
from signerd.control.services import HealthService
from signerd.errors import AlreadyRunning, ConfigError, OutputError
from signerd.observe.bus import Bus
from signerd.observe.events import ControlRefused
from signerd.store import socket_file

PAGES = {"/status": lambda: b'{"v": 1}\n'}
STATUS = b"GET /status HTTP/1.1\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
ACKNOWLEDGED = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is in no table (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


FIELDS = (
    literal(b":method", b"POST")
    + literal(b":scheme", b"http")
    + literal(b":path", b"/grpc.health.v1.Health/Check")
    + literal(b":authority", b"localhost")
    + literal(b"content-type", b"application/grpc")
    + literal(b"te", b"trailers")
)
# Stream 1, END_HEADERS; its message would have to follow (RFC 9113, 6.2).
HEADERS = len(FIELDS).to_bytes(3, "big") + b"\x01\x04\x00\x00\x00\x01" + FIELDS
MESSAGE = b"\x00\x00\x05\x00\x01\x00\x00\x00\x01" + bytes(5)
HASTY = Limits(first_seconds=0.2, silence_seconds=0.2)

OTHER_USER = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(10)
connection.connect(sys.argv[1])
try:
    connection.sendall(b"GET /status HTTP/1.1\\r\\n\\r\\n")
except ConnectionError:
    pass
sys.stdout.buffer.write(connection.recv(1000))
"""


async def answered(path) -> bool:
    return b'{"v": 1}' in await raw_call(path, STATUS)


async def standard_health(channel: grpc.aio.Channel, name: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    reply = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
    return reply.status


# Who gets in


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@asynchronous
async def test_refuses_another_user_though_the_file_lets_everybody_in():
    async with control_socket(pages=PAGES) as (path, told):
        for opened in (path.parent.parent, path.parent):
            opened.chmod(0o755)
        path.chmod(0o666)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", OTHER_USER, str(path), stdout=subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        assert out.startswith(b"HTTP/1.1 403 ")
        assert b'"v"' not in out
        (refused,) = told
        assert isinstance(refused, ControlRefused)
        assert (refused.uid, refused.pid) == (65534, process.pid)
        assert await answered(path)
        assert len(told) == 1


@asynchronous
async def test_the_socket_is_its_owners_alone_and_nothing_else_is_beside_it_and_it_goes():
    old = os.umask(0)
    try:
        with short_directory() as directory:
            path = directory / "run" / "signerd.sock"
            async with ControlServer(path, [], Bus(), pages=PAGES):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
                assert [entry.name for entry in path.parent.iterdir()] == ["signerd.sock"]
            assert list(path.parent.iterdir()) == []
    finally:
        os.umask(old)


@asynchronous
async def test_a_socket_of_a_dead_signer_is_replaced():
    with short_directory() as directory:
        path = directory / "signerd.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with ControlServer(path, [], Bus(), pages=PAGES):
            assert await answered(path)


@asynchronous
async def test_a_socket_of_a_living_signer_is_not_replaced():
    with short_directory() as directory:
        path = directory / "signerd.sock"
        async with ControlServer(path, [], Bus(), pages=PAGES):
            with pytest.raises(AlreadyRunning, match="somebody listens at"):
                async with ControlServer(path, [], Bus()):
                    pass
            assert await answered(path)


@asynchronous
async def test_who_comes_later_keeps_its_socket_when_who_came_first_goes():
    with short_directory() as directory:
        path = directory / "signerd.sock"
        async with contextlib.AsyncExitStack() as first:
            await first.enter_async_context(ControlServer(path, [], Bus()))
            path.unlink()
            async with ControlServer(path, [], Bus(), pages=PAGES):
                await first.aclose()
                assert await answered(path)


def test_a_file_in_the_place_of_the_socket_stays():
    with short_directory() as directory:
        path = directory / "signerd.sock"
        path.write_text("precious")
        with pytest.raises(OutputError, match="is no socket"):
            socket_file.listen_private(path)
        assert path.read_text() == "precious"


def test_a_place_where_no_socket_can_be_is_an_error_that_names_the_setting():
    with short_directory() as directory:
        (directory / "file").touch()
        with pytest.raises(OutputError):
            socket_file.listen_private(directory / "file" / "signerd.sock")
        # A name that is free and cannot be had: the file system has no room for it.
        with pytest.raises(OutputError, match="cannot make the socket") as refused:
            socket_file.listen_private(Path("/proc/signerd.sock"))
        assert "control.socket" in refused.value.hint


@pytest.mark.parametrize("length", [107, 108])
def test_a_path_has_room_for_107_bytes_and_is_refused_with_more(length):
    with short_directory() as directory:
        path = directory / ("x" * (length - len(str(directory)) - 1))
        if length == 107:
            socket_file.listen_private(path).close()
            assert path.is_socket()
        else:
            with pytest.raises(ConfigError, match="too long for a socket: 108 bytes") as refused:
                socket_file.listen_private(path)
            assert "control.socket" in refused.value.hint


# What is answered


@asynchronous
async def test_answers_a_short_question_in_place_and_no_other():
    async with control_socket(pages=PAGES) as (path, _):
        answer = await raw_call(path, STATUS)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'\r\n\r\n{"v": 1}\n')
        assert (await raw_call(path, b"GET /else HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        assert await asyncio.to_thread(quick.ask, path, "/status", 5) == b'{"v": 1}\n'


@asynchronous
async def test_the_standard_health_service_says_whether_it_is_alive_and_ready():
    health = HealthService()
    async with (
        control_socket([health.add_to]) as (path, _),
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        assert await standard_health(channel) == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await standard_health(channel, "nonsense")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


@asynchronous
async def test_serves_two_hundred_grpc_clients_at_once():
    health = HealthService()
    async with control_socket([health.add_to]) as (path, told), contextlib.AsyncExitStack() as connected:
        channels = [
            await connected.enter_async_context(
                grpc.aio.insecure_channel(f"unix:{path}", [("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(200)
        ]
        # Each stays connected while the others ask.
        found = await asyncio.gather(*(standard_health(channel) for channel in channels))
        assert found == [health_pb2.HealthCheckResponse.SERVING] * 200
        assert told == []


@asynchronous
async def test_answers_two_hundred_short_questions_at_once():
    async with control_socket(pages=PAGES) as (path, told):
        assert all(await asyncio.gather(*(answered(path) for _ in range(200))))
        assert told == []


@asynchronous
async def test_one_too_many_is_sent_away_and_told_and_may_come_back():
    async with control_socket(pages=PAGES, limits=Limits(connections=2)) as (path, told):
        held = [await asyncio.open_unix_connection(path) for _ in range(2)]
        await asyncio.sleep(0)
        assert not await answered(path)
        assert "2 callers at once" in told[0].reason
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while not await answered(path):
                pass


# Garbage, and what comes by half


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 4,
        bytes.fromhex("16030100c8010000c4"),
        b"POST /status HTTP/1.1\r\n\r\n",
        b"\xff" * 100_000,
        b"GET " + b"x" * 1_000_000,
        b"PRI * GARBAGE" + b"\xfe" * 10_000,
        PREFACE + b"\xff" * 10_000,
        b"GET \xff\xfe\r\n\r\n",
    ],
    ids=["zeros", "tls", "post", "long", "endless question", "no preface", "no frame", "no text"],
)
@asynchronous
async def test_garbage_ends_its_own_connection_and_nothing_else(sent):
    async with control_socket(pages=PAGES, limits=HASTY) as (path, told):
        answer = await raw_call(path, sent)
        assert b'"v"' not in answer
        assert await answered(path)
        assert told == []


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET /status HTTP/1.1\r\n", b"PRI ", PREFACE, PREFACE + EMPTY_SETTINGS[:5]],
    ids=["nothing", "a letter", "half a question", "half a preface", "only a preface", "half a frame"],
)
@asynchronous
async def test_half_a_request_is_not_waited_for(sent):
    async with control_socket(pages=PAGES, limits=HASTY) as (path, _):
        started = time.monotonic()
        await raw_call(path, sent)
        assert time.monotonic() - started < 8
        assert await answered(path)


@asynchronous
async def test_who_stops_in_the_middle_of_a_call_and_answers_no_ping_is_sent_away():
    health = HealthService()
    async with control_socket([health.add_to], limits=HASTY) as (path, _):
        begun = PREFACE + EMPTY_SETTINGS + ACKNOWLEDGED + HEADERS
        # With its message it is a call like any other,
        assert b"grpc-status" in await raw_call(path, begun + MESSAGE, patience=20)
        # without it the connection ends by itself.
        assert b"grpc-status" not in await raw_call(path, begun, patience=20)


@asynchronous
async def test_leaves_at_once_with_callers_of_all_kinds_still_there():
    health = HealthService()
    with short_directory() as directory:
        path = directory / "signerd.sock"
        async with contextlib.AsyncExitStack() as callers:
            async with ControlServer(path, [health.add_to], Bus(), pages=PAGES):
                channel = await callers.enter_async_context(grpc.aio.insecure_channel(f"unix:{path}"))
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
                _, silent = await asyncio.open_unix_connection(path)
                callers.callback(silent.close)
                _, asking = await asyncio.open_unix_connection(path)
                callers.callback(asking.close)
                asking.write(PREFACE)
                started = time.monotonic()
            assert time.monotonic() - started < 2
            watch.cancel()


UNPRIVILEGED = """
import asyncio, concurrent.futures.thread, os, pathlib, sys
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from signerd.control import quick
from signerd.control.server import ControlServer
from signerd.control.services import HealthService
from signerd.daemon import hardening
from signerd.observe.bus import Bus

async def main(path):
    pages = {"/status": lambda: b"{}\\n"}
    async with ControlServer(path, [HealthService().add_to], Bus(), pages=pages):
        assert await asyncio.to_thread(quick.ask, path, "/status", 10) == b"{}\\n"
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            health = health_pb2_grpc.HealthStub(channel)
            print((await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status)

os.setgid(65534); os.setuid(65534)
hardening.refuse_core_dumps()
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_works_without_any_privilege_and_while_nobody_may_look_into_the_process():
    with short_directory() as directory:
        (directory / "run").mkdir(mode=0o700)
        os.chown(directory / "run", 65534, 65534)
        directory.chmod(0o711)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, str(directory / "run" / "s")],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


FEW_DESCRIPTORS = """
import asyncio, pathlib, resource, sys
from signerd.control.server import ControlServer
from signerd.observe.bus import Bus

async def main(path):
    async with ControlServer(path, [], Bus(), pages={"/status": lambda: b'{"v": 1}'}):
        print("listening", flush=True)
        await asyncio.to_thread(sys.stdin.read)

resource.setrlimit(resource.RLIMIT_NOFILE, (158, 158))
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@asynchronous
async def test_leaves_descriptors_for_the_signer_itself():
    with short_directory() as directory:
        path = directory / "s"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FEW_DESCRIPTORS, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"listening\n"
        held = [await asyncio.open_unix_connection(path) for _ in range(100)]
        # Ten are kept waiting for their question; the others are sent away, and nobody is forgotten.
        assert not await answered(path)
        for reader, writer in held[10:]:
            with contextlib.suppress(ConnectionError):
                assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
            writer.close()
        for _, writer in held[:10]:
            writer.write(STATUS)
        assert all([b'"v"' in await reader.read() for reader, _ in held[:10]])
        for _, writer in held[:10]:
            writer.close()
        async with asyncio.timeout(5):
            while not await answered(path):
                pass
        await process.communicate(b"")
        assert process.returncode == 0
