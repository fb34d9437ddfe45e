"""`signerd dev` as a program: what it prints and leaves behind, how it is steered, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from helpers.greenlight import Device, asynchronous, device_stubs, node_stubs, registered

from signerd.dev import control
from signerd.dev.control import Control
from signerd.dev.local import LocalGreenlight
from signerd.errors import Rejected, Unavailable, UsageError
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def signerd(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "signerd", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        signerd(*arguments), capture_output=True, text=True, cwd=REPOSITORY, timeout=60, check=False
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """What a running `signerd dev serve --json` printed, and its directory."""
    arguments = signerd("dev", "serve", "--dir", str(tmp_path), "--json")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            assert process.stdout
            yield json.loads(process.stdout.readline()), tmp_path
        finally:
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(10)


def test_serves_until_told_to_stop_and_says_where(served: tuple[dict[str, Any], Path]) -> None:
    printed, directory = served
    status = run("dev", "ctl", "status", "--dir", str(directory), "--json")
    assert printed["env"] == json.loads(status.stdout)["env"]
    assert 0o600 == stat.S_IMODE((directory / control.SOCKET_NAME).stat().st_mode)


def test_leaves_an_environment_and_a_configuration(served: tuple[dict[str, Any], Path]) -> None:
    printed, directory = served
    lines = (directory / "env").read_text().splitlines()
    exported = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    assert printed["env"] == exported
    config = tomllib.loads((directory / "signerd.toml").read_text())
    assert ("regtest", str(directory / "signer")) == (config["network"], config["data_dir"])
    assert {
        "uri": printed["scheduler_uri"],
        "ca_file": printed["env"]["GL_CA_CRT"],
        "nobody_cert_file": printed["env"]["GL_NOBODY_CRT"],
        "nobody_key_file": printed["env"]["GL_NOBODY_KEY"],
    } == config["scheduler"]


def test_its_configuration_is_one_that_signerd_reads(served: tuple[dict[str, Any], Path]) -> None:
    from signerd import config

    _, directory = served
    settings = config.load(config.Overrides(config=directory / "signerd.toml"), {})
    assert (directory / "signer", "regtest") == (settings.data_dir, settings.network)
    assert settings.control_socket == directory / "signerd.sock"


def test_a_second_one_in_the_same_directory_is_refused(served: tuple[dict[str, Any], Path]) -> None:
    _, directory = served
    refused = run("dev", "serve", "--dir", str(directory))
    assert (75, "") == (refused.returncode, refused.stdout)
    assert "already runs" in refused.stderr


def test_ctl_says_when_nobody_is_there(tmp_path: Path) -> None:
    done = run("dev", "ctl", "status", "--dir", str(tmp_path))
    assert 69 == done.returncode
    assert "signerd dev" in done.stderr


@pytest.mark.parametrize("arguments", ["no json", "[]"])
def test_ctl_refuses_arguments_that_are_no_object(tmp_path: Path, arguments: str) -> None:
    assert 64 == run("dev", "ctl", "ask", arguments, "--dir", str(tmp_path)).returncode


def test_without_a_subcommand_it_serves(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    arguments = signerd("dev")
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("https://localhost:")
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=10)
    assert 0 == process.returncode
    assert "signerd register --config" in talk
    assert (tmp_path / "signerd-dev" / "env").exists()


async def send(directory: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """One command, through the real socket."""
    return await asyncio.to_thread(control.send, directory / control.SOCKET_NAME, command, arguments)


@asynccontextmanager
async def steered(directory: Path) -> AsyncIterator[LocalGreenlight]:
    """A local Greenlight with its control socket."""
    greenlight = LocalGreenlight(directory)
    async with greenlight, Control(greenlight).serve(directory / control.SOCKET_NAME):
        yield greenlight


@asynchronous
async def test_steers_nodes_and_their_signers(tmp_path: Path) -> None:
    async with steered(tmp_path) as greenlight:
        device = await registered(greenlight)
        placed = await send(tmp_path, "schedule")
        node = greenlight.node(device.node_id)
        assert node.grpc_uri == placed["grpc_uri"]
        answering = asyncio.create_task(answer_pings(greenlight, device))
        reply = await send(tmp_path, "ask", raw="03e8000700", node_id=device.node_id.hex())
        assert {"reply": "044c000700"} == reply
        with pytest.raises(Rejected, match="not today"):
            await send(tmp_path, "ask", raw="0017")
        rejections = (await send(tmp_path, "rejections"))["rejections"]
        assert [("0017", "not today")] == [(r["raw"], r["error"]) for r in rejections]
        status = (await send(tmp_path, "status"))["nodes"][0]
        assert (1, [1001], ["default"]) == (status["signers"], status["pending"], status["devices"])
        await send(tmp_path, "stop-node")
        assert node.grpc_uri == ""
        await answering


async def answer_pings(greenlight: LocalGreenlight, device: Device) -> None:
    """A signer that answers pings and nothing else, until its stream ends."""
    async with node_stubs(greenlight, device.node_id, device.identity) as service:
        stream = service.StreamHsmRequests(greenlight_pb2.Empty())
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for request in stream:
                pong = request.raw[:2] == b"\x03\xe8"
                answer = greenlight_pb2.HsmResponse(
                    request_id=request.request_id,
                    raw=b"\x04\x4c\0\x07\0" if pong else b"",
                    error="" if pong or request.request_id == 0 else "not today",
                )
                await service.RespondHsmRequest(answer)


@asynchronous
async def test_sets_and_clears_faults_and_listeners(tmp_path: Path) -> None:
    async with steered(tmp_path) as greenlight:
        device = await registered(greenlight)
        await send(tmp_path, "fault", method="ListInviteCodes", status="INTERNAL")
        async with device_stubs(greenlight, device) as called:
            call = called.scheduler.ListInviteCodes(pb.ListInviteCodesRequest())
            assert "INTERNAL" == (await call.code()).name
            await send(tmp_path, "clear")
            await called.scheduler.ListInviteCodes(pb.ListInviteCodesRequest())
        for mode in ("half-open", "cutting", "refusing", "serving"):
            assert {"mode": mode} == await send(tmp_path, "listen", mode=mode)
        assert {"uri": greenlight.scheduler_uri} == await send(tmp_path, "restart")
        assert "serving" == greenlight.scheduler.mode


@asynchronous
async def test_hands_out_invites_and_takes_an_export_payload(tmp_path: Path) -> None:
    async with steered(tmp_path) as greenlight:
        assert greenlight._ledger.invite_is_open((await send(tmp_path, "invite"))["code"])
        await send(tmp_path, "export-payload", hex="0102")
        assert b"\1\2" == greenlight.settings.export_payload
        (tmp_path / "dump.sql").write_bytes(b"-- dump")
        await send(tmp_path, "export-payload", path=str(tmp_path / "dump.sql"))
        assert b"-- dump" == greenlight.settings.export_payload
        assert {"waiting": []} == await send(tmp_path, "pairings")
        assert {"reports": []} == await send(tmp_path, "reports")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("dance", {}),
        ("schedule", {}),
        ("schedule", {"node_id": "00"}),
        ("schedule", {"node_id": 7}),
        ("ask", {}),
        ("fault", {"status": "NO_SUCH"}),
        ("fault", {"colour": "red"}),
        ("listen", {"mode": "upside down"}),
        ("listen", {}),
        ("export-payload", {"path": "/nowhere/at/all"}),
    ],
)
@asynchronous
async def test_answers_a_wrong_command_with_an_error(
    tmp_path: Path, command: str, arguments: dict[str, Any]
) -> None:
    async with steered(tmp_path):
        with pytest.raises(Rejected):
            await send(tmp_path, command, **arguments)
        await send(tmp_path, "status")


@asynchronous
async def test_gives_up_on_a_signer_that_does_not_come(tmp_path: Path) -> None:
    async with steered(tmp_path) as greenlight:
        device = await registered(greenlight)
        with pytest.raises(Rejected, match="no signer answered"):
            await send(tmp_path, "ask", raw="07d8", timeout=0.01)
        assert [] == greenlight.node(device.node_id).pending()


@asynchronous
async def test_refuses_a_directory_too_deep_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        async with steered(tmp_path / ("deep" * 30)):
            pass
    with pytest.raises(Unavailable):
        control.send(tmp_path / "none.sock", "status", {})
