"""`signerd events`: what happened last in a running signer, and what happens from now on."""

from __future__ import annotations

import datetime
import json as json_module
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, options, output

if TYPE_CHECKING:
    from pathlib import Path

    from signerd.control.pb.control_pb2 import EventRecord


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with those to come, until Ctrl-C.")
@click.option(
    "-n",
    "--last",
    type=click.IntRange(0, 1000),
    default=20,
    show_default=True,
    help="How many of those before now.",
)
@click.option("--json", is_flag=True, help="Print one JSON object per line.")
@options.control_socket
@options.common
def command(follow: bool, last: int, json: bool, **common: Any) -> int:  # noqa: FBT001
    """Show the last events of the running signer, and with --follow those to come.

    They are those of the log, also the ones below its level. The signer keeps 1000, and waits for no reader:
    one that is too slow misses some, and is told how many.
    """
    control.run(_show(control.socket_path(common), follow=follow, last=last, json=json))
    return 0


async def _show(path: Path, *, follow: bool, last: int, json: bool) -> None:
    from signerd.control.client import ControlClient

    async with ControlClient(path) as client:
        async for record in client.events(follow=follow, last=last):
            if record.lost and not json:
                print(f"… lost {record.lost} events: this reader was too slow", flush=True)
            print(_as_json(record) if json else _as_text(record), flush=True)


def _as_json(record: EventRecord) -> str:
    document: dict[str, object] = {
        "v": 1,
        "number": record.number,
        "time": _moment(record),
        "level": record.level,
        "event": record.name,
    }
    if record.lost:
        document["lost"] = record.lost
    return json_module.dumps(document | {"fields": _fields(record)})


def _as_text(record: EventRecord) -> str:
    fields = " ".join(f"{name}={_word(value)}" for name, value in _fields(record).items())
    return output.plain(f"{_moment(record)} {record.level:7} {record.name} {fields}").rstrip()


def _fields(record: EventRecord) -> dict[str, object]:
    return {field.name: getattr(field, field.WhichOneof("value") or "text") for field in record.fields}


def _moment(record: EventRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.time, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(value: object) -> str:
    text = str(value)
    return json_module.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text
