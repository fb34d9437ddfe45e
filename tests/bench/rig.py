"""One local Greenlight, and the two signers as processes that are started against it in turn."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]
from helpers.greenlight import Device, registered

from signerd.core import startup
from signerd.dev.local import LocalGreenlight
from signerd.dev.node import HostedNode
from signerd.greenlight.credentials import Credentials

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parent.parent.parent
STREAM = "SignerRequestsStream"
PATIENCE = 60.0
STOP_SECONDS = 10.0
_PEER_SCRIPT = Path(__file__).with_name("peer_signer.py")


class BenchFailed(Exception):
    """A signer did not do what is to be measured."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A signer and the node that it serves. `python` is the interpreter that has it."""

    name: str
    python: Path
    device: Device
    directory: Path

    @property
    def is_peer(self) -> bool:
        return self.name != "signerd"

    @property
    def command(self) -> list[str]:
        if not self.is_peer:
            return [str(self.python), "-m", "signerd", "run"]
        files = (self.directory / "hsm_secret", self.directory / "credentials.gfs")
        return [str(self.python), "-I", "-u", str(_PEER_SCRIPT), *map(str, files)]


@dataclass(slots=True)
class Running:
    """A signer's process. `started` is the time.monotonic() just before it was made."""

    contender: Contender
    greenlight: LocalGreenlight
    process: asyncio.subprocess.Process
    started: float
    log: Path
    streams_before: int
    facts: psutil.Process = field(repr=False)

    @property
    def node(self) -> HostedNode:
        return self.greenlight.node(self.contender.device.node_id)

    @property
    def rss_mb(self) -> float:
        return float(self.facts.memory_info().rss) / 1e6

    @property
    def cpu_seconds(self) -> float:
        """User and system, in steps of 10 ms."""
        times = self.facts.cpu_times()
        return float(times.user + times.system)

    async def until(self, what: Awaitable[T]) -> T:
        """Wait for something, for no longer than the process lives. Raises BenchFailed."""
        waited = asyncio.ensure_future(what)
        ended = asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait({waited, ended}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if waited.done():
                return waited.result()
        finally:
            ended.cancel()
            waited.cancel()
        code = self.process.returncode
        state = "did not get there in time" if code is None else f"left with {code}"
        tail = self.log.read_text(errors="replace")[-1500:]
        raise BenchFailed(f"{self.contender.name} {state}\n{tail}")

    async def streaming(self) -> float:
        """The time.monotonic() at which its first stream was opened at the scheduler."""
        return await self.until(self.greenlight.calls.reach(STREAM, self.streams_before + 1))

    async def attached(self) -> None:
        """Its stream to the scheduler is open, its node is scheduled, and it takes the node's requests."""
        await self.streaming()
        await self.greenlight.schedule(self.node.node_id)
        await self.until(self.node.attached.wait())


class Rig:
    """`async with Rig.set_up(directory, peer) as rig`: both nodes are registered, and their files written."""

    def __init__(self, directory: Path, greenlight: LocalGreenlight, contenders: list[Contender]) -> None:
        self.directory = directory
        self.greenlight = greenlight
        self.contenders = contenders
        self._logs = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def set_up(cls, directory: Path, peer: Path | None) -> AsyncIterator[Rig]:
        async with LocalGreenlight(directory / "greenlight") as greenlight:
            contenders = [await _contender("signerd", Path(sys.executable), 1, directory, greenlight)]
            if peer is not None:
                contenders.append(await _contender("gl-client", peer, 2, directory, greenlight))
            rig = cls(directory, greenlight, contenders)
            for contender in contenders:
                # A first start compiles every module, and keeps memory and time for it.
                async with rig.running(contender) as signer:
                    await signer.attached()
            yield rig

    async def another(self, contender: Contender, seed: int) -> Contender:
        """The same signer for a node of its own."""
        return await _contender(contender.name, contender.python, seed, self.directory, self.greenlight)

    @contextlib.asynccontextmanager
    async def running(self, contender: Contender, **env: str) -> AsyncIterator[Running]:
        """A process of this signer; on leaving it is told to stop, and its node is stopped."""
        self._logs += 1
        log = self.directory / f"{contender.name}-{self._logs}.log"
        before = len(self.greenlight.calls.times(STREAM))
        with log.open("wb") as output:
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *contender.command, env=self._environment(contender) | env, cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            facts = psutil.Process(process.pid)
            yield Running(contender, self.greenlight, process, started, log, before, facts)
        finally:
            await _stop(process)
            await self.greenlight.stop_node(contender.device.node_id)

    def _environment(self, contender: Contender) -> dict[str, str]:
        own = ("SIGNERD_", "GL_", "XDG_", "PYTHON", "STATE_DIR", "CONFIGURATION_DIR", "CREDENTIALS_DIR")
        return python_environment(self.directory, without=own) | {
            "SIGNERD_DATA_DIR": str(contender.directory),
            "SIGNERD_NETWORK": "regtest",
            **self.greenlight.env,
        }


def python_environment(directory: Path, *, without: tuple[str, ...] = ("PYTHON",)) -> dict[str, str]:
    """Ours, with compiled modules in `directory`: as after an installation, whatever the tree looks like."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    return inherited | {
        "HOME": str(directory),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONPYCACHEPREFIX": str(directory / "pycache"),
    }


async def _contender(
    name: str, python: Path, seed: int, directory: Path, greenlight: LocalGreenlight
) -> Contender:
    device = await registered(greenlight, seed)
    home = directory / f"{name}-{seed}"
    home.mkdir(mode=0o700)
    credentials = Credentials(
        device.identity.chain, device.identity.key, greenlight.ca_path.read_bytes(), device.rune
    )
    for file, content in (("hsm_secret", bytes([seed]) * 32), ("credentials.gfs", credentials.encode())):
        path = home / file
        path.touch(mode=0o600)
        path.write_bytes(content)
    return Contender(name, python, device, home)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def facts(directory: Path) -> dict[str, Any]:
    """What the figures depend on. Every pairing approval waits for one fsync."""
    import platform

    import cryptography
    import grpc

    return {
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "cryptography": cryptography.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "signer version": startup.DEFAULT_VERSION,
        "fsync of 4 kB, median ms": round(statistics.median(_fsyncs(directory)) * 1000, 3),
    }


def _fsyncs(directory: Path) -> Iterator[float]:
    """Seconds that each took."""
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fsync(file.fileno())
            yield time.perf_counter() - begun
