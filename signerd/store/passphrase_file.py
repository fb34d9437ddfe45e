"""A passphrase from a private file, or from a descriptor that was handed to us; never more than one line."""

from __future__ import annotations

import os
from pathlib import Path

from signerd.core import passphrase
from signerd.errors import InputMissing, SecretError, UsageError
from signerd.store import private_file
from signerd.units import Secret

_LIMIT = passphrase.MAX_BYTES + 2  # a newline, and one byte to see that there is more


def read(path: Path, *, handed_over: bool = False) -> Secret:
    """The passphrase in a file that only its owner may read, without one newline at its end.

    Raises InputMissing or SecretError, naming the file.
    """
    descriptor = private_file.open_private(
        path, "passphrase", handed_over=handed_over, missing="check the path, or make the file (mode 0600)"
    )
    try:
        return _limited(private_file.read_up_to(descriptor, _LIMIT), str(path))
    except OSError as error:
        raise SecretError(f"cannot read the passphrase {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def read_descriptor(number: int) -> Secret:
    """The passphrase behind a descriptor, up to its end, which is then closed. One newline at the end is not
    a part of it.

    Raises InputMissing or UsageError, naming the number.
    """
    try:
        if os.isatty(number):
            raise UsageError(
                f"descriptor {number} is a terminal, which would show the passphrase",
                hint="leave --passphrase-fd out to be asked without an echo",
            )
        with os.fdopen(number, "rb", buffering=0, closefd=number > 2) as stream:
            return _limited(private_file.read_up_to(stream.fileno(), _LIMIT), f"descriptor {number}")
    except OSError as error:
        raise InputMissing(
            f"cannot read a passphrase from descriptor {number}: {error.strerror}",
            hint="open it for reading when you start signerd, as in `signerd run --passphrase-fd 3 3< FILE`",
        ) from error


def _limited(content: bytes, source: str) -> Secret:
    found = passphrase.of_line(content)
    if len(found) > passphrase.MAX_BYTES:
        raise SecretError(
            f"{source} has more than {passphrase.MAX_BYTES} bytes and is no passphrase",
            hint="a passphrase is one line",
        )
    return found
