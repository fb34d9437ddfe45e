"""A local Greenlight, an empty home, and the real `signerd` in processes of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import startup
from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.daemon.clock import SystemClock
from signerd.dev.local import LocalGreenlight
from signerd.greenlight import registration
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import Identity
from signerd.store import files, secret_file

REPOSITORY = Path(__file__).resolve().parent.parent.parent
WORDS = "abandon " * 11 + "about"
NODE_ID = bytes.fromhex("03653e90c1ce4660fd8505dd6d643356e93cfe202af109d382787639dd5890e87d")
PATIENCE = 20.0


@dataclass
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result, which must be one document, of the version that all are."""
        document = json.loads(self.out)
        assert document["v"] == 1
        return document


def environment(home: Path, **more: str) -> dict[str, str]:
    """An empty home and nothing of the tester's own configuration."""
    foreign = (
        "SIGNERD_", "GL_", "XDG_", "STATE_DIR", "CONFIGURATION_DIR", "CREDENTIALS_DIR", "RUNTIME_DIR",
        "GRPC_", "NOTIFY_", "WATCHDOG_",
    )  # fmt: skip
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return kept | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"} | more


async def signerd(*arguments: str | Path, env: dict[str, str], stdin: str | bytes = "") -> Done:
    """Run one command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signerd", *map(str, arguments),
        env=env, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    content = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(content)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@dataclass
class Daemon:
    """A running `signerd run`, and everything that it has logged."""

    process: asyncio.subprocess.Process
    entries: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self) -> None:
        """Collect its log until it ends."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.text += line.decode()
            if line.startswith(b"{"):
                self.entries.append(json.loads(line))
            async with self._news:
                self._news.notify_all()

    async def said(self, event: str, *, times: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until it has logged this event so often; the last of them."""

        def matching() -> list[dict[str, Any]]:
            return [e for e in self.entries if e["event"] == event and fields.items() <= e.items()]

        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(matching()) >= times)
        return matching()[times - 1]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; the exit code, and how long it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        return await self.ended(), time.monotonic() - started

    async def ended(self) -> int:
        """Wait for its own end."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@dataclass
class World:
    """One node's surroundings."""

    directory: Path
    greenlight: LocalGreenlight

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def env(self) -> dict[str, str]:
        more = {"SIGNERD_DATA_DIR": str(self.data_dir), "SIGNERD_NETWORK": "regtest"}
        return environment(self.directory / "home", **more, **self.greenlight.env)

    async def signerd(self, *arguments: str | Path, stdin: str = "", **env: str) -> Done:
        """Run a command here."""
        return await signerd(*arguments, env=self.env | env, stdin=stdin)

    async def make_node(self) -> None:
        """What `init` and `register` leave behind, without two processes more for every test."""
        secret = mnemonic.node_secret(mnemonic.check(WORDS))
        self.data_dir.mkdir(mode=0o700)
        secret_file.create_secret(self.data_dir / "hsm_secret", secret)
        greenlight = self.greenlight
        nobody = Identity(
            greenlight.nobody_crt_path.read_bytes(),
            greenlight.nobody_key_path.read_bytes(),
            greenlight.ca_path.read_bytes(),
        )
        async with SchedulerClient(greenlight.scheduler_uri, nobody) as scheduler:
            credentials = await registration.register(
                scheduler, NodeKeys.derive(secret),
                network="regtest", signer_version=startup.DEFAULT_VERSION, invite_code="",
                device_key=ec.generate_private_key(ec.SECP256R1()), ca=nobody.ca, now=SystemClock().now,
            )  # fmt: skip
        files.write_atomically(self.data_dir / "credentials.gfs", credentials.encode())

    def configure(self, text: str) -> dict[str, str]:
        """Write a configuration; the environment that names it."""
        path = self.directory / "signerd.toml"
        path.write_text(text)
        return {"SIGNERD_CONFIG": str(path)}

    @asynccontextmanager
    async def daemon(
        self, *arguments: str, program: tuple[str, ...] = ("-m", "signerd"), **env: str
    ) -> AsyncIterator[Daemon]:
        """`signerd run` for the time of the block; killed if it is still there at its end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *program, "run", *arguments,
            env=self.env | env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, limit=2**22,
        )  # fmt: skip
        daemon = Daemon(process)
        reader = asyncio.create_task(daemon.read())
        try:
            yield daemon
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reader


@asynccontextmanager
async def world(directory: Path, **options: Any) -> AsyncIterator[World]:
    """A local Greenlight with nothing registered, and an empty home."""
    (directory / "home").mkdir()
    async with LocalGreenlight(directory / "greenlight", **options) as greenlight:
        yield World(directory, greenlight)
