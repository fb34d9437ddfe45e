"""`signerd demo`: the whole story on this machine, with the real daemon, real TLS and a local Greenlight."""

from __future__ import annotations

import asyncio
import contextlib
import json as json_module
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import output
from signerd.errors import SignerdError

if TYPE_CHECKING:
    from signerd.dev.local import LocalGreenlight
    from signerd.dev.node import HostedNode

_STEP_SECONDS = 15.0
_LIFE_SECONDS = 60.0
_STOP_SECONDS = 5.0
_SIGN_MESSAGE = bytes.fromhex("0017000568656c6c6f")


class DemoFailed(SignerdError):
    """A step did not do what it should."""


@click.command()
@click.option("--keep", is_flag=True, help="Keep the directory with everything in it.")
def command(*, keep: bool) -> None:
    """Show a node's life in a few seconds: registered, paired, signed for, taken home.

    Nothing leaves this machine: a local Greenlight plays the host, and `signerd run` is the real daemon in
    a process of its own. Leaves with an error if any step fails.
    """
    with contextlib.ExitStack() as stack:
        name = tempfile.mkdtemp(prefix="signerd-demo-")
        directory = Path(name)
        if not keep:
            stack.callback(_remove, directory)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        asyncio.run(Demo(directory).play())
        if keep:
            output.talk(f"everything is in {directory}")


