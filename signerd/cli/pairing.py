"""`signerd pairing`: decide what new devices wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, documents, options, output
from signerd.errors import Refused

if TYPE_CHECKING:
    from signerd.control.pairing_client import PairingClient
    from signerd.control.pb.control_pb2 import DecidePairingReply, ListPairingsReply, WaitingPairing


@click.group()
def command() -> None:
    """Decide what new devices wait for, where the configuration has pairing.policy = "confirm".

    A device that is paired has approved each of them already. These commands ask the running signer; on the
    devices themselves, see `signerd pair`.
    """


@command.command("list")
@options.as_json
@options.control_socket
@options.common
def list_waiting(*, json: bool, **common: Any) -> None:
    """Show which devices wait: who asks, what they would be allowed, and for how long they wait.

    The code is to be the one that the new device shows: then it is that device, and asks for just this.
    """

    async def work() -> ListPairingsReply:
        async with _client(common) as client:
            return await client.waiting()

    reply = control.run(work())
    text = "\n\n".join(_text(item) for item in reply.waiting) or "no device waits"
    output.result(documents.plain(reply), text, json=json)
    if not reply.confirms:
        output.talk('note: nothing waits for you, unless the configuration has pairing.policy = "confirm"')


@command.command()
@click.argument("number", type=click.IntRange(1, 2**32 - 1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
@options.control_socket
@options.common
def approve(*, number: int, yes: bool, json: bool, **common: Any) -> None:
    """Let the device with this NUMBER have its rune, once you have compared the code.

    Everything is checked again, as it is now. Twice is as good as once.
    """

    async def work() -> DecidePairingReply:
        async with _client(common) as client:
            if not yes:
                output.talk(_text(await _waiting(client, number)))
                output.confirm("Does the new device show this code, and may it do this?")
            return await client.approve(number)

    _show(control.run(work()), json=json)


@command.command()
@click.argument("number", type=click.IntRange(1, 2**32 - 1))
@options.as_json
@options.control_socket
@options.common
def deny(*, number: int, json: bool, **common: Any) -> None:
    """Refuse the device with this NUMBER. Its approval counts as answered, and comes to nothing."""

    async def work() -> DecidePairingReply:
        async with _client(common) as client:
            return await client.deny(number)

    _show(control.run(work()), json=json)


def _client(common: dict[str, Any]) -> PairingClient:
    from signerd.control.pairing_client import PairingClient

    return PairingClient(control.socket_path(common))


async def _waiting(client: PairingClient, number: int) -> WaitingPairing:
    for item in (await client.waiting()).waiting:
        if item.number == number:
            return item
    raise Refused(
        "pairing-unknown",
        f"no request {number} waits",
        hint="`signerd pairing list` shows those that do; what waited too long has to be approved again",
    )


def _show(reply: DecidePairingReply, *, json: bool) -> None:
    again = " before" if reply.again else ""
    output.result(documents.plain(reply), f"{reply.state}{again}: {reply.name!r}", json=json)
    if not reply.sent:
        output.talk("the scheduler is not there; it gets the answer when it asks again")


def _text(item: WaitingPairing) -> str:
    minutes, seconds = divmod(item.seconds_left, 60)
    by = f"{item.approver_name!r} ({item.approver})" if item.approver_name else item.approver
    lines = [
        f"request      {item.number}",
        f"device       {item.name!r}",
        f"code         {item.code}",
        f"approved by  {by}, {documents.moment(item.received)}",
        f"time left    {minutes} min {seconds:02} s",
        "it will be able to call the node only if",
        *(f"  - {words}" for words in item.words),
    ]
    if len(item.words) == 1:
        lines.append("  and nothing else is demanded: it may do everything, also spend")
    if item.could_pair:
        lines.append("it may let in further devices")
    return "\n".join(lines)
