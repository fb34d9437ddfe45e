"""`signerd webhooks`: have the host tell a server of yours about the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from signerd.cli import options, output, session
from signerd.errors import UsageError

if TYPE_CHECKING:
    from signerd.greenlight.scheduler import SchedulerClient

T = TypeVar("T")


@click.group()
def command() -> None:
    """Add, list or delete webhooks, or rotate the secret that signs their messages."""


@command.command("add")
@click.argument("uri")
@options.as_json
@options.common
def add(*, uri: str, json: bool, **common: Any) -> None:
    """Have events sent to URI. The secret that signs them is shown this once."""
    if not uri.startswith("https://"):
        raise UsageError(f"{uri!r} is not an https address", hint="events of a node do not travel in clear")
    added = _call(common, lambda scheduler, node_id: scheduler.add_outgoing_webhook(node_id, uri))
    output.result(
        {"id": added.id, "uri": uri, "secret": added.secret},
        f"id      {added.id}\nsecret  {output.plain(added.secret)}",
        json=json,
    )
    output.talk("keep the secret: it is not shown again (`signerd webhooks rotate-secret` makes a new one)")


@command.command("list")
@options.as_json
@options.common
def list_(*, json: bool, **common: Any) -> None:
    """List the node's webhooks."""
    hooks = _call(common, lambda scheduler, node_id: scheduler.list_outgoing_webhooks(node_id))
    output.result(
        {"webhooks": [{"id": hook.id, "uri": hook.uri} for hook in hooks]},
        "\n".join(f"{hook.id}  {output.plain(hook.uri)}" for hook in hooks) or "no webhooks",
        json=json,
    )


@command.command("delete")
@click.argument("ids", nargs=-1, required=True, type=int)
@options.as_json
@options.common
def delete(*, ids: tuple[int, ...], json: bool, **common: Any) -> None:
    """Delete webhooks by their ids."""
    _call(common, lambda scheduler, node_id: scheduler.delete_webhooks(node_id, ids))
    output.result({"deleted": list(ids)}, f"deleted {', '.join(map(str, ids))}", json=json)


@command.command("rotate-secret")
@click.argument("webhook_id", metavar="ID", type=int)
@options.as_json
@options.common
def rotate_secret(*, webhook_id: int, json: bool, **common: Any) -> None:
    """Make a new secret for a webhook; the old one stops working."""
    secret = _call(
        common, lambda scheduler, node_id: scheduler.rotate_outgoing_webhook_secret(node_id, webhook_id)
    )
    output.result({"id": webhook_id, "secret": secret}, f"secret  {output.plain(secret)}", json=json)


def _call(common: dict[str, Any], call: Callable[[SchedulerClient, bytes], Awaitable[T]]) -> T:
    settings = options.settings(common)
    device = session.device(settings)

    async def work() -> T:
        async with session.client(settings, device.identity) as scheduler:
            return await call(scheduler, device.node_id)

    return session.run(work())
