"""`signerd unseal`: take the passphrase off the node secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from signerd.cli import node_secret, options, output
from signerd.errors import SecretError


@click.command()
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write there; leave the secret sealed.",
)
@options.as_json
@options.common
def command(*, target: Path | None, json: bool, **common: Any) -> None:
    """Take the passphrase off the node secret: 32 bytes, readable by you alone.

    A wrong passphrase is tried once, and changes nothing. The new file is on disk and read back before it
    takes the place of the sealed one.

    \b
    Examples:
      signerd unseal
      signerd unseal --passphrase-file /etc/signerd/passphrase -o /dev/shm/hsm_secret
    """
    from signerd.core import secret_layout
    from signerd.core.keys.node import NodeKeys
    from signerd.core.secret_layout import Layout
    from signerd.store import secret_file
    from signerd.units import Secret

    settings = options.settings(common)
    node_secret.protect_process()
    path = settings.secret_file
    with secret_file.hold(path) as held:
        if (layout := secret_layout.recognise(held.content, source=str(path))) is not Layout.SEALED:
            raise SecretError(
                f"{path} is not sealed: it is {layout.value}", hint="only `signerd seal` makes it so"
            )
        found = node_secret.find_passphrase(settings, held.content)
        secret = secret_layout.read(held.content, source=str(path), passphrase=found)
        if target is None:
            held.replace(secret.expose(), holds=secret, check=Secret)
        else:
            secret_file.create_secret(target, secret)
    node_id = NodeKeys.derive(secret).node_id.hex()
    written = target or path
    output.result(
        {"v": 1, "node_id": node_id, "secret_file": str(written)},
        f"node id      {node_id}\nsecret file  {written}, not sealed",
        json=json,
    )
    output.talk("Whoever can read this file has the node.")
