"""The real daemon, watched as an operator would: metrics, health, and a journal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket

import pytest
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world
from prometheus_client.parser import text_string_to_metric_families

from signerd.dev.node import RequestRefused

SIGN_MESSAGE = bytes.fromhex("0017000568656c6c6f")


async def get(address: str, page: str) -> tuple[int, str]:
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {page} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


def value(text: str, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


@asynchronous
async def test_metrics_and_health_tell_the_story_of_a_daemon(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[metrics]\nlisten = "127.0.0.1:0"\n')
        async with w.daemon(**env) as daemon:
            address = (await daemon.said("metrics-listening"))["address"]
            await daemon.said("upgraded")
            assert (await get(address, "/livez"))[0] == 200
            assert (await get(address, "/startupz"))[0] == 200
            status, why = await get(address, "/readyz")
            assert (status, json.loads(why)["ok"]) == (503, False)
            node = await w.greenlight.schedule(NODE_ID)
            await node.examine()
            with pytest.raises(RequestRefused):
                await node.ask(SIGN_MESSAGE)
            await daemon.said("request-refused")
            assert (await get(address, "/readyz"))[0] == 200
            _, text = await get(address, "/metrics")
            refused = {"type": "sign_message", "outcome": "refused", "rule": "sign-message"}
            assert value(text, "signerd_requests_total", **refused) == 1
            assert value(text, "signerd_stream_up", stream="node") == 1
            assert (value(text, "signerd_node_info", node_id=NODE_ID.hex(), network="regtest")) == 1
            assert (value(text, "signerd_request_seconds_count", type="ecdh_req") or 0) >= 1
            assert (value(text, "signerd_certificate_expiry_timestamp_seconds") or 0) > 1e9
            assert (value(text, "process_resident_memory_bytes") or 0) > 2**20
            await w.greenlight.stop_node(NODE_ID)
            await daemon.said("node-detached")
            assert (await get(address, "/readyz"))[0] == 503
            code, _ = await daemon.stop()
    assert code == 0


@asynchronous
async def test_a_daemon_whose_port_is_taken_says_so_and_may_be_started_again(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            env = w.configure(f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
            async with w.daemon(**env) as daemon:
                assert await daemon.ended() == 75
                failed = await daemon.said("failed")
        assert f"somebody listens at 127.0.0.1:{port}" in failed["reason"]
        assert "metrics.listen" in failed["hint"]
        async with w.daemon(**env) as daemon:
            await daemon.said("metrics-listening")


@asynchronous
async def test_a_socket_that_a_killed_daemon_left_behind_is_replaced(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        path = tmp_path / "metrics"
        env = w.configure(f'[metrics]\nlisten = "unix:{path}"\n')
        for end in (signal.SIGKILL, signal.SIGTERM):
            async with w.daemon(**env) as daemon:
                said = await daemon.said("metrics-listening")
                assert said["address"] == f"unix:{path}"
                reader, writer = await asyncio.open_unix_connection(os.fspath(path))
                writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
                writer.close()
                await daemon.said("upgraded")
                await daemon.stop(end)
            assert path.exists() == (end is signal.SIGKILL)


@asynchronous
async def test_clients_that_neither_ask_nor_read_do_not_disturb_the_signing(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[metrics]\nlisten = "127.0.0.1:0"\n')
        async with w.daemon(**env) as daemon:
            address = (await daemon.said("metrics-listening"))["address"]
            port = int(address.rpartition(":")[2])
            node = await w.greenlight.schedule(NODE_ID)
            crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
            for number, (_, writer) in enumerate(crowd):
                writer.write(
                    b"GET /met" if number % 2 else b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
                )
            assert len(await node.examine()) == 9
            code, seconds = await daemon.stop()
            for _, writer in crowd:
                writer.close()
    assert (code, seconds < 5) == (0, True)


@asynchronous
async def test_an_unread_log_does_not_hold_up_the_signing(tmp_path):
    """A container engine that hangs: the pipe is full, and nobody empties it."""
    async with world(tmp_path) as w:
        await w.make_node()
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writing, True)
        process = await daemon_writing_to(writing, w.env)
        os.close(writing)
        try:
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
            process.terminate()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            os.close(reading)


async def daemon_writing_to(stderr: int, env: dict[str, str]) -> asyncio.subprocess.Process:
    import sys

    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signerd", "run",
        env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=stderr,
    )  # fmt: skip
