"""The real daemon as its owner and systemd meet it: asked, watched, reloaded, stuck, and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
from helpers.greenlight import asynchronous
from helpers.notifications import NotifySocket
from helpers.world import NODE_ID, PATIENCE, world

from signerd.dev.node import RequestRefused

SIGN_MESSAGE = bytes.fromhex("0017000568656c6c6f")

# The daemon, with two faults that a signal lets in: the key breaks, and the event loop stands still.
FAULTY = """
import signal, sys, time
from signerd.cli.main import main
from signerd.core.keys.node import NodeKeys

def break_key(*_):
    NodeKeys.ecdh = lambda self, point: bytes(32)

signal.signal(signal.SIGUSR1, break_key)
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(3600))
main(sys.argv[1:])
"""


# Asked


@asynchronous
async def test_status_and_health_follow_the_node_from_the_start_to_the_end(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        before = await w.signerd("health", "--json")
        assert (before.code, before.json["state"], before.json["live"]) == (69, "not-running", False)
        assert (await w.signerd("status")).code == 69
        async with w.daemon() as daemon:
            await daemon.said("node-not-scheduled")
            waiting = await w.signerd("health")
            assert (waiting.code, waiting.out.split(":")[0]) == (22, "node-not-scheduled")
            assert (await w.signerd("health", "--live")).code == 0
            node = await w.greenlight.schedule(NODE_ID)
            await daemon.said("node-attached")
            await node.examine()
            with pytest.raises(RequestRefused):
                await node.ask(SIGN_MESSAGE)
            await daemon.said("request-refused")
            status = (await w.signerd("status", "--json")).json
            assert (status["v"], status["node_id"], status["health"]["state"]) == (1, NODE_ID.hex(), "ready")
            assert status["requests"]["answered"] >= 9
            assert status["requests"]["refused_by_rule"] == {"sign-message": 1}
            assert (status["scheduler"]["state"], status["node"]["state"]) == ("connected", "attached")
            assert status["node"]["uri"] == node.grpc_uri
            assert status["pid"] == daemon.process.pid
            screen = (await w.signerd("status")).out
            assert screen.startswith("ready: ")
            assert NODE_ID.hex() in screen
            assert "1 sign-message" in screen
            assert (await w.signerd("health")).code == 0
            await w.greenlight.stop_node(NODE_ID)
            await daemon.said("node-detached")
            assert (await w.signerd("health")).code in {21, 22}
            await daemon.stop()
        assert (await w.signerd("health")).code == 69


@asynchronous
async def test_a_signer_that_refuses_everything_is_not_ready(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            for _ in range(10):
                with pytest.raises(RequestRefused):
                    await node.ask(SIGN_MESSAGE)
            refusing = await w.signerd("health", "--json")
            assert (refusing.code, refusing.json["state"]) == (23, "refusing")
            assert "sign-message" in refusing.json["reason"]
            await node.examine()
            await daemon.said("request-answered")
            assert (await w.signerd("health")).code == 0


@asynchronous
async def test_health_knows_a_sealed_secret_from_a_signer_that_only_does_not_run(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        secret = w.data_dir / "hsm_secret"
        assert (await w.signerd("health")).code == 69
        secret.write_bytes(bytes(73))
        sealed = await w.signerd("health", "--json")
        assert (sealed.code, sealed.json["state"]) == (25, "sealed")
        secret.write_bytes(bytes(74))
        assert (await w.signerd("health")).code == 69


@asynchronous
async def test_events_are_those_of_the_log_and_can_be_followed(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            await daemon.said("scheduler-stream-open")
            await daemon.said("upgraded")
            listed = await w.signerd("events", "--json", "--last", "1000")
            told = [json.loads(line) for line in listed.out.splitlines()]
            assert [entry["event"] for entry in told] == [entry["event"] for entry in daemon.entries]
            assert [entry["v"] for entry in told] == [1] * len(told)
            follower = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "signerd", "events", "--follow", "--last", "1",
                env=w.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            assert follower.stdout is not None
            await follower.stdout.readline()
            await w.greenlight.schedule(NODE_ID)
            line = b""
            while b" node-attached " not in line:
                line = await asyncio.wait_for(follower.stdout.readline(), 20)
                assert line
            assert re.match(rb"[0-9-]{10}T[0-9:.]{12}Z info +node-attached uri=https://", line)
            follower.send_signal(signal.SIGINT)
            await follower.communicate()
            assert follower.returncode == 130
            again = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "signerd", "events", "--follow",
                env=w.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            await daemon.stop()
            _, err = await again.communicate()
            assert again.returncode == 69
            assert b"did not answer" in err or b"no signer runs" in err


@asynchronous
async def test_reload_of_a_broken_file_says_what_is_wrong_and_changes_nothing(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure("[pairing]\nmax_age_seconds = 100\n")
        async with w.daemon(**env) as daemon:
            await daemon.said("started")
            await daemon.said("scheduler-stream-open")
            same = await w.signerd("reload", "--json", **env)
            assert (same.code, same.json) == (0, {"v": 1, "applied": [], "needs_restart": []})
            w.configure("[pairing]\nmax_age_secands = 100\n")
            # The broken file does not keep its owner from asking: the socket is named.
            broken = await w.signerd("reload", SIGNERD_CONTROL_SOCKET=str(w.data_dir / "signerd.sock"), **env)
            assert broken.code == 78
            assert "max_age_secands" in broken.err
            assert "did you mean" in broken.err
            assert daemon.process.returncode is None


# As systemd has it


@asynchronous
async def test_systemd_hears_of_the_start_each_state_a_reload_and_the_end(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        with NotifySocket(tmp_path / "n") as systemd:
            async with w.daemon(NOTIFY_SOCKET=systemd.name, WATCHDOG_USEC="20000000") as daemon:
                await systemd.until("READY=1")
                # All that can be checked was, and the owner is answered.
                assert await daemon.said("store-opened")
                assert (await w.signerd("health", "--live")).code == 0
                await systemd.until("STATUS=node-not-scheduled: ")
                assert "WATCHDOG=1" in systemd.told
                await w.greenlight.schedule(NODE_ID)
                await systemd.until("STATUS=ready: ")
                assert (await w.signerd("reload")).code == 0
                await systemd.until("RELOADING=1\nMONOTONIC_USEC=")
                assert await systemd.until("READY=1") == []
                assert (await daemon.stop())[0] == 0
                rest = systemd.rest()
                assert [m for m in rest if m != "WATCHDOG=1"] == [
                    "STATUS=stopping: it was told to stop (SIGTERM)",
                    "STOPPING=1",
                ]


@asynchronous
async def test_systemd_never_hears_that_a_signer_is_ready_whose_store_is_lost(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            await daemon.said("scheduler-stream-open")
            await daemon.stop()
        for part in w.data_dir.glob("signerd.db*"):
            if not part.name.endswith(".last"):
                part.unlink()
        with NotifySocket() as systemd:
            async with w.daemon(NOTIFY_SOCKET=systemd.name) as daemon:
                assert await daemon.ended() == 65
            assert "READY=1" not in systemd.rest()


@asynchronous
async def test_the_watchdog_is_not_fed_once_the_key_is_broken_and_health_says_stuck(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        with NotifySocket() as systemd:
            env = {"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "200000"}
            async with w.daemon(program=("-c", FAULTY), **env) as daemon:
                await systemd.until("READY=1")
                await systemd.until("WATCHDOG=1")
                daemon.process.send_signal(signal.SIGUSR1)
                stuck = await daemon.said("stuck")
                assert stuck["reason"] == "the node key gives wrong answers"
                await systemd.until("STATUS=stuck: ")
                # What is asked now takes longer than several meals of the watchdog.
                found = await w.signerd("health", "--live", "--json")
                assert (found.code, found.json["live"]) == (26, False)
                assert systemd.rest() == []
                # It is no trouble to those who end it in an orderly way.
                assert (await daemon.stop())[0] == 0


@asynchronous
async def test_the_watchdog_is_not_fed_while_the_event_loop_stands_still_and_health_says_stuck(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        with NotifySocket() as systemd:
            env = {"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "200000"}
            async with w.daemon(program=("-c", FAULTY), **env) as daemon:
                await systemd.until("READY=1")
                await systemd.until("WATCHDOG=1")
                daemon.process.send_signal(signal.SIGUSR2)
                found = await w.signerd("health", "--timeout", "0.5")
                assert found.code == 26
                systemd.rest()
                assert (await w.signerd("health", "--timeout", "0.5")).code == 26
                assert systemd.rest() == []


# The commands themselves


def test_status_loads_nothing_that_takes_long(tmp_path):
    program = (
        "import sys\n"
        "from signerd.cli.main import main\n"
        "try:\n"
        "    main(['status', '--data-dir', sys.argv[1]])\n"
        "finally:\n"
        "    print(sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, check=False, text=True, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 69
    loaded = set(re.findall(r"'([\w.]+)'", done.stdout))
    assert "signerd.control.quick" in loaded
    slow = {"grpc", "google", "asyncio", "cryptography", "coincurve", "embit", "rich", "structlog", "sqlite3"}
    assert loaded & slow == set()


@asynchronous
async def test_watching_repeats_until_ctrl_c_and_survives_a_restart_of_the_signer(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        # Not a fork of this process, in which gRPC has its threads.
        ours, its = pty.openpty()
        screen = os.fdopen(ours, "rb", buffering=0)
        watching = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "signerd", "status", "--watch", "--every", "0.1",
            env=w.env, stdout=its, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(its)

        async def until(pattern: bytes, times: int = 1) -> bytes:
            shown = b""
            async with asyncio.timeout(PATIENCE):
                while len(re.findall(pattern, shown)) < times:
                    shown += await asyncio.to_thread(screen.read, 65536)
            return shown

        async with w.daemon() as daemon:
            assert b"\x1b[H\x1b[J" in await until(rb"certificate ", times=2)
            await daemon.stop()
            await until(rb"no signer runs at")
        async with w.daemon():
            await until(rb"certificate ")
            watching.send_signal(signal.SIGINT)
            _, err = await watching.communicate()
        screen.close()
        assert (watching.returncode, err.strip()) == (130, b"error: interrupted")


@asynchronous
async def test_watching_in_a_pipe_is_plain_and_one_document_per_line_with_json(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            await daemon.said("upgraded")
            for more, pattern in (((), rb"certificate "), (("--json",), rb'\{"v": 1, ')):
                watching = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "signerd", "status", "--watch", "--every", "0.1", *more,
                    env=w.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )  # fmt: skip
                assert watching.stdout is not None
                seen = b""
                started = time.monotonic()
                while len(re.findall(pattern, seen)) < 2:
                    seen += await asyncio.wait_for(watching.stdout.readline(), 10)
                assert time.monotonic() - started < 10
                assert b"\x1b" not in seen
                watching.send_signal(signal.SIGINT)
                await watching.communicate()
                assert watching.returncode == 130
