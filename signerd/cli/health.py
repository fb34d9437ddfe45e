"""`signerd health`: is the signer alive, and can it sign? For people, for containers, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, options, output
from signerd.errors import RemoteError, SignerdError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.observe.readiness import Health

_PATIENCE = 5.0


@click.command()
@click.option("--live", is_flag=True, help="Only ask whether it is alive: 0 also while it cannot sign.")
@click.option("--ready", is_flag=True, help="Ask whether it can sign now (this is the default).")
@options.as_json
@options.control_socket
@options.common
def command(live: bool, ready: bool, json: bool, **common: Any) -> int:  # noqa: FBT001
    """Say whether the running signer can sign now, and if not, why.

    \b
    Exit codes, beside those that every command has:
      0   ready: attached to the node, and answering
      20  starting: the scheduler has not been reached since the start
      21  detached: not attached to the node, though it may run
      22  node-not-scheduled: the node does not run
      23  refusing: the last 10 requests or more were all refused
      24  store-failing: the store's disk is full or read-only
      25  sealed: no signer runs, and its secret waits for a passphrase
      26  stuck: it runs, and does not get on
      27  stopping: it was told to end
      69  not-running: no signer answers at the socket

    With --live, 0 is also the answer for those from 20 to 24, and for 27: a restart would not help. In a
    container: HEALTHCHECK CMD ["signerd", "health", "--live"].
    """
    if live and ready:
        raise click.UsageError("--live and --ready exclude each other")
    state, reason, is_live = _ask(common)
    from signerd.observe.readiness import Readiness

    found = Readiness(state)
    good = is_live if live else found is Readiness.READY
    document = {"v": 1, "state": state, "live": is_live, "ready": found is Readiness.READY, "reason": reason}
    output.result(document, f"{state}: {reason}", json=json)
    return 0 if good else found.exit_code


def _ask(common: dict[str, Any]) -> tuple[str, str, bool]:
    import json

    from signerd.control import quick

    path = control.socket_path(common)
    try:
        answer = json.loads(quick.ask(path, "/health", _PATIENCE))
    except RemoteError as problem:
        found = _without_answer(problem, common)
        return str(found.state), found.reason, found.live
    return answer["state"], answer["reason"], answer["live"]


def _without_answer(problem: RemoteError, common: dict[str, Any]) -> Health:
    from signerd.control.quick import NotRunning
    from signerd.errors import Unavailable
    from signerd.observe.readiness import Health, Readiness

    if isinstance(problem, NotRunning):
        sealed = _sealed(options.settings(common))
        return Health(Readiness.SEALED, sealed) if sealed else Health(Readiness.NOT_RUNNING, problem.message)
    if isinstance(problem, Unavailable):
        return Health(Readiness.STUCK, problem.message)
    raise problem


def _sealed(settings: Settings) -> str | None:
    """Why no signer can run here before somebody gives a passphrase; None if that is not the reason."""
    from signerd.core import secret_layout
    from signerd.store import files

    try:
        content = files.read_bounded(settings.secret_file, secret_layout.MAX_SIZE)
    except SignerdError:
        return None  # what is wrong with the file, `signerd run` says
    if len(content) != secret_layout.ENCRYPTED_SIZE:
        return None
    return f"no signer runs, and {settings.secret_file} is sealed with a passphrase"
