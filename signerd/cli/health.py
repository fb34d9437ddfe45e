"""`signerd health`: is the signer alive, and can it sign? For people, for containers, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from signerd.cli import control, options, output
from signerd.errors import RemoteError, SignerdError

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.observe.readiness import Health


@click.command()
@click.option("--live", is_flag=True, help="Only ask whether it is alive: 0 also while it cannot sign.")
@click.option("--ready", is_flag=True, help="Ask whether it can sign now (this is the default).")
@click.option(
    "--timeout",
    type=click.FloatRange(0.01, 600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an answer may take; without one it is stuck.",
)
@options.as_json
@options.control_socket
@options.common
def command(live: bool, ready: bool, timeout: float, json: bool, **common: Any) -> int:  # noqa: FBT001
    """Say whether the running signer can sign now, and if not, why.

    \b
    Exit codes, beside those that every command has:
      0   ready: attached to the node, and answering
      20  starting: the scheduler has not been reached since the start
      21  detached: not attached to the node, though it may run
      22  node-not-scheduled: the node does not run
      23  refusing: the last 10 requests or more were all refused
      24  store-failing: the store cannot be written: its disk is full or read-only, or it is damaged
      25  sealed: no signer runs, and its secret waits for a passphrase
      26  stuck: it runs, and does not get on
      27  stopping: it was told to end
      69  not-running: no signer answers at the socket

    With --live, 0 is also the answer for those from 20 to 24, and for 27: a restart would not help. In a
    container: HEALTHCHECK CMD ["signerd", "health", "--live"].
    """
    if live and ready:
        raise click.UsageError("--live and --ready exclude each other")
    state, reason, is_live = _ask(common, timeout)
    from signerd.observe.readiness import Readiness

    found = Readiness(state)
    good = is_live if live else found is Readiness.READY
    document = {"v": 1, "state": state, "live": is_live, "ready": found is Readiness.READY, "reason": reason}
    output.result(document, f"{state}: {reason}", json=json)
    return 0 if good else found.exit_code


def _ask(common: dict[str, Any], timeout: float) -> tuple[str, str, bool]:
    import json

    from signerd.control import quick

    path = control.socket_path(common)
    try:
        answer = json.loads(quick.ask(path, "/health", timeout))
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
    from signerd.cli import node_secret, passphrase
    from signerd.store import secret_file

    path = settings.secret_file
    if not secret_file.is_sealed(path, handed_over=node_secret.is_handed_over(settings)):
        return None
    try:
        if passphrase.is_said(settings):
            return None  # why it does not run all the same, `signerd run` says
    except SignerdError as problem:
        return f"no signer runs, and the passphrase of {path} cannot be had: {problem.message}"
    return f"no signer runs, and {path} is sealed with a passphrase that nothing says"
