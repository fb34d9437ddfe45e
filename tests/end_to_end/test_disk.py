"""The real daemon on a disk that fills up: it refuses by name, stays, and goes on when there is room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
from pathlib import Path

import pytest
from helpers.approvals import approval_by
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world

from signerd.core.wire import codec
from signerd.core.wire.channel import NewChannel
from signerd.dev.node import RequestRefused
from signerd.store.state_db import StateDb

ONE = codec.encode(NewChannel(NODE_ID, 1))


@contextlib.contextmanager
def small_disk(path: Path):
    """A file system of 4 MiB, with what is there copied onto it."""
    kept = {entry.name: entry.read_bytes() for entry in path.iterdir()}
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        for name, content in kept.items():
            (path / name).write_bytes(content)
            (path / name).chmod(0o600)
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(512)):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@asynchronous
async def test_a_disk_that_is_full_is_waited_for(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        with small_disk(w.data_dir):
            env = w.configure("[pairing]\nanswer_refusals = true\n")
            async with w.daemon(**env) as daemon:
                node = await w.greenlight.schedule(NODE_ID)
                assert len(await node.examine()) == 9
                approvals, approval = w.greenlight.node(NODE_ID).approvals, approval_by(w.data_dir)
                fill(w.data_dir / "filler")

                with pytest.raises(RequestRefused, match="store-failing"):
                    await node.ask(ONE)
                failing = await daemon.said("store-failing")
                assert "disk" in failing["hint"]
                unanswered = asyncio.create_task(approvals.approve(approval))
                await daemon.said("pairing-refused", rule="pairing-store-failing")
                assert daemon.process.returncode is None

                (w.data_dir / "filler").unlink()
                await daemon.said("store-well")
                # The same stream would not bring again what was refused on it.
                await daemon.said("node-attached", times=2)
                assert await node.ask(ONE) == bytes.fromhex("0082")
                # No refusal was sent that the scheduler could take for the last word on it: it asked again.
                assert await unanswered is not None
                assert (await daemon.stop())[0] == 0
            with StateDb(w.data_dir / "signerd.db") as store:
                assert store.channel_count == 1


@asynchronous
async def test_a_disk_that_gives_errors_is_waited_for(tmp_path):
    """Every write of the running daemon fails, and then none does."""
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
            _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, hard))
            with pytest.raises(RequestRefused, match="store-failing"):
                await node.ask(ONE)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
            await daemon.said("store-well")
            assert await node.ask(ONE) == bytes.fromhex("0082")
            assert (await daemon.stop())[0] == 0


@asynchronous
async def test_a_store_that_is_replaced_under_a_running_daemon_ends_it(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        path = w.data_dir / "signerd.db"
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await node.examine()
            _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, hard))
            with pytest.raises(RequestRefused, match="store-failing"):
                await node.ask(ONE)
            path.with_name("copy").write_bytes(path.read_bytes())
            path.with_name("copy").replace(path)
            assert await daemon.ended() == 74
            assert "not the file any more" in (await daemon.said("failed"))["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@asynchronous
async def test_a_disk_that_is_full_at_the_start_ends_it_with_a_code_that_is_worth_a_restart(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        with small_disk(w.data_dir):
            fill(w.data_dir / "filler")
            async with w.daemon() as daemon:
                assert await daemon.ended() == 74
            (w.data_dir / "filler").unlink()
            async with w.daemon() as daemon:
                await daemon.said("scheduler-stream-open")
                assert (await daemon.stop())[0] == 0
