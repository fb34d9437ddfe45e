"""`signerd status`: how the running signer stands, on one screen.

It asks without gRPC and paints without a terminal library, so that the answer is there at once.
"""

from __future__ import annotations

import json as json_module
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, options, output
from signerd.errors import ExitCode, ProtocolViolation, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 5.0
_CLEAR = "\x1b[H\x1b[J"


@click.command()
@click.option("-w", "--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often, with --watch.",
)
@options.as_json
@options.control_socket
@options.common
def command(watch: bool, every: float, json: bool, **common: Any) -> int:  # noqa: FBT001
    """Show how the running signer stands: whether it can sign, its connections, what it answered and refused.

    With --json it is one document, of version 1 (`v`); times are Unix seconds, and what is not known is left
    out. For scripts that only want to know whether it works there is `signerd health`.
    """
    path = control.socket_path(common)
    if not watch:
        print(_shown(path, json=json), flush=True)
        return ExitCode.OK
    on_screen = sys.stdout.isatty() and not json
    while True:
        try:
            shown = _shown(path, json=json)
        except Unavailable as problem:  # it may come back, and that is worth watching
            shown = json_module.dumps({"v": 1, "error": problem.message}) if json else problem.message
        print(_CLEAR + shown if on_screen else shown, flush=True)
        if not on_screen and not json:
            print(flush=True)
        time.sleep(every)


def _shown(path: Path, *, json: bool) -> str:
    from signerd.control import quick

    answer = quick.ask(path, "/status", _PATIENCE)
    document = json_module.loads(answer)
    if json:
        return answer.decode().strip()
    if document.get("v") != 1:
        raise ProtocolViolation(
            f"the signer at {path} is of another version, and its status cannot be shown",
            hint="restart it, so that both are of one version; --json shows what it says",
        )
    from signerd.cli import status_screen

    return "\n".join(map(output.plain, status_screen.lines(document)))
