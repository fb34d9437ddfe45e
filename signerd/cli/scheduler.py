"""The commands that are one call to the scheduler: schedule, node-info, upgrade, invites, export."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, session
from signerd.errors import Unavailable

if TYPE_CHECKING:
    from signerd.greenlight.values import NodeInfo


@click.command("schedule")
@options.as_json
@options.common
def schedule(*, json: bool, **common: Any) -> None:
    """Ask the scheduler to start the node, and print its address."""
    settings = options.settings(common)
    device = session.device(settings)

    async def work() -> NodeInfo:
        async with session.client(settings, device.identity) as scheduler:
            return await scheduler.schedule(device.node_id)

    _print_node(session.run(work()), json=json)


@click.command("node-info")
@click.option("--wait", is_flag=True, help="Wait until the node runs (Ctrl-C to give up).")
@options.as_json
@options.common
def node_info(*, wait: bool, json: bool, **common: Any) -> None:
    """Print where the node runs, without starting it."""
    settings = options.settings(common)
    device = session.device(settings)

    async def work() -> NodeInfo:
        async with session.client(settings, device.identity) as scheduler:
            while True:
                try:
                    return await scheduler.get_node_info(device.node_id, wait=wait)
                except Unavailable as error:
                    if not wait or error.code != "DEADLINE_EXCEEDED":
                        raise
                # The call has an end, the wait has none; a pause in case the end comes at once.
                await asyncio.sleep(1)

    _print_node(session.run(work()), json=json)


@click.command("upgrade")
@options.as_json
@options.common
def upgrade(*, json: bool, **common: Any) -> None:
    """Announce this signer's version and start-up answers, as `signerd run` does when it starts.

    The host may upgrade the node to that version the next time it starts it. There is no way back.
    """
    from signerd.core import startup

    settings = options.settings(common)
    keys = node_secret.load_keys(settings)
    device = session.device(settings, keys)
    version = settings.config.node.version

    async def work() -> str:
        async with session.client(settings, device.identity) as scheduler:
            return await scheduler.maybe_upgrade(
                version,
                startup.init_message(keys, settings.network),
                startup.startup_messages(keys, settings.network),
            )

    old_version = session.run(work())
    output.result(
        {"old_version": old_version, "signer_version": version},
        f"node version before  {output.plain(old_version) or '(not told)'}\nannounced            {version}",
        json=json,
    )


@click.command("invites")
@options.as_json
@options.common
def invites(*, json: bool, **common: Any) -> None:
    """List the invite codes that this node may give away."""
    settings = options.settings(common)
    device = session.device(settings)

    async def work() -> list[dict[str, Any]]:
        async with session.client(settings, device.identity) as scheduler:
            codes = await scheduler.list_invite_codes()
        return [{"code": code.code, "is_redeemed": code.is_redeemed} for code in codes]

    codes = session.run(work())
    lines = [f"{output.plain(code['code'])}  {'used' if code['is_redeemed'] else 'free'}" for code in codes]
    output.result({"invites": codes}, "\n".join(lines) or "no invite codes", json=json)


@click.command("export")
@options.yes
@options.as_json
@options.common
def export(*, yes: bool, json: bool, **common: Any) -> None:
    """Take the node home: have the host export it, and print where the encrypted backup can be fetched.

    This cannot be undone: the host never runs the node again. Asking again prints the same address.
    """
    settings = options.settings(common)
    device = session.device(settings)
    output.talk(
        f"The host will stop node {device.node_id.hex()} for good and hand out an encrypted backup of it.\n"
        "It can never be scheduled there again. You need the node secret to open the backup."
    )
    output.confirm("Export the node?", yes=yes)

    async def work() -> str:
        async with session.client(settings, device.identity) as scheduler:
            # The server makes the backup before it answers; that may take minutes.
            return await scheduler.export_node(deadline=900.0)

    url = session.run(work())
    output.result({"url": url}, output.plain(url), json=json)
    output.talk("next: download it, then `signerd decrypt-export FILE`")


def _print_node(info: NodeInfo, *, json: bool) -> None:
    scheduled = bool(info.grpc_uri)
    output.result(
        {
            "node_id": info.node_id.hex(),
            "grpc_uri": info.grpc_uri,
            "session_id": info.session_id,
            "scheduled": scheduled,
        },
        f"node id   {info.node_id.hex()}\naddress   {output.plain(info.grpc_uri) or '(not scheduled)'}",
        json=json,
    )
