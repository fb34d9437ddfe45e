"""`signerd run`: the daemon."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from signerd.cli import node_secret, options
from signerd.errors import ExitCode, SignerdError


@click.command()
@options.common
def command(**common: Any) -> int:
    """Run the signer: stay with the scheduler, attach to the node, answer what may be answered.

    Logs go to stderr. SIGTERM and SIGINT end it within 5 seconds; SIGHUP has it read its configuration again,
    and a wrong one changes nothing. It leaves with 77 when the scheduler refuses its credentials or the node
    was exported, with 79 when the secret is sealed and nothing says its passphrase, and with 80 when that is
    wrong. A network that fails is waited for, and so is a full disk.
    """
    # As the first process of a container there is no other handler until the loops have theirs.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(ExitCode.OK))
    from signerd.daemon.hangup import Hangups

    hangups = Hangups()
    settings = options.quietly(common)
    # The C core's own messages repeat what we log, without context.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from signerd.daemon.reload import LiveSettings
    from signerd.daemon.supervisor import Supervisor
    from signerd.observe import events
    from signerd.observe.bus import Bus
    from signerd.observe.logs import Log

    keys = node_secret.load_keys(settings)
    log = Log(form=settings.config.log.format, level=settings.config.log.level, node=keys.node_id.hex())
    bus = Bus(log.emit)
    live = LiveSettings(settings, load=lambda: options.quietly(common), bus=bus)
    live.on_change(lambda new: log.prepared(form=new.config.log.format, level=new.config.log.level))
    try:
        Supervisor(live, keys, bus, log=log, hangups=hangups).run()
    except SignerdError as problem:
        bus.emit(events.Failed(reason=problem.message, hint=problem.hint, exit_code=int(problem.exit_code)))
        return problem.exit_code
    finally:
        log.close()
    return ExitCode.OK
