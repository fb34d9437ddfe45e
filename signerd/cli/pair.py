"""`signerd pair`: the new device's side and the approving device's side."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import options, output, session
from signerd.errors import CredentialsError, NotFound, Refused

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.device_pairing import NewDevice
    from signerd.greenlight.credentials import Credentials
    from signerd.greenlight.scheduler import SchedulerClient

RACE_SECONDS = 10.0
"""How long the approving device waits for a new device that is just about to ask."""


@click.group()
def command() -> None:
    """Pair a new device with the node: `new` on that device, then `approve` on one that is paired."""


@command.command("new")
@click.argument("name")
@click.option("--description", default="", help="Shown to whoever approves.")
@click.option("--restrictions", default="", metavar="TEXT", help="Narrow the new rune, e.g. 'method^list'.")
@options.as_json
@options.common
def new(*, name: str, description: str, restrictions: str, json: bool, **common: Any) -> None:
    """Make this device a device of a node, under NAME. No node secret is needed here.

    Shows a code, and waits until a paired device approves it and the signer agrees.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    from signerd.core import device_pairing
    from signerd.daemon import hardening

    settings = options.settings(common)
    if settings.credentials_file.exists():
        raise CredentialsError(
            f"{settings.credentials_file} exists already: this is a paired device",
            hint="name another directory with --data-dir",
        )
    hardening.refuse_core_dumps()
    key = ec.generate_private_key(ec.SECP256R1())
    asked = device_pairing.new_device(
        key, device_name=name, description=description, restrictions=restrictions
    )
    _show(asked, json=json)
    credentials, node_id = session.run(_pair(settings, asked, key))
    _store(settings, credentials)
    output.result(
        {
            "node_id": node_id.hex(),
            "device_id": asked.device_id,
            "code": _code(asked),
            "credentials_file": str(settings.credentials_file),
        },
        f"paired with node  {node_id.hex()}\ncredentials       {settings.credentials_file}",
        json=json,
    )


@command.command("approve")
@click.argument("code", metavar="'gl-pairing:…'")
@options.yes
@options.as_json
@options.common
def approve(*, code: str, yes: bool, json: bool, **common: Any) -> None:
    """Approve the device whose code this is: look at what it asks for, and consent."""
    from signerd.core import device_pairing
    from signerd.core.keys import p256

    settings = options.settings(common)
    device = session.device(settings)
    if not device.credentials.rune:
        raise CredentialsError(
            "these credentials hold no rune, so they cannot approve anything",
            hint="run `signerd recover` on the machine with the node secret to get credentials with one",
        )
    device_id = device_pairing.device_id_of(code)

    async def work() -> NewDevice:
        async with session.client(settings, device.identity) as scheduler:
            asked = await _asked(scheduler, device_id)
            words = device_pairing.check_request(asked)
            output.talk(_in_words(asked, words))
            output.confirm("Pair this device?", yes=yes)
            key = p256.load_private_key(device.identity.private_key)
            moment = session.now()
            await scheduler.approve_pairing(
                device_id=device_id,
                timestamp=moment,
                device_name=asked.device_name,
                restrictions=asked.restrictions,
                signature=device_pairing.approve(asked, key=key, node_id=device.node_id, now=moment),
                public_key=p256.public_bytes(key),
                rune=device.credentials.rune,
            )
            return asked

    asked = session.run(work())
    output.result(
        {
            "device_id": asked.device_id,
            "device_name": asked.device_name,
            "restrictions": asked.restrictions,
            "code": _code(asked),
        },
        f"approval sent for {asked.device_name!r}",
        json=json,
    )
    output.talk(
        "the signer decides now, and may ask its owner (`signerd pairing list`); "
        "the new device says when it is paired"
    )


def _show(asked: NewDevice, *, json: bool) -> None:
    import segno

    if sys.stderr.isatty() and not json:
        segno.make(asked.qr_text, error="l").terminal(out=sys.stderr, compact=True)
    output.talk(f"On a paired device: signerd pair approve '{asked.qr_text}'")
    output.talk(f"code: {_code(asked)} (whoever agrees should see the same)")
    output.talk("waiting for the approval (Ctrl-C to give up)…")


async def _pair(settings: Settings, asked: NewDevice, key: Any) -> tuple[Credentials, bytes]:
    from signerd.core import certificates
    from signerd.core.keys import p256
    from signerd.daemon import identity
    from signerd.errors import ProtocolViolation
    from signerd.greenlight.credentials import Credentials

    nobody = identity.nobody(settings)
    async with session.client(settings, nobody) as scheduler:
        paired = await scheduler.pair_device(
            device_id=asked.device_id,
            csr=asked.csr,
            device_name=asked.device_name,
            description=asked.description,
            restrictions=asked.restrictions,
        )
    chain = paired.device_cert.encode("utf-8")
    node_id = certificates.read_device(chain).node_id
    certificates.check_device(
        chain, ca_pem=nobody.ca, node_id=node_id, public_key=p256.public_bytes(key), now=session.now()
    )
    if not paired.rune:
        raise ProtocolViolation("the scheduler sent a certificate but no rune", hint="pair again")
    return Credentials(chain, p256.private_key_pem(key), nobody.ca, paired.rune), node_id


def _store(settings: Settings, credentials: Credentials) -> None:
    from signerd.store import files

    files.make_private_directory(settings.data_dir)
    files.write_atomically(settings.credentials_file, credentials.encode(), exclusive=True)


async def _asked(scheduler: SchedulerClient, device_id: str) -> NewDevice:
    from signerd.core.device_pairing import NewDevice

    give_up = asyncio.get_running_loop().time() + RACE_SECONDS
    while True:
        try:
            data = await scheduler.get_pairing_data(device_id)
        except NotFound:
            if asyncio.get_running_loop().time() > give_up:
                raise
            await asyncio.sleep(0.5)
            continue
        if data.device_id != device_id:
            raise Refused("pairing-data", "the scheduler answered about another device")
        return NewDevice(device_id, data.csr, data.device_name, data.description, data.restrictions)


def _code(asked: NewDevice) -> str:
    from signerd.core.pairing_code import pairing_code

    return pairing_code(asked.device_id, asked.device_name, asked.restrictions)


def _in_words(asked: NewDevice, words: list[str]) -> str:
    clean = "".join(c for c in asked.description if c.isprintable())
    lines = [
        f"device       {asked.device_name}",
        f"description  {clean or '(none)'}",
        f"key          {asked.device_id}",
        f"code         {_code(asked)}",
        "it will be able to call the node only if",
        *(f"  - {line}" for line in words),
    ]
    return "\n".join(lines)
