"""`signerd inspect`: what this signer says of itself."""

from __future__ import annotations

from typing import Any

import click

from signerd.cli import node_secret, options, output


@click.group()
def command() -> None:
    """Show what this signer says of itself."""


@command.command("identity")
@options.as_json
@options.common
def identity(*, json: bool, **common: Any) -> None:
    """Node id, init message, extended key, start-up messages and version, as the scheduler gets them.

    The start-up answers contain secrets that the host holds by design; nothing else here is secret.
    """
    from signerd.core import startup

    settings = options.settings(common)
    keys = node_secret.load_keys(settings, hosted=False)
    messages = startup.startup_messages(keys, settings.network)
    data = {
        "node_id": keys.node_id.hex(),
        "network": settings.network,
        "version": settings.config.node.version,
        "init_msg": startup.init_message(keys, settings.network).hex(),
        "bip32_key": keys.ext_key(settings.network).hex(),
        "bolt12_key": keys.bolt12_key.hex(),
        "startupmsgs": [{"request": m.request.hex(), "response": m.response.hex()} for m in messages],
    }
    lines = [f"{key:<12} {value}" for key, value in data.items() if isinstance(value, str)]
    output.result(data, "\n".join(lines), json=json)
