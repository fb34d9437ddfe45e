"""Read and create the secret file: private, whole, and never overwritten."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from signerd.core import secret_layout
from signerd.errors import InputMissing, SecretError
from signerd.store import files
from signerd.units import Secret


def read_secret(path: Path, *, handed_over: bool = False) -> Secret:
    """The 32-byte node secret in a file.

    `handed_over` says that a service manager made the file for this process alone, in a directory that
    only it can enter; then group bits are the mask of an access list and not a leak.

    Raises InputMissing or SecretError naming the file and what to type.
    """
    try:
        # Not following a last symbolic link would break Docker and systemd secrets, which are links.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise InputMissing(
            f"no secret at {path}", hint="run `signerd init` to make, import or adopt one"
        ) from error
    except OSError as error:
        raise SecretError(
            f"cannot read the secret {path}: {error.strerror}",
            hint="it must belong to the user that runs signerd",
        ) from error
    try:
        _require_private(os.fstat(descriptor), path, handed_over=handed_over)
        content = _read(descriptor, secret_layout.MAX_SIZE + 1)
    finally:
        os.close(descriptor)
    if len(content) > secret_layout.MAX_SIZE:
        raise SecretError(
            f"{path} has more than {secret_layout.MAX_SIZE} bytes and is no secret that signerd knows",
            hint="a secret is 32 raw bytes or BIP 39 words; signerd never uses a part of a file",
        )
    return secret_layout.read(content, source=str(path))


def create_secret(path: Path, secret: Secret) -> None:
    """Write 32 raw bytes to a new file: 0600, fsynced, directory fsynced.

    Raises SecretError if something is there already (it stays as it is), OutputError if it cannot be
    written.
    """
    if os.path.lexists(path):
        raise SecretError(
            f"{path} exists already; signerd never overwrites a secret",
            hint="use it as it is, or name another place with --data-dir or --secret-file",
        )
    files.write_atomically(path, secret.expose(), mode=0o600, exclusive=True)


def _read(descriptor: int, limit: int) -> bytes:
    content = b""
    while len(content) < limit and (chunk := os.read(descriptor, limit - len(content))):
        content += chunk
    return content


def _require_private(status: os.stat_result, path: Path, *, handed_over: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SecretError(
            f"{path} is a directory, not a secret file", hint="name the file itself with --secret-file"
        )
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is not a regular file", hint="a secret is a file of its own")
    if status.st_mode & (0o007 if handed_over else 0o077):
        raise SecretError(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {shlex.quote(str(path))}",
        )
