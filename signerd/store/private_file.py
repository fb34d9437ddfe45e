"""Read a small file that only its owner may read: whole, bounded, and not at all when others can read it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from signerd.errors import InputMissing, SecretError


def open_private(path: Path, what: str, *, handed_over: bool = False, missing: str) -> int:
    """A descriptor of the file, which the caller closes. `what` it is, in messages; `missing` is a hint.

    `handed_over` says that a service manager made the file for this process alone, in a directory that
    only it can enter; then group bits are the mask of an access list and not a leak.

    Raises InputMissing or SecretError naming the file and what to type.
    """
    try:
        # Not following a last symbolic link would break Docker and systemd secrets, which are links.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise InputMissing(f"no {what} at {path}", hint=missing) from error
    except OSError as error:
        raise SecretError(
            f"cannot read the {what} {path}: {error.strerror}",
            hint="it must belong to the user that runs signerd",
        ) from error
    try:
        _require_private(os.fstat(descriptor), path, what, handed_over=handed_over)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_up_to(descriptor: int, limit: int) -> bytes:
    """Everything up to the end, or `limit` bytes. Raises OSError."""
    content = b""
    while len(content) < limit and (chunk := os.read(descriptor, limit - len(content))):
        content += chunk
    return content


def _require_private(status: os.stat_result, path: Path, what: str, *, handed_over: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SecretError(f"{path} is a directory, not a {what} file", hint="name the file itself")
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is not a regular file", hint=f"a {what} is a file of its own")
    if status.st_mode & (0o007 if handed_over else 0o077):
        raise SecretError(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )
