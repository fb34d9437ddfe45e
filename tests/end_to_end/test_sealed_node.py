"""A node whose secret gets sealed under its running daemon, and is opened at the next start."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, Daemon, world

MIB = 1024
"""In kB, as proc(5) counts."""


def memory_of(daemon: Daemon, what: str) -> int:
    """A line of /proc/PID/status, in kB."""
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{what}:")]
    return int(line.split()[1])


@pytest.mark.slow
@asynchronous
async def test_a_daemon_outlives_the_sealing_of_its_secret_and_starts_again_with_the_passphrase(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        passphrase = tmp_path / "passphrase"
        passphrase.touch(0o600)
        passphrase.write_text("correct horse battery staple\n")
        async with w.daemon() as daemon:
            await daemon.said("upgraded")
            node = await w.greenlight.schedule(NODE_ID)
            done = await w.signerd("seal", "--passphrase-file", passphrase)
            assert done.code == 0, done.err
            assert len((w.data_dir / "hsm_secret").read_bytes()) == 73
            assert len(await node.examine()) == 9
            plain = memory_of(daemon, "VmRSS")
            await daemon.stop()

        # What only needs the credentials asks for no passphrase.
        assert (await w.signerd("schedule")).code == 0

        async with w.daemon() as daemon:
            assert await daemon.ended() == 79

        async with w.daemon(SIGNERD_SECRET_PASSPHRASE_FILE=str(passphrase)) as daemon:
            await daemon.said("upgraded")
            assert len(await (await w.greenlight.schedule(NODE_ID)).examine()) == 9
            # The 256 MiB that the passphrase took were given back.
            assert memory_of(daemon, "VmHWM") > 256 * MIB
            assert memory_of(daemon, "VmRSS") < plain + 16 * MIB
            assert (await daemon.stop())[0] == 0
        assert "correct horse" not in daemon.text
