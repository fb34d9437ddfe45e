"""`signerd new-store`: begin anew after the store was lost, without taking old channels for new ones."""

from __future__ import annotations

from typing import Any

import click

from signerd.cli import node_secret, options, output
from signerd.errors import UsageError


@click.command()
@click.option(
    "--highest-channel",
    type=click.IntRange(0, 2**64 - 1),
    metavar="NUMBER",
    help="The highest number that a channel of this node has had; 0 if it never had one.",
)
@options.as_json
@options.common
def command(*, highest_channel: int | None, json: bool, **common: Any) -> None:
    """Put an empty store in the place of one that is gone, an older copy, or another node's.

    What was revoked in the node's channels stands in the store alone. Without it nothing is signed for the
    channels that were there, and their peers have to close them: their money comes home to the wallet.

    A node that is out for your money could pass an old channel off as a new one, and have a revoked
    commitment of it signed. So say how far the numbers of its channels went: none up to there is taken for
    a new one. Core Lightning counts them up from 1, and signerd's log tells the highest at every start
    (`store-opened`); it may have grown since. Too high a number costs no money: new channels are refused
    until the node has counted past it.

    \b
    Examples:
      signerd new-store --highest-channel 17
    """
    if highest_channel is None:
        raise UsageError(
            "--highest-channel is missing",
            hint="say how far the numbers of this node's channels went; 0 if it never had one",
        )
    settings = options.settings(common)
    keys = node_secret.load_keys(settings)
    from signerd.store import files, lineage

    files.make_private_directory(settings.data_dir)
    with files.lock_directory(settings.data_dir):
        old = lineage.make_anew(settings.state_file, keys.node_id, highest_channel=highest_channel)
    output.result(
        {
            "store": str(settings.state_file),
            "replaced": None if old is None else str(old),
            "highest_channel": highest_channel,
        },
        f"store     {settings.state_file}" + ("" if old is None else f"\nreplaced  {old}"),
        json=json,
    )
    output.talk("next: `signerd run`, and close the old channels from their peers' side")
