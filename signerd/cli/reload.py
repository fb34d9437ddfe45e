"""`signerd reload`: have a running signer read its configuration again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, options, output

if TYPE_CHECKING:
    from pathlib import Path

    from signerd.config_change import ConfigChange


@click.command()
@options.as_json
@options.control_socket
@options.common
def command(json: bool, **common: Any) -> int:  # noqa: FBT001
    """Have the running signer read its configuration again, and say what became of it.

    It applies what can be changed while it runs, and names what waits for a restart. If the file is wrong,
    the old configuration stays in all its parts, and this leaves with 78.
    """
    outcome = control.run(_reload(control.socket_path(common)))
    document = {"v": 1, "applied": list(outcome.applied), "needs_restart": list(outcome.needs_restart)}
    output.result(document, _text(outcome), json=json)
    return 0


async def _reload(path: Path) -> ConfigChange:
    from signerd.control.client import ControlClient

    async with ControlClient(path) as client:
        return await client.reload()


def _text(outcome: ConfigChange) -> str:
    lines = [f"applied: {key}" for key in outcome.applied]
    lines += [f"waits for a restart: {key}" for key in outcome.needs_restart]
    return "\n".join(lines) or "nothing has changed"
