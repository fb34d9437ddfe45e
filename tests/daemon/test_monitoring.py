"""Where metrics are served, and what happens when they cannot be served there."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path

import pytest
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous
from prometheus_client.parser import text_string_to_metric_families

from signerd.addresses import ListenAddress
from signerd.daemon.monitoring import Monitoring, listening
from signerd.errors import AlreadyRunning, ConfigError, ExitCode, OutputError
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.metrics import Gauges
from signerd.observe.probes import StreamJudge

ANY_PORT = ListenAddress(host="127.0.0.1", port=0)


def at(path: Path) -> ListenAddress:
    return ListenAddress(path=path)


def made(bus: Bus) -> Monitoring:
    judge = StreamJudge()
    bus.listen(judge.hear)
    return Monitoring(
        bus=bus, clock=FakeClock(), judge=judge,
        gauges=lambda verdict: Gauges(verdict=verdict, certificate_expiry=1_800_000_000),
    )  # fmt: skip


async def get(path: Path, page: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_unix_connection(os.fspath(path))
    writer.write(f"GET {page} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


@asynchronous
async def test_serves_metrics_and_the_three_questions(tmp_path):
    said = []
    bus, path = Bus(said.append), tmp_path / "metrics"
    service = made(bus)
    with listening(at(path)) as listener:
        async with service.serving(listener):
            assert said == [events.MetricsListening(address=f"unix:{path}")]
            assert [(await get(path, page))[0] for page in ("/livez", "/readyz", "/startupz")] == [
                200,
                503,
                503,
            ]
            bus.emit(events.NodeAttached(uri="https://n"))
            status, body = await get(path, "/readyz")
            assert (status, json.loads(body)) == (
                200, {"v": 1, "ok": True, "state": "ready", "reason": "attached to the node"}
            )  # fmt: skip
            status, body = await get(path, "/metrics")
            found = {f.name for f in text_string_to_metric_families(body)}
            assert {"signerd_ready", "signerd_requests", "process_resident_memory_bytes"} <= found


def test_a_free_port_is_told():
    with listening(ANY_PORT) as listener:
        assert listener.name == f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    with listening(ListenAddress(host="::1", port=0)) as listener:
        assert listener.name.startswith("http://[::1]:")


def test_a_port_that_is_taken_may_be_free_later():
    with listening(ANY_PORT) as listener:
        port = listener.socket.getsockname()[1]
        taken = listening(ListenAddress(host="127.0.0.1", port=port))
        with pytest.raises(AlreadyRunning, match=f"somebody listens at 127.0.0.1:{port}") as refused, taken:
            pass
    assert refused.value.exit_code is ExitCode.TRY_LATER
    assert "metrics.listen" in (refused.value.hint or "")
    with listening(ListenAddress(host="127.0.0.1", port=port)):
        pass


def test_a_socket_is_for_user_and_group_and_gone_afterwards(tmp_path):
    path = tmp_path / "metrics"
    with listening(at(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert [item.name for item in tmp_path.iterdir()] == ["metrics"]
    assert list(tmp_path.iterdir()) == []


def test_takes_the_place_of_a_dead_socket_and_never_of_a_live_one(tmp_path):
    path = tmp_path / "metrics"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    with listening(at(path)):
        with pytest.raises(AlreadyRunning), listening(at(path)):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.fspath(path))


def test_leaves_what_is_no_socket_where_it_is(tmp_path):
    path = tmp_path / "metrics"
    path.write_text("mine")
    with pytest.raises(OutputError, match="is there and is no socket"), listening(at(path)):
        pass
    assert path.read_text() == "mine"


def test_leaves_the_socket_of_another_that_took_its_place(tmp_path):
    path = tmp_path / "metrics"
    with socket.socket(socket.AF_UNIX) as another:
        with listening(at(path)):
            path.unlink()
            another.bind(os.fspath(path))
        assert path.exists()


@pytest.mark.parametrize("name", ["none/metrics", "x" * 200])
def test_a_place_where_no_socket_can_be_says_which_setting_to_change(tmp_path, name):
    with pytest.raises((OutputError, ConfigError)) as refused, listening(at(tmp_path / name)):
        pass
    assert "metrics.listen" in (refused.value.hint or "")
    assert list(tmp_path.iterdir()) == []
