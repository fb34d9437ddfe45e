"""`signerd register`: make the node known to the scheduler, and keep the credentials it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, session
from signerd.cli.recover import keep, obtain
from signerd.errors import AlreadyExists, CredentialsError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys


@click.command()
@click.option("--invite-code", default="", metavar="CODE", help="If the service asks for one.")
@options.as_json
@options.common
def command(*, invite_code: str, json: bool, **common: Any) -> None:
    """Register the node, and write its credentials.

    Safe to run again at any time: credentials that work are left alone, and a node that is registered
    already (perhaps because an earlier run was cut off) gets new credentials by recovery.
    """
    settings = options.settings(common)
    keys = node_secret.load_keys(settings)
    if _registered(settings, keys):
        output.talk(f"credentials for this node are in {settings.credentials_file} already; nothing to do")
        output.result(_summary(settings, keys, "unchanged"), _text(settings, keys), json=json)
        return
    try:
        credentials = session.run(obtain(settings, keys, recover=False, invite_code=invite_code))
        outcome = "registered"
    except AlreadyExists:
        output.talk("the scheduler knows this node already: recovering its credentials instead")
        credentials = session.run(obtain(settings, keys, recover=True))
        outcome = "recovered"
    keep(settings, credentials, by=outcome)
    output.result(_summary(settings, keys, outcome), _text(settings, keys), json=json)
    output.talk("next: `signerd run`")


def _registered(settings: Settings, keys: NodeKeys) -> bool:
    if not settings.credentials_file.exists():
        return False
    try:
        session.device(settings, keys)
    except CredentialsError as problem:
        raise CredentialsError(
            f"there are credentials, but {problem.message}",
            hint=problem.hint or "run `signerd recover` to replace them",
        ) from problem
    return True


def _summary(settings: Settings, keys: NodeKeys, outcome: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "node_id": keys.node_id.hex(),
        "credentials_file": str(settings.credentials_file),
    }


def _text(settings: Settings, keys: NodeKeys) -> str:
    return f"node id      {keys.node_id.hex()}\ncredentials  {settings.credentials_file}"
