"""The real daemon behind the walls of its systemd unit, as far as they can be built without systemd."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from helpers.approvals import approval_by
from helpers.greenlight import asynchronous
from helpers.sandbox import UNPRIVILEGED
from helpers.world import NODE_ID, PATIENCE, REPOSITORY, WORDS, Daemon, Done, environment, world

from signerd.cli.main import COMMANDS
from signerd.core.keys import mnemonic

UNIT = REPOSITORY / "systemd" / "signerd.service"
ANALYZE = shutil.which("systemd-analyze")

PROBE = """
import ctypes, mmap, os, socket, sys
refused = {}
def tries(name, attempt):
    try:
        attempt()
    except OSError as error:
        refused[name] = error.errno
tries("write", lambda: open("/etc/signerd-was-here", "w"))
tries("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
tries("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tries("write-execute", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))
tries("chroot", lambda: os.chroot("/"))
tries("set-uid", lambda: os.chmod(os.environ["STATE_DIRECTORY"], 0o4700))
tries("own", lambda: open(os.environ["STATE_DIRECTORY"] + "/probe", "w"))
tries("socket", lambda: socket.socket())
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(refused, os.getuid(), {status[key].strip() for key in ("CapEff", "CapPrm", "CapBnd")},
      status["NoNewPrivs"].strip(), status["Seccomp"].strip(), len(os.listdir("/home")))
"""


class Service:
    """What systemd would make for the service: directories with its owner, credentials, an environment."""

    def __init__(self, directory: Path, greenlight_env: dict[str, str]) -> None:
        self._writable, self._readable = [], [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)]
        secret = mnemonic.node_secret(mnemonic.check(WORDS)).expose()
        self.state, self._runtime = directory / "state", directory / "runtime"
        configuration, credentials = directory / "configuration", directory / "credentials"
        for path in (self.state, self._runtime, credentials, configuration):
            path.mkdir(mode=0o700)
        (credentials / "hsm_secret").write_bytes(secret)
        (credentials / "hsm_secret").chmod(0o400)
        (configuration / "config.toml").write_text('network = "regtest"\n')
        configuration.chmod(0o755)
        self._env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1",
            "STATE_DIRECTORY": str(self.state), "RUNTIME_DIRECTORY": str(self._runtime),
            "CONFIGURATION_DIRECTORY": str(configuration), "CREDENTIALS_DIRECTORY": str(credentials),
        }  # fmt: skip
        for name, value in greenlight_env.items():
            if value.startswith("/"):
                copy = configuration / Path(value).name
                shutil.copyfile(value, copy)
                copy.chmod(0o644)
                value = str(copy)  # noqa: PLW2901
            self._env[name] = value
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.notified.bind(str(configuration / "notify"))
        self._env |= {"NOTIFY_SOCKET": str(configuration / "notify"), "WATCHDOG_USEC": "60000000"}
        for path in (self.state, self._runtime, credentials, credentials / "hsm_secret"):
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        os.chown(configuration / "notify", UNPRIVILEGED, UNPRIVILEGED)
        self._writable = [self.state, self._runtime]
        self._readable += [configuration, credentials]

    def told(self) -> list[str]:
        """What it said to systemd until now."""
        lines: list[str] = []
        with contextlib.suppress(BlockingIOError), self.notified:
            while True:
                lines += self.notified.recv(65536).decode().splitlines()
        return lines

    async def start(self, *command: str) -> asyncio.subprocess.Process:
        """The command behind the walls; what builds them is the same process, until it is the command."""
        walls = [f"--writable={path}" for path in self._writable]
        walls += [f"--readable={path}" for path in self._readable]
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "helpers.sandbox", UNIT, *walls, "--", sys.executable, *command,
            env=self._env | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=2**22,
        )  # fmt: skip

    async def run(self, *command: str) -> Done:
        process = await self.start(*command)
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def daemon(self):
        process = await self.start("-m", "signerd", "run")
        daemon = Daemon(process)
        reader = asyncio.create_task(daemon.read())
        try:
            yield daemon
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reader


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the walls are built by root")
@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed, which knows the system calls")
@asynchronous
async def test_the_daemon_lives_and_signs_behind_the_walls_of_its_unit(tmp_path):
    async with world(tmp_path) as w:
        service = Service(tmp_path, w.greenlight.env)

        probed = await service.run("-c", PROBE)
        assert probed.code == 0, probed.err
        # Read-only, twice no such address family, and whatever is not allowed.
        assert (
            probed.out.split()
            == (
                "{'write': 30, 'netlink': 97, 'packet': 97, 'write-execute': 1, 'chroot': 1, 'set-uid': 1} "
                f"{UNPRIVILEGED} {{'0000000000000000'}} 1 2 0"
            ).split()
        ), probed.out

        if "config" in COMMANDS:
            assert (await service.run("-m", "signerd", "config", "check")).code == 0
        registered = await service.run("-m", "signerd", "register")
        assert registered.code == 0, registered.err
        async with service.daemon() as daemon:
            await daemon.said("scheduler-stream-open")
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
            approved = await w.greenlight.node(NODE_ID).approvals.approve(approval_by(service.state))
            assert approved is not None
            await daemon.said("pairing-approved")
            if "health" in COMMANDS:
                assert (await service.run("-m", "signerd", "health")).code == 0
            code, seconds = await daemon.stop()
        assert code == 0, daemon.text
        assert seconds < 5
        told = service.told()
        if "health" in COMMANDS:
            assert {"READY=1", "STOPPING=1"} <= set(told)
        kept = {path.name: path.stat() for path in service.state.iterdir()}
        assert {"signerd.db", "credentials.gfs"} <= set(kept)
        assert all((found.st_uid, found.st_mode & 0o077) == (UNPRIVILEGED, 0) for found in kept.values())


# PR_SET_MDWE and PR_MDWE_REFUSE_EXEC_GAIN, kept over execve(2).
_DENY_WRITE_EXECUTE = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
    sys.exit(99)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.slow
def test_the_whole_story_needs_no_memory_that_is_writable_and_executable(tmp_path):
    """What MemoryDenyWriteExecute= forbids, as the kernel's own switch for it (Linux 6.3)."""
    done = subprocess.run(
        [sys.executable, "-c", _DENY_WRITE_EXECUTE, "-m", "signerd", "demo"],
        env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 99:
        pytest.skip("this kernel has no PR_SET_MDWE")

    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
