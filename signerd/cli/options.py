"""The options that every command shares, and the settings that follow from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from signerd.errors import UsageError

if TYPE_CHECKING:
    from signerd.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

_NETWORKS = ("bitcoin", "testnet", "signet", "regtest")
_DERIVATIONS = ("hosted", "core-lightning")
DESCRIPTOR = click.IntRange(min=0)
"""The number of a file that whoever started us has opened for us."""
_PATH = click.Path(path_type=Path)


def common(command: F) -> F:
    """Where everything is, and how the secret is opened; the function takes all of it as **common."""
    for option in (
        click.option(
            "--derivation", type=click.Choice(_DERIVATIONS), help="Which node a mnemonic container means."
        ),
        click.option("--passphrase-fd", type=DESCRIPTOR, metavar="N", help="A descriptor that has it."),
        click.option(
            "--passphrase-file", type=_PATH, metavar="FILE", help="A file with the secret's passphrase."
        ),
        click.option("--network", type=click.Choice(_NETWORKS), help="Bitcoin network."),
        click.option("--secret-file", type=_PATH, metavar="FILE", help="The node secret."),
        click.option("--data-dir", type=_PATH, metavar="DIR", help="Where credentials and state live."),
        click.option("--config", type=_PATH, metavar="FILE", help="Configuration file (TOML)."),
    ):
        command = option(command)
    return command


def control_socket(command: F) -> F:
    """--socket; it is one more of what the function takes as **common."""
    return click.option(
        "--socket",
        "control_socket",
        type=_PATH,
        metavar="FILE",
        help="The control socket of the running signer.",
    )(command)


def as_json(command: F) -> F:
    """--json; the function takes it as `json`."""
    return click.option("--json", is_flag=True, help="Print the result as JSON.")(command)


def settings(common: dict[str, Any]) -> Settings:
    """What holds, from **common, the environment and the file. Raises ConfigError."""
    from signerd import config

    if common.get("passphrase_file") is not None and common.get("passphrase_fd") is not None:
        raise UsageError("--passphrase-file and --passphrase-fd do not go together")
    return config.load(config.Overrides(**common), os.environ)
