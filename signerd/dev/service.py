"""A local Greenlight as a program: it runs until a signal, and leaves the files that point signerd at it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from signerd.dev import files
from signerd.dev.backend import Settings
from signerd.dev.control import SOCKET_NAME, Control
from signerd.dev.local import LocalGreenlight

CONFIG_NAME = "signerd.toml"
ENV_NAME = "env"


async def run(
    directory: Path, *, port: int, settings: Settings, ready: Callable[[LocalGreenlight], None]
) -> None:
    """Serve from an absolute directory until SIGINT or SIGTERM; `ready` is called once all listens."""
    stopped = asyncio.Event()
    greenlight = LocalGreenlight(directory, port=port, settings=settings)
    async with greenlight, Control(greenlight).serve(directory / SOCKET_NAME):
        files.write(directory / ENV_NAME, env_file(greenlight).encode())
        files.write(directory / CONFIG_NAME, config_file(greenlight).encode())
        with _signals(stopped.set):
            ready(greenlight)
            await stopped.wait()


def env_file(greenlight: LocalGreenlight) -> str:
    """Shell lines that point signerd, and the reference client, at this Greenlight."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in greenlight.env.items())


def config_file(greenlight: LocalGreenlight) -> str:
    """A configuration for signerd, with a data directory of its own beside the service's files."""
    return (
        "# Written by `signerd dev`: everything here points at a local Greenlight on this machine.\n"
        'network = "regtest"\n'
        f"data_dir = {_toml(greenlight.directory / 'signer')}\n"
        "\n[scheduler]\n"
        f"uri = {_toml(greenlight.scheduler_uri)}\n"
        f"ca_file = {_toml(greenlight.ca_path)}\n"
        f"nobody_cert_file = {_toml(greenlight.nobody_crt_path)}\n"
        f"nobody_key_file = {_toml(greenlight.nobody_key_path)}\n"
        # Not the usual place: this user's own signer may be there.
        "\n[control]\n"
        f"socket = {_toml(greenlight.directory / 'signerd.sock')}\n"
    )


def _toml(value: object) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(str(value), ensure_ascii=False)


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
