"""`signerd recover`: new credentials for a node that the scheduler knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from signerd.cli import node_secret, options, output, session
from signerd.errors import SignerdError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.greenlight.credentials import Credentials


@click.command()
@options.as_json
@options.common
def command(*, json: bool, **common: Any) -> None:
    """Get new credentials with the node secret. Safe to run again at any time.

    The credentials that were there are kept beside the new ones, as credentials.gfs.previous. Recovery
    revokes nothing: certificates that were issued before stay valid.
    """
    settings = options.settings(common)
    keys = node_secret.load_keys(settings)
    require_replaceable(settings)
    keep(settings, session.run(obtain(settings, keys, recover=True)), by="recovered")
    output.result(
        {
            "outcome": "recovered",
            "node_id": keys.node_id.hex(),
            "credentials_file": str(settings.credentials_file),
        },
        f"node id      {keys.node_id.hex()}\ncredentials  {settings.credentials_file}",
        json=json,
    )
    output.talk("next: `signerd run`")


async def obtain(settings: Settings, keys: NodeKeys, *, recover: bool, invite_code: str = "") -> Credentials:
    """Register or recover over the network, with a fresh device key; nothing is written."""
    from cryptography.hazmat.primitives.asymmetric import ec

    from signerd.daemon import identity
    from signerd.greenlight import registration

    nobody = identity.nobody(settings)
    device_key = ec.generate_private_key(ec.SECP256R1())
    async with session.client(settings, nobody) as scheduler:
        if recover:
            return await registration.recover(
                scheduler, keys, device_key=device_key, ca=nobody.ca, now=session.now
            )
        return await registration.register(
            scheduler,
            keys,
            network=settings.network,
            signer_version=settings.config.node.version,
            invite_code=invite_code,
            device_key=device_key,
            ca=nobody.ca,
            now=session.now,
        )


def require_replaceable(settings: Settings) -> None:
    """Before the scheduler is asked: that what is in the credentials' place can be kept and replaced."""
    from signerd.daemon import identity
    from signerd.store import files

    if settings.credentials_file.exists():
        files.read_bounded(settings.credentials_file, identity.MAX_CREDENTIALS)


def keep(settings: Settings, credentials: Credentials, *, by: str) -> None:
    """Write the credentials file, whole or not at all; what was there before gets another name.

    Its rune goes into the list of devices: `by` is how it was got.
    """
    from signerd.daemon import identity
    from signerd.store import files

    files.make_private_directory(settings.data_dir)
    path = settings.credentials_file
    if path.exists():
        previous = files.read_bounded(path, identity.MAX_CREDENTIALS)
        files.write_atomically(path.with_name(path.name + ".previous"), previous)
    # The scheduler has issued them: whatever becomes of a list comes after them.
    files.write_atomically(path, credentials.encode())
    _list(settings, credentials, by=by)


def _list(settings: Settings, credentials: Credentials, *, by: str) -> None:
    from signerd.cli import rune
    from signerd.core.runes.rune import Rune

    try:
        rune.remember(settings, Rune.from_base64(credentials.rune), name="", by=by)
    except SignerdError as problem:
        output.talk(f"note: `signerd devices` will not list this device: {problem.message}")
