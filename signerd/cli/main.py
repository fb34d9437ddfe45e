"""`signerd`: the table of commands, and how errors become exit codes."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import click

import signerd
from signerd.cli import options, output
from signerd.errors import ExitCode, Interrupted, SignerdError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Verb → (module under signerd.cli, one line of help). Modules load when their verb is used, so that
# `--help` and the offline commands stay quick and free of network libraries.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init", "Make, import or adopt the node secret."),
    "seal": ("seal", "Put the node secret under a passphrase."),
    "unseal": ("unseal", "Take the passphrase off the node secret."),
    "register": ("register", "Register the node with the scheduler."),
    "recover": ("recover", "Get new credentials for a node that is registered already."),
    "run": ("run", "Run the signer until it is told to stop."),
    "status": ("status", "Show on one screen how a running signer stands."),
    "health": ("health", "Say whether a running signer can sign now, and why not."),
    "events": ("events", "Show what happened in a running signer, and what happens."),
    "reload": ("reload", "Have a running signer read its configuration again."),
    "new-store": ("new_store", "Begin anew after the store was lost."),
    "schedule": ("scheduler", "Ask the scheduler to start the node."),
    "node-info": ("scheduler", "Ask where the node runs, without starting it."),
    "upgrade": ("scheduler", "Announce this signer's version and start-up answers."),
    "invites": ("scheduler", "List the node's invite codes."),
    "webhooks": ("webhooks", "Add, list, delete webhooks, or rotate their secret."),
    "export": ("export", "Take the node home: export, download, decrypt, and say how to go on."),
    "pair": ("pair", "Pair a new device: `new` on it, `approve` on one that is paired."),
    "pairing": ("pairing", "Decide what new devices wait for: list, approve, deny."),
    "devices": ("devices", "List the node's devices, and revoke them."),
    "rune": ("rune", "Create, decode, check or restrict runes."),
    "decrypt-export": ("decrypt_export", "Decrypt a node export, offline."),
    "inspect": ("inspect", "Show what this signer says of itself."),
    "audit": ("audit", "List, verify or export the record of every decision."),
    "explain": ("explain", "Say in plain words what was decided, why, and what to do."),
    "config": ("config", "Check, show, describe or migrate the configuration."),
    "replay": ("replay", "Decide recorded requests offline, one JSON line each."),
    "doctor": ("doctor", "Find out what is wrong with this installation."),
    "completion": ("completion", "Print the completion script for a shell."),
    "dev": ("dev", "A local Greenlight for trying things out."),
    "demo": ("demo", "Watch the whole story on this machine in a few seconds."),
}

_EPILOG = (
    "Exit codes: 0 done, 64 usage, 65 bad data, 66 no such file, 69 unavailable, 70 bug, 73 cannot create, "
    "74 input/output, 75 try later, 76 protocol, 77 no permission, 78 configuration, 79 sealed, "
    "80 wrong passphrase, 130 interrupted."
)


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"signerd.cli.{COMMANDS[cmd_name][0]}")
        name = "command" if hasattr(module, "command") else cmd_name.replace("-", "_")
        command: click.Command = getattr(module, name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from signerd.cli import completion

        return completion.verbs(COMMANDS, incomplete) + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader went away (`signerd … | head`): no complaint, but no claim that all was read either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.IO

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
    no_args_is_help=True,
)
@options.no_input
@click.version_option(signerd.__version__, "-V", "--version", message="signerd %(version)s")
def cli() -> None:
    """The signer of a hosted Core Lightning node, on your own machine.

    \b
    First steps:
      signerd init          make a secret and write its words down
      signerd register      register the node
      signerd run           answer its requests
    """


def main(argv: list[str] | None = None) -> NoReturn:
    """Run one command; exit as sysexits.h says. Only a bug leaves a traceback."""
    arguments = sys.argv[1:] if argv is None else argv
    wants_json = "--json" in arguments
    try:
        outcome: Any = cli.main(args=arguments, prog_name="signerd", standalone_mode=False)
    except click.exceptions.Exit as stop:
        _leave(stop.exit_code)
    except click.Abort:
        _fail(Interrupted("interrupted"), json=wants_json)
    except click.exceptions.NoArgsIsHelpError as problem:
        output.talk(problem.format_message())
        _leave(ExitCode.USAGE)
    except click.UsageError as problem:
        usage = problem.ctx.command_path if problem.ctx else "signerd"
        _fail(UsageError(_plain(problem), hint=f"see `{usage} --help`"), json=wants_json)
    except click.ClickException as problem:
        _fail(UsageError(_plain(problem)), json=wants_json)
    except SignerdError as problem:
        _fail(problem, json=wants_json)
    except KeyboardInterrupt:
        _fail(Interrupted("interrupted"), json=wants_json)
    except Exception:  # noqa: BLE001 - whatever else there is, is a bug, and has its own exit code
        traceback.print_exc()
        output.talk("this is a bug in signerd; please report it with the lines above")
        _leave(ExitCode.INTERNAL)
    _leave(outcome if isinstance(outcome, int) else ExitCode.OK)


def _plain(problem: click.ClickException) -> str:
    text = problem.format_message().strip().removesuffix(".")
    return text[:1].lower() + text[1:]


def _fail(problem: SignerdError, *, json: bool) -> NoReturn:
    # Whoever does not read the words still gets the number.
    with contextlib.suppress(BrokenPipeError):
        output.error(problem, json=json)
    _leave(problem.exit_code)


def _leave(code: int) -> NoReturn:
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        # Its reader is gone. Python would try again, fail, and leave with 120 instead of this code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(int(code))
