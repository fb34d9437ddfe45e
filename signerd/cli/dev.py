"""`signerd dev`: run a local Greenlight, and steer one that runs."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import options, output
from signerd.errors import UsageError

if TYPE_CHECKING:
    from signerd.dev.local import LocalGreenlight

DEFAULT_DIR = Path("signerd-dev")

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_DIR,
    show_default=True,
    help="Where its certificates, its nodes and their state live.",
)


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Run a local Greenlight for trying things out: `signerd dev` alone is `signerd dev serve`.

    It is a scheduler, a node per registration and a file host on loopback, with certificates of its own.
    Nothing here touches a network, and no coin is real.
    """
    if context.invoked_subcommand is None:
        context.invoke(serve)


@command.command()
@_directory
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Of the scheduler; 0: the last one, or any."
)
@click.option("--strict-pings", is_flag=True, help="Punish clients that ping each second, as C-core does.")
@click.option("--require-invite", is_flag=True, help="Let nobody register without an invite code.")
@options.as_json
def serve(
    *,
    directory: Path = DEFAULT_DIR,
    port: int = 0,
    strict_pings: bool = False,
    require_invite: bool = False,
    json: bool = False,
) -> None:
    """Run it in the foreground until Ctrl-C or SIGTERM; what it knows outlives it.

    \b
    Then, in another terminal:
      export SIGNERD_CONFIG=signerd-dev/signerd.toml     or pass --config
      signerd init
      signerd register
      signerd run
    """
    import asyncio

    from signerd.dev import service
    from signerd.dev.backend import Settings

    def ready(greenlight: LocalGreenlight) -> None:
        output.result(_whereabouts(greenlight), greenlight.scheduler_uri, json=json)
        if not json:
            output.talk(_instructions(greenlight))

    settings = Settings(strict_pings=strict_pings, require_invite_codes=require_invite)
    asyncio.run(service.run(directory.absolute(), port=port, settings=settings, ready=ready))


@command.command()
@click.argument("name", metavar="COMMAND")
@click.argument("arguments", metavar="[JSON]", default="{}")
@_directory
@options.as_json
def ctl(*, name: str, arguments: str, directory: Path, json: bool) -> None:
    """Steer a local Greenlight that runs in --dir; JSON holds the command's arguments.

    \b
    Examples:
      signerd dev ctl status
      signerd dev ctl schedule
      signerd dev ctl ask '{"raw": "07d8"}'
      signerd dev ctl fault '{"method": "GetNodeInfo", "status": "UNAVAILABLE", "times": 3}'
      signerd dev ctl fault '{"method": "SignerRequestsStream", "drop_after": 0}'
      signerd dev ctl clear
      signerd dev ctl listen '{"mode": "half-open"}'     serving, refusing, half-open, cutting
      signerd dev ctl restart | stop-node | examine | pairings | invite | reports | rejections
      signerd dev ctl export-payload '{"path": "dump.sql"}'

    \b
    Channels with made-up peers on a made-up chain, for a node whose signer is attached. Every signature is
    verified against its transaction:
      signerd dev ctl channel-open '{"funder": "peer", "push_msat": 500000000}'
                      also "funder": "us", "type": "static_remotekey" or "zeroconf", "value_sat": 1000000,
                      "dual": true (channel establishment v2)
      signerd dev ctl channel-pay '{"amount_msat": 1000}'       the peer's invoice, approved and paid
                      with "offer": true it is one of BOLT 12
      signerd dev ctl channel-invoice '{"amount_msat": 1000}'   our invoice, paid by the peer
      signerd dev ctl channel-htlc '{"amount_msat": 5000000, "by": "peer", "count": 483}'   stay in flight
      signerd dev ctl channel-feerate '{"feerate_per_kw": 2000}'
      signerd dev ctl channel-close
      signerd dev ctl channel-force-close '{"by": "us"}'        or "peer"
      signerd dev ctl channel-cheat                             the peer publishes what it has revoked
      signerd dev ctl channel-sweep                             what is ours comes home
      signerd dev ctl channels | channel-forget
      signerd dev ctl withdraw '{"amount_sat": 50000, "kind": "p2wpkh"}'   also p2tr, p2sh-p2wpkh
    """
    from signerd.dev import control

    result = control.send(directory.absolute() / control.SOCKET_NAME, name, _parsed(arguments))
    output.result(result, json_module.dumps(result, indent=2, ensure_ascii=False), json=json)


def _parsed(text: str) -> dict[str, Any]:
    try:
        arguments = json_module.loads(text)
    except ValueError as error:
        raise UsageError(
            f"the arguments are no JSON: {error}", hint="""quote them: '{"raw": "07d8"}'"""
        ) from error
    if not isinstance(arguments, dict):
        raise UsageError("the arguments are no JSON object", hint="""write them as '{"raw": "07d8"}'""")
    return arguments


def _whereabouts(greenlight: LocalGreenlight) -> dict[str, Any]:
    from signerd.dev import control, service

    return {
        "scheduler_uri": greenlight.scheduler_uri,
        "env": greenlight.env,
        "env_file": str(greenlight.directory / service.ENV_NAME),
        "config_file": str(greenlight.directory / service.CONFIG_NAME),
        "control_socket": str(greenlight.directory / control.SOCKET_NAME),
    }


def _instructions(greenlight: LocalGreenlight) -> str:
    from signerd.dev import service

    config = greenlight.directory / service.CONFIG_NAME
    return f"""
A local Greenlight runs here until Ctrl-C. In another terminal:

  signerd init --config {config}
  signerd register --config {config}
  signerd run --config {config}

and once it is attached:

  signerd schedule --config {config}
  signerd dev ctl examine --dir {greenlight.directory}

For another client of Greenlight:  . {greenlight.directory / service.ENV_NAME}
"""