class Demo:
    """One telling of the story."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started = time.monotonic()
        self._log = directory / "signerd.log"

    async def play(self) -> None:
        """Every step in order. Raises DemoFailed, or what the step raised."""
        from signerd.dev.local import LocalGreenlight

        async with LocalGreenlight(self._directory / "greenlight") as greenlight:
            self._say("local Greenlight up", greenlight.scheduler_uri)
            node_id = await self._make_node(greenlight)
            node = greenlight.node(node_id)
            async with self._daemon(greenlight):
                await self._until_logged("scheduler-stream-open")
                self._say("signerd run attached to the scheduler")
                await self._pair_phone(greenlight)
                await self._serve_node(greenlight, node)
            self._say("daemon stopped cleanly", "exit code 0")
            backup = await self._export(greenlight)
        await self._decrypt(backup)
        self._say("done", "every signature was made on this side")

    async def _make_node(self, greenlight: LocalGreenlight) -> bytes:
        words = _new_words()
        made = await self._signerd(greenlight, "init", "--import", "--json", stdin=words)
        node_id = bytes.fromhex(made["node_id"])
        self._say("secret made from 12 new words", "hsm_secret, mode 0600")
        await self._signerd(greenlight, "register", "--json")
        self._say("node registered over mutual TLS", node_id.hex())
        return node_id

    @contextlib.asynccontextmanager
    async def _daemon(self, greenlight: LocalGreenlight) -> AsyncIterator[None]:
        with self._log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *_SIGNERD, "run", env=self._environment(greenlight), stderr=log
            )
        try:
            yield
            process.terminate()
            async with asyncio.timeout(_STOP_SECONDS):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code != 0:
            raise DemoFailed(f"the daemon left with {code}: {self._last_words()}")

    async def _pair_phone(self, greenlight: LocalGreenlight) -> None:
        environment = self._environment(greenlight)
        environment["SIGNERD_DATA_DIR"] = str(self._directory / "phone")
        del environment["SIGNERD_SECRET_FILE"]
        phone = await asyncio.create_subprocess_exec(
            *_SIGNERD, "pair", "new", "phone", "--description", "the demo's phone", "--json",
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            code = await self._pairing_code(phone)
            self._say("a phone asks to be paired", code[:24] + "…")
            await self._signerd(greenlight, "pair", "approve", code, "--yes", "--json")
            async with asyncio.timeout(_STEP_SECONDS):
                _, errors = await phone.communicate()
        finally:
            if phone.returncode is None:
                phone.kill()
                await phone.wait()
        if phone.returncode != 0:
            raise DemoFailed(f"pairing the phone failed: {errors.decode()}")
        approval = await self._until_logged("pairing-approved")
        self._say("signer checked the approval and made a rune", f"for {approval['device']}")

    async def _pairing_code(self, phone: asyncio.subprocess.Process) -> str:
        assert phone.stderr is not None
        async with asyncio.timeout(_STEP_SECONDS):
            while line := (await phone.stderr.readline()).decode():
                if "gl-pairing:" in line:
                    return line[line.index("gl-pairing:") :].strip().rstrip("'")
        raise DemoFailed("the phone showed no pairing code")

    async def _serve_node(self, greenlight: LocalGreenlight, node: HostedNode) -> None:
        from signerd.dev.node import RequestRefused
        from signerd.dev.show import show_payment

        await self._signerd(greenlight, "schedule", "--json")
        scheduled = time.monotonic()
        async with asyncio.timeout(_STEP_SECONDS):
            answered = await node.examine()
        self._say(
            f"node scheduled, {len(answered)} of its requests answered",
            f"the last after {time.monotonic() - scheduled:.2f} s",
        )
        async with asyncio.timeout(_LIFE_SECONDS):
            self._say("a payment each way", await show_payment(node))
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await node.ask(_SIGN_MESSAGE)
        except RequestRefused as refused:
            self._say("a dangerous request refused by name", str(refused).split(":", 1)[0])
        else:
            raise DemoFailed("the signer signed a message that it must refuse")

    async def _export(self, greenlight: LocalGreenlight) -> Path:
        home = self._directory / "backup"
        answer = await self._signerd(greenlight, "export", "--yes", "--json", "--output", str(home))
        self._say("node exported", "the host will never run it again, and `signerd run` refuses to")
        self._expected = greenlight.settings.export_payload
        if home.read_bytes() != self._expected:
            raise DemoFailed("the backup is not what the node left with")
        self._say("backup downloaded, verified and decrypted", f"{answer['size']} bytes")
        self._say("next steps written", Path(answer["restore"]).name)
        return Path(answer["encrypted"])

    async def _decrypt(self, backup: Path) -> None:
        plain = self._directory / "backup.dump"
        await self._signerd(None, "decrypt-export", str(backup), "-o", str(plain), "--json")
        if plain.read_bytes() != self._expected:
            raise DemoFailed("the decrypted backup is not what the node left with")
        self._say("the same once more from the encrypted file", "offline")

    async def _signerd(
        self, greenlight: LocalGreenlight | None, *arguments: str, stdin: str = ""
    ) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *_SIGNERD, *arguments,
            env=self._environment(greenlight),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                out, errors = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise DemoFailed(f"`signerd {arguments[0]}` left with {process.returncode}: {errors.decode()}")
        answer: dict[str, Any] = json_module.loads(out)
        return answer

    def _environment(self, greenlight: LocalGreenlight | None) -> dict[str, str]:
        ours = ("SIGNERD_", "GL_", "XDG_", "STATE_DIR", "CONFIGURATION_DIR", "CREDENTIALS_DIR", "RUNTIME_DIR")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        data_dir = self._directory / "signerd"
        return environment | {
            "HOME": str(self._directory / "home"),
            "SIGNERD_DATA_DIR": str(data_dir),
            "SIGNERD_SECRET_FILE": str(data_dir / "hsm_secret"),
            "SIGNERD_NETWORK": "regtest",
            **(greenlight.env if greenlight else {}),
        }

    async def _until_logged(self, event: str) -> dict[str, Any]:
        give_up = time.monotonic() + _STEP_SECONDS
        while time.monotonic() < give_up:
            for line in self._log.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a line that is still being written
                    entry: dict[str, Any] = json_module.loads(line)
                    if entry.get("event") == event:
                        return entry
            await asyncio.sleep(0.02)
        raise DemoFailed(f"the daemon never said {event!r}: {self._last_words()}")

    def _last_words(self) -> str:
        return " | ".join(self._log.read_text().splitlines()[-3:])

    def _say(self, step: str, detail: str = "") -> None:
        elapsed = time.monotonic() - self._started
        print(f"{elapsed:6.2f} s  {step}" + (f"  ({detail})" if detail else ""), flush=True)


_SIGNERD = (sys.executable, "-m", "signerd")


def _new_words() -> str:
    from signerd.core.keys import mnemonic
    from signerd.units import Secret

    return mnemonic.from_entropy(Secret(secrets.token_bytes(16))).expose().decode("ascii")


def _remove(directory: Path) -> None:
    import shutil

    shutil.rmtree(directory)
