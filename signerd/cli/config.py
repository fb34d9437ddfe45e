"""`signerd config`: look at the configuration, judge it, describe it, and bring it up to date; offline."""

from __future__ import annotations

import json as json_module
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import options, output
from signerd.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.daemon.config_check import Finding

EXAMPLE = "config.example.toml"


@click.group()
def command() -> None:
    """Check, show, describe or migrate the configuration, without a network and without the secret.

    \b
    What holds is said by, from the strongest:
      flags           --data-dir, --secret-file, --network, and --set KEY=VALUE for every key
      environment     SIGNERD_ and the key, as SIGNERD_SCHEDULER_URI for scheduler.uri
      the file        config.toml
      Greenlight      GL_SCHEDULER_GRPC_URI, GL_CA_CRT, GL_NOBODY_CRT, GL_NOBODY_KEY
      defaults        as `signerd config example` shows them
    """


@command.command("check")
@options.as_json
@options.common
def check(*, json: bool, **common: Any) -> int:
    """Read the configuration as `signerd run` does, and look at the files that it names.

    Leaves with 78 when the configuration is wrong, and tells where and what to do. Warnings leave it with 0:
    they are about what may be meant, or what `run` has other exit codes for, such as a missing secret.
    """
    from signerd.daemon import config_check

    settings = options.quietly(common)
    found = config_check.findings(settings)
    errors = [finding for finding in found if finding.level == "error"]
    for finding in found:
        output.talk(f"{finding.level}: {_where(finding)}{finding.message}\nhint: {finding.hint}")
    output.result(
        {
            "ok": not errors,
            "config_file": None if settings.config_file is None else str(settings.config_file),
            "findings": [
                {"level": item.level, "key": item.key or None, "message": item.message, "hint": item.hint}
                for item in found
            ],
        },
        f"{settings.config_file or 'no file, and so the defaults'}: {'wrong' if errors else 'ok'}",
        json=json,
    )
    return ExitCode.CONFIG if errors else ExitCode.OK


@command.command("show")
@click.option("--origin", is_flag=True, help="Say for each key which source won.")
@options.as_json
@options.common
def show(*, origin: bool, json: bool, **common: Any) -> None:
    """Print the value of every key that holds here and now, as TOML.

    With --origin a comment after each says where it is from: the flag, the variable, the file and its line,
    or the default and what made it. --json always says so. Secrets are files, and are never shown.
    """
    import msgspec

    settings = options.settings(common)
    shown = {name: msgspec.to_builtins(value) for name, value in settings.values.items()}
    origins = settings.origins
    output.result(
        {
            "config_file": None if settings.config_file is None else str(settings.config_file),
            "settings": {
                name: {
                    "value": value,
                    "source": origins[name].source,
                    "name": origins[name].name or None,
                    "line": origins[name].line,
                }
                for name, value in shown.items()
            },
        },
        _as_toml(shown, settings, with_origin=origin),
        json=json,
    )


@command.command("schema")
@options.no_input
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors and for tools that make one."""
    print(json_module.dumps(made_schema(), indent=2, ensure_ascii=False), flush=True)


@command.command("example")
@options.no_input
def example() -> None:
    """Print a configuration file with every key, its unit, its default and its reason, all commented out.

    \b
    Example:
      signerd config example > ~/.config/signerd/config.toml
    """
    print(example_text(), end="", flush=True)


@command.command("migrate")
@click.option("--dry-run", is_flag=True, help="Print the new file, and write nothing.")
@options.as_json
@options.common
def migrate(*, dry_run: bool, json: bool, **common: Any) -> None:
    """Rewrite a configuration file of an earlier signerd in today's format, comments kept.

    What was there is kept beside it as config.toml.vN.bak, N being its version; an older copy is never
    replaced. `signerd run` reads files of earlier versions without this, and says so.
    """
    from signerd import config

    path = config.config_file(config.Overrides(**common), os.environ)
    if path is None:
        raise ConfigError("there is no configuration file", hint="name one with --config FILE")
    outcome = config.FORMAT.migrate(config.read_file(path), source=str(path))
    if dry_run and not json:
        print(outcome.text, end="", flush=True)
        return
    copy: Path | None = None
    if outcome.changed and not dry_run:
        from signerd.store import config_file

        copy = config_file.replace(path, outcome.text, version=outcome.version)
    now = f"config_version {config.FORMAT.version}"
    output.result(
        {
            "config_file": str(path),
            "from_version": outcome.version,
            "to_version": config.FORMAT.version,
            "copy": None if copy is None else str(copy),
            "text": outcome.text if dry_run else None,
        },
        f"{path}: from {outcome.version} to {now}\ncopy  {copy}" if copy else f"{path}: is of {now}",
        json=json,
    )


def made_schema() -> dict[str, Any]:
    """The JSON Schema of the file, with the words of the example."""
    from signerd import config
    from signerd.tables import schema

    return schema.schema(
        config.Config, config.FORMAT.limits, example_text(), title="signerd's configuration file"
    )


def example_text() -> str:
    """The example file: in the package when installed, at the top of the repository in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for directory in (package, package.parent):
        if (directory / EXAMPLE).is_file():
            return (directory / EXAMPLE).read_text(encoding="utf-8")
    raise ConfigError(f"this installation lacks {EXAMPLE}", hint="install signerd from its wheel")


def _where(finding: Finding) -> str:
    return f"{finding.key}: " if finding.key else ""


def _as_toml(shown: dict[str, Any], settings: Settings, *, with_origin: bool) -> str:
    lines = []
    for name, value in shown.items():
        line = f"# {name} is not set" if value is None else f"{name} = {_toml(value)}"
        lines.append(f"{line}  # {settings.origins[name]}" if with_origin else line)
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        pairs = (f"{name} = {_toml(inner)}" for name, inner in value.items() if inner is not None)
        return "{ " + ", ".join(pairs) + " }"
    # A JSON text, number or truth value is one of TOML too.
    return json_module.dumps(value, ensure_ascii=False)
