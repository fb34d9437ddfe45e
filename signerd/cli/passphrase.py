"""Where a passphrase comes from: a descriptor, a file, a systemd credential, else the terminal; asked once.

Never from an argument or the environment, which other processes can see.
"""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from signerd.cli import output
from signerd.errors import ConfigError, Interrupted, SecretError, UsageError
from signerd.units import Secret

if TYPE_CHECKING:
    from signerd.config import Settings

CREDENTIAL = "hsm_passphrase"
NO_INPUT = "signerd.no-input"
"""In click's context: --no-input was given."""
_TERMINAL = "/dev/tty"
_LONGEST_LINE = 4095  # termios(3): what a terminal keeps of one


def current(settings: Settings, *, question: str = "passphrase: ") -> Secret | None:
    """The passphrase of the secret that there is; None where nothing says it and nobody can be asked.

    Raises InputMissing, SecretError or UsageError for a source that was named and cannot be read.
    """
    found = _configured(settings)
    return found if found is not None or not may_ask() else _ask(question)


def new(settings: Settings) -> Secret | None:
    """A passphrase for a new seal, usable, and typed twice if it is typed. None as for `current`.

    Raises SecretError for one that is not usable, UsageError for two that differ.
    """
    return _usable(_configured(settings))


def new_from(*, file: Path | None, descriptor: int | None) -> Secret | None:
    """A passphrase for a new seal from exactly these, or typed twice. None and errors as for `new`."""
    return _usable(_named(file, descriptor))


def is_said(settings: Settings) -> bool:
    """Whether a signer that is started without a person has one. Raises as `current`."""
    return _configured(settings) is not None


def may_ask() -> bool:
    """Whether somebody sits at a terminal and may be asked."""
    context = click.get_current_context(silent=True)
    refused = context is not None and context.meta.get(NO_INPUT)
    return sys.stdin.isatty() and not refused


def _configured(settings: Settings) -> Secret | None:
    named = _named(settings.passphrase_file, settings.passphrase_fd)
    credential = _credential(settings)
    return named if named is not None or credential is None else _named(credential, None)


def _credential(settings: Settings) -> Path | None:
    """Where systemd put the passphrase. Outside of a service there is no such place."""
    credentials, name = os.environ.get("CREDENTIALS_DIRECTORY"), settings.config.secret.passphrase_credential
    if not credentials:
        return None
    if name is not None and "/" in name:
        raise ConfigError(
            f"secret.passphrase_credential = {name!r} is a path",
            hint="it is the name that the unit's LoadCredential= gives, and systemd chooses the directory",
        )
    path = Path(credentials) / (name or CREDENTIAL)
    # One that was named has to be there.
    return path if name is not None or os.path.lexists(path) else None


def _named(file: Path | None, descriptor: int | None) -> Secret | None:
    from signerd.store import passphrase_file

    if descriptor is not None:
        return passphrase_file.read_descriptor(descriptor)
    if file is None:
        return None
    handed_over = os.environ.get("CREDENTIALS_DIRECTORY") == str(file.parent)
    return passphrase_file.read(file, handed_over=handed_over)


def _usable(found: Secret | None) -> Secret | None:
    from signerd.core import passphrase

    typed = found is None and may_ask()
    if typed:
        found = _ask("new passphrase: ")
    if found is None:
        return None
    passphrase.require_usable(found)
    if advice := passphrase.weakness(found):
        output.talk(f"note: {advice}")
    if typed and found != _ask("the same again: "):
        raise UsageError("the two passphrases differ; nothing was changed", hint="type the same one twice")
    return found


def _ask(question: str) -> Secret:
    """One line, as the bytes that the terminal sends. Raises Interrupted when nothing is typed at all."""
    try:
        terminal = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            "a passphrase is typed on a terminal, and there is none",
            hint="use --passphrase-file or --passphrase-fd",
        ) from error
    try:
        with _without_echo(terminal):
            os.write(terminal, question.encode())
            line = _line(terminal)
            os.write(terminal, b"\n")
    finally:
        os.close(terminal)
    if not line:
        raise Interrupted("no passphrase was typed; nothing was done")
    if len(line) >= _LONGEST_LINE:
        raise SecretError("a terminal cannot take a line of that length", hint="use --passphrase-file")
    return Secret(line.removesuffix(b"\n"))


def _line(terminal: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (chunk := os.read(terminal, _LONGEST_LINE + 1)):
        line += chunk
    return line


@contextmanager
def _without_echo(terminal: int) -> Iterator[None]:
    before = termios.tcgetattr(terminal)
    silent = list(before)
    silent[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
