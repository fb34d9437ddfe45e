"""Man pages, made from the parser: one for signerd, one for each command, one for the configuration file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import signerd
from signerd.errors import ExitCode

if TYPE_CHECKING:
    import click

_CODE_WORDS = {
    ExitCode.OK: "Done.",
    ExitCode.USAGE: "The command was typed wrong.",
    ExitCode.DATA: (
        "Bad data: a secret, a rune, a backup or a message that cannot be read; an audit chain that was "
        "changed."
    ),
    ExitCode.NO_INPUT: "An input file is not there.",
    ExitCode.UNAVAILABLE: "The other side is not available; try again later.",
    ExitCode.INTERNAL: "A bug in signerd.",
    ExitCode.CANNOT_CREATE: "A file cannot be created; nothing was lost.",
    ExitCode.IO: "Input or output failed; the store cannot be trusted, or the disk is full.",
    ExitCode.TRY_LATER: (
        "Try later: another signerd owns this data directory, an address is taken, or memory is short."
    ),
    ExitCode.PROTOCOL: "The other side refuses, or breaks the protocol; trying again will not help.",
    ExitCode.NO_PERMISSION: "No permission: credentials or a request were refused.",
    ExitCode.CONFIG: "The configuration is wrong.",
    ExitCode.SEALED: "The secret is sealed, and nothing says its passphrase.",
    ExitCode.WRONG_PASSPHRASE: "The passphrase is wrong; it was tried once.",
    ExitCode.INTERRUPTED: "Interrupted, or the answer was no.",
}
_FILES = {
    "~/.config/signerd/config.toml, /etc/signerd/config.toml": "The configuration, see signerd.toml(5).",
    "~/.local/share/signerd, /var/lib/signerd": (
        "The data directory: hsm_secret (unless it is elsewhere), credentials.gfs, signerd.db, "
        "signerd.db.last, signerd.lock."
    ),
}
_VARIABLES = {
    "SIGNERD_CONFIG": "The configuration file; weaker than --config.",
    "SIGNERD_*": (
        "Every key of the configuration in capitals, tables joined by underscores: SIGNERD_SCHEDULER_URI "
        "for scheduler.uri. Weaker than flags, stronger than the file."
    ),
    "GL_SCHEDULER_GRPC_URI, GL_CA_CRT, GL_NOBODY_CRT, GL_NOBODY_KEY": (
        "As for other clients of Greenlight; weaker than the file."
    ),
    "STATE_DIRECTORY, CONFIGURATION_DIRECTORY, CREDENTIALS_DIRECTORY, RUNTIME_DIRECTORY": (
        "Set by systemd: the data directory, the place of config.toml, the place of the secret and its "
        "passphrase, the place of the control socket."
    ),
    "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, JOURNAL_STREAM": (
        "Set by systemd: where to say how it goes, how often at the least and who is meant, and whether "
        "stderr leads to the journal."
    ),
    "XDG_DATA_HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR": (
        "Where the data directory, the configuration and the control socket are by default."
    ),
    "SSL_CERT_FILE, SSL_CERT_DIR": "The roots that the host of an export may lead to.",
    "NO_COLOR, TERM": "No colours, if NO_COLOR is set or TERM is dumb.",
}


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    import click

    from signerd.cli.main import COMMANDS, cli

    root = click.Context(cli, info_name="signerd", help_option_names=["-h", "--help"])
    made = {"signerd.1": _main_page(cli, root), "signerd.toml.5": _file_page()}
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root)
        made[f"signerd-{name}.1"] = _command_page(command, context, COMMANDS[name][1])
    return made


def _main_page(cli: click.Group, context: click.Context) -> str:
    from signerd.cli.main import COMMANDS

    commands = [(f"signerd-{name}(1)", line) for name, (_, line) in COMMANDS.items()]
    body = [
        *_head("signerd", 1, "the signer of a hosted Core Lightning node"),
        *_section("SYNOPSIS"),
        r"\fBsignerd\fR \fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        *_section("DESCRIPTION"),
        *_prose(cli.help or ""),
        *_section("COMMANDS"),
        *_list(commands),
        *_options(cli, context),
        *_section("EXIT STATUS"),
        "The codes are those of sysexits.h, the same in every command.",
        *_list([(str(int(code)), words) for code, words in _CODE_WORDS.items()]),
        *_section("ENVIRONMENT"),
        "A variable that is set to nothing counts as not set.",
        *_list(_VARIABLES.items()),
        *_section("FILES"),
        *_list(_FILES.items()),
        *_section("SEE ALSO"),
        _escape("signerd.toml(5), " + ", ".join(f"signerd-{name}(1)" for name in COMMANDS)),
    ]
    return _text(body)


def _command_page(command: click.Command, context: click.Context, line: str) -> str:
    summary = line[:1].lower() + line[1:].rstrip(".")
    body = [
        *_head(f"signerd-{context.info_name}", 1, summary),
        *_section("SYNOPSIS"),
        *"\n.br\n".join(_synopses(command, context)).splitlines(),
        *_section("DESCRIPTION"),
        *_prose(command.help or ""),
        *_options(command, context),
        *_subcommands(command, context),
        *_section("EXIT STATUS"),
        "0 when it is done; the other codes are in \\fBsignerd\\fR(1).",
        *_section("SEE ALSO"),
        "\\fBsignerd\\fR(1), \\fBsignerd.toml\\fR(5)",
    ]
    return _text(body)


def _file_page() -> str:
    from signerd import config
    from signerd.cli.config import example_text
    from signerd.tables import schema
    from signerd.tables.keys import keys

    words = schema.descriptions(example_text())
    items = []
    for name, key in keys(config.Config, inside_lists=True).items():
        facts = []
        if key.choices:
            facts.append("One of " + ", ".join(map(str, key.choices)) + ".")
        if name in config.FORMAT.limits:
            least, most = config.FORMAT.limits[name]
            facts.append(f"From {least:g} to {most:.15g}.")
        if key.default not in (None, ()):
            default = str(key.default).lower() if isinstance(key.default, bool) else key.default
            facts.append(f"Default: {default}.")
        items.append((name, " ".join([words.get(name, ""), *facts]).strip()))
    body = [
        *_head("signerd.toml", 5, "the configuration of signerd"),
        *_section("DESCRIPTION"),
        *_prose(
            "TOML; every key can be left out. Unknown keys are refused. Relative paths start at the "
            "directory of the file, and ~ is the home directory.\n\n"
            "The file is the one that `--config` or `SIGNERD_CONFIG` names, else config.toml in systemd's "
            "configuration directory, in $XDG_CONFIG_HOME/signerd or in ~/.config/signerd.\n\n"
            "Each key can also be said by a flag, `--set KEY=VALUE`, and by a variable, `SIGNERD_` and the "
            "key in capitals with underscores. Flags are stronger than variables, and both than the file.\n\n"
            "`signerd config check` judges it, `signerd config show --origin` says what holds and why, "
            "`signerd config example` prints one with every key."
        ),
        *_section("KEYS"),
        *_list(items),
        *_section("SEE ALSO"),
        "\\fBsignerd\\fR(1), \\fBsignerd\\-config\\fR(1), \\fBsignerd\\-run\\fR(1)",
    ]
    return _text(body)


def _head(name: str, section: int, summary: str) -> list[str]:
    title = f'.TH "{_escape(name.upper())}" "{section}" "" "signerd {signerd.__version__}" "signerd"'
    return [
        '.\\" Made by .ci/share from the parser. Change that, not this.',
        title,
        *_section("NAME"),
        f"{_escape(name)} \\- {_escape(summary)}",
    ]


def _section(title: str) -> list[str]:
    return [f".SH {title}"]


def _synopses(command: click.Command, context: click.Context) -> Iterator[str]:
    import click

    if isinstance(command, click.Group):
        for inner, inner_context in _children(command, context):
            yield from _synopses(inner, inner_context)
        if not command.invoke_without_command:
            return
    usage = _escape(" ".join(command.collect_usage_pieces(context)))
    yield f".B {_escape(context.command_path)}\n{usage}".rstrip()


def _options(command: click.Command, context: click.Context) -> list[str]:
    return [*_section("OPTIONS"), *_list(_records(command, context))]


def _records(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    # Not `get_params`: it remembers the help option of the first context that ever asked.
    records = [record for param in command.params if (record := param.get_help_record(context))]
    return [*records, ("-h, --help", "Show this message and exit.")]


def _subcommands(command: click.Command, context: click.Context) -> Iterator[str]:
    import click

    if not isinstance(command, click.Group):
        return
    for inner, inner_context in _children(command, context):
        yield f".SH {_escape(inner_context.command_path.upper())}"
        yield from _prose(inner.help or "")
        yield from _list(_records(inner, inner_context))


def _children(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    import click

    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        assert inner is not None
        yield inner, click.Context(inner, info_name=name, parent=context)


def _prose(help_text: str) -> Iterator[str]:
    """The paragraphs of a help text; those behind a backslash and a b keep their lines."""
    for number, block in enumerate(re.split(r"\n[ \t]*\n", help_text.strip())):
        lines = [line.rstrip() for line in block.splitlines()]
        if number:
            yield ".PP"
        if lines and lines[0].strip() == "\b":
            yield ".nf"
            yield from (_escape(line) for line in lines[1:])
            yield ".fi"
        else:
            yield from (_bold(_escape(line.strip())) for line in lines)


def _list(items: Any) -> Iterator[str]:
    for name, words in items:
        yield ".TP"
        yield f"\\fB{_escape(name)}\\fR"
        yield _bold(_escape(" ".join(words.split())))


def _bold(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)


def _escape(text: str) -> str:
    """Text as roff takes it: no commands, hyphens that can be copied, ASCII only."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
