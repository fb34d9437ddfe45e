"""`signerd devices`: the devices of the node, and how to be rid of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, documents, options, output
from signerd.errors import InputMissing, UsageError

if TYPE_CHECKING:
    from signerd.control.pairing_client import PairingClient
    from signerd.control.pb.control_pb2 import Device, MintedRune, RevokeDeviceReply
    from signerd.daemon.recorder import Recorder
    from signerd.store.pairings import Pairings


_COMMANDS = {
    "registered": "from `signerd register`",
    "recovered": "from `signerd recover`",
    "created": "from `signerd rune create`",
}


@click.group(invoke_without_command=True)
@options.as_json
@options.control_socket
@options.common
@click.pass_context
def command(ctx: click.Context, /, *, json: bool, **common: Any) -> None:
    """List the devices that have a rune of this signer, with what each may do and when it was used last.

    Those that it paired, its own, and those that got a rune by `signerd rune create` here. A device that has
    its rune from elsewhere is listed once it has approved another. `signerd devices revoke` takes the ID.
    """
    if ctx.invoked_subcommand is not None:
        if json or any(common.values()):
            raise UsageError("an option stands before the subcommand", hint="put it behind")
    else:
        found = _devices(common)
        document = {"v": 1, "devices": [documents.plain(device) for device in found]}
        output.result(document, "\n\n".join(map(_text, found)) or "no device is known", json=json)


@command.command()
@click.argument("device")
@click.option(
    "--with-paired", is_flag=True, help="Those that it let in as well, and those that these let in."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
@options.control_socket
@options.common
def revoke(*, device: str, with_paired: bool, yes: bool, json: bool, **common: Any) -> None:
    """Believe DEVICE no more: its ID, the beginning of it, or its whole key in hex. There is no way back.

    From now on the signer refuses what the device approves, whichever of its runes it shows, and never pairs
    its key again. Works while no signer runs, too.
    """
    if not yes:
        named = [item for item in _devices(common) if item.id.startswith(device) or item.key == device]
        for item in named[:2]:
            output.talk(_text(item))
        output.confirm("Revoke this device?" if len(named) == 1 else f"Revoke {device}?")
    reply = _revoke(common, device, with_paired=with_paired)
    lines = [f"revoked  {item.id}  {_name(item)}" for item in reply.revoked]
    output.result(documents.plain(reply), "\n".join(lines), json=json)
    if any(item.own for item in reply.revoked):
        output.talk(
            "note: this was the device of the signer itself. It goes on signing; `signerd recover` gets it "
            "credentials that may approve devices again"
        )
    if reply.let_in:
        output.talk(
            f"note: it let in {len(reply.let_in)} devices that are believed still; see --with-paired:"
        )
        for item in reply.let_in[:20]:
            output.talk(f"  {item.id}  {item.name}")


def _devices(common: dict[str, Any]) -> Sequence[Device]:
    from signerd.control.quick import NotRunning

    async def ask() -> Sequence[Device]:
        async with _client(common) as client:
            return await client.devices()

    try:
        return control.run(ask())
    except NotRunning as gone:
        from signerd.control.pairing import device_message

        with _register(common, gone) as (register, _):
            return [device_message(device) for device in register.devices()]


def _revoke(common: dict[str, Any], device: str, *, with_paired: bool) -> RevokeDeviceReply:
    from signerd.control.quick import NotRunning

    async def ask() -> RevokeDeviceReply:
        async with _client(common) as client:
            return await client.revoke(device, with_paired=with_paired)

    try:
        return control.run(ask())
    except NotRunning as gone:
        from signerd.control.pairing import revoked_message
        from signerd.daemon import pairing_desk

        with _register(common, gone) as (register, recorder):
            return revoked_message(pairing_desk.revoke(register, recorder, device, with_paired=with_paired))


@contextlib.contextmanager
def _register(common: dict[str, Any], gone: Exception) -> Iterator[tuple[Pairings, Recorder]]:
    """The store itself, while no signer runs: whoever holds the lock of the directory may."""
    from signerd.daemon.clock import SystemClock
    from signerd.daemon.recorder import Recorder
    from signerd.store import files, lineage
    from signerd.store.pairings import Pairings

    settings = options.settings(common)
    if not settings.state_file.exists():
        raise gone
    try:
        with files.lock_directory(settings.data_dir), lineage.as_left(settings.state_file) as store:
            yield Pairings(store), Recorder(store, SystemClock())
    except InputMissing:
        raise gone from None


def _client(common: dict[str, Any]) -> PairingClient:
    from signerd.control.pairing_client import PairingClient

    return PairingClient(control.socket_path(common))


def _text(device: Device) -> str:
    lines = [
        f"{device.id}  {_name(device)}"
        + (f"  REVOKED {documents.moment(device.revoked)}" if device.HasField("revoked") else "")
    ]
    if device.HasField("last_used"):
        lines.append(f"  last approved a device {documents.moment(device.last_used)}")
    for rune in device.runes:
        lines += _rune_lines(rune)
    if device.older_runes:
        lines.append(f"  and {device.older_runes} older runes")
    return "\n".join(lines)


def _name(device: Device) -> str:
    if device.name or not device.runes:
        return device.name or ("(this signer's own)" if device.own else "(not paired by this signer)")
    return "(this signer's own)" if device.own else "(without a name)"


def _rune_lines(rune: MintedRune) -> list[str]:
    when = documents.moment(rune.time)
    if rune.approver:
        who = {"attested": "by policy", "owner": "you agreed"}.get(
            rune.by, f"by the rule {rune.by.partition(':')[2]!r}"
        )
        how = f"for {rune.name!r}, approved by {rune.approver}, {who}"
    else:
        how = (f"for {rune.name!r}, " if rune.name else "") + _COMMANDS.get(rune.by, rune.by)
    return [
        f"  rune of {when} {how}; only if",
        *(f"    - {words}" for words in rune.words),
        *(["    and nothing else is demanded"] if len(rune.words) == 1 else []),
    ]
