"""The options that every command shares, and the settings that follow from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from signerd.cli import output
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
    """Where everything is, and how the secret is opened; the function takes all of it as **common.

    And --no-input, which is for `output` alone.
    """
    for option in (
        no_input,
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any other key of the configuration, e.g. log.level=debug; can be repeated.",
        ),
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


def no_input(command: F) -> F:
    """--no-input, remembered for this run; the function does not see it."""

    def remember(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001
        if value:
            context.meta[output.NO_INPUT] = True

    return click.option(
        "--no-input",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Never ask; where an answer is needed, fail and say which flag gives it.",
    )(command)


def yes(command: F) -> F:
    """--yes; the function takes it as `yes`."""
    return click.option("--yes", is_flag=True, help="Do not ask; the answer is yes.")(command)


def as_json(command: F) -> F:
    """--json; the function takes it as `json`."""
    return click.option("--json", is_flag=True, help="Print the result as JSON.")(command)


def settings(common: dict[str, Any]) -> Settings:
    """What holds, from **common, the environment and the file. Raises ConfigError."""
    settings = quietly(common)
    for warning in settings.warnings:
        output.talk(f"warning: {warning}")
    return settings


def quietly(common: dict[str, Any]) -> Settings:
    """The same for whoever has another way to tell the warnings, which are in the settings."""
    from signerd import config

    if common.get("passphrase_file") is not None and common.get("passphrase_fd") is not None:
        raise UsageError("--passphrase-file and --passphrase-fd do not go together")
    return config.load(config.Overrides(**common), os.environ)
