"""The files of this node: whose they are, who can read them, and whether there is room for more."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from signerd.daemon.doctor.finding import Finding, failed, passed, skipped, warned
from signerd.errors import OutputError

if TYPE_CHECKING:
    from signerd.config import Settings

LITTLE_ROOM, NO_ROOM = 100 * 1024 * 1024, 4 * 1024 * 1024
"""Bytes: below the first it is said, below the second nothing can be relied on."""


def look(settings: Settings) -> Iterator[Finding]:
    """The data directory first: the others are in it."""
    if not settings.data_dir.is_dir():
        yield failed(
            "data-directory",
            OutputError(
                f"there is no data directory {settings.data_dir}",
                hint="run `signerd init`, or name another one with --data-dir",
            ),
        )
        return
    yield _private("data-directory", settings.data_dir, 0o077)
    yield _room(settings.data_dir)
    if settings.config_file is not None:
        # It holds no secret, but who can write it decides what this signer approves.
        yield _private("configuration-file", settings.config_file, 0o022)
    for check, path in (
        ("credentials-file", settings.credentials_file),
        ("store-file", settings.state_file),
    ):
        yield _private(check, path, 0o077) if path.exists() else skipped(check, f"there is no {path}")


def _private(check: str, path: Path, forbidden: int) -> Finding:
    try:
        facts = path.stat()
    except OSError as error:
        return failed(check, OutputError(f"cannot look at {path}: {error.strerror}", hint="check its owner"))
    mode, quoted = stat.S_IMODE(facts.st_mode), shlex.quote(str(path))
    if facts.st_uid not in (os.geteuid(), 0):
        return warned(
            check,
            f"{path} belongs to user {facts.st_uid}, and this is user {os.geteuid()}",
            f"run signerd as that user, or: chown {os.geteuid()} {quoted}",
        )
    if mode & forbidden:
        what = "write" if forbidden == 0o022 else "read"
        return warned(
            check,
            f"others may {what} {path} (mode {mode:04o})",
            f"chmod {mode & ~forbidden:o} {quoted}",
        )
    return passed(check, f"{path} (mode {mode:04o}, user {facts.st_uid})")


def _room(directory: Path) -> Finding:
    check = "disk"
    try:
        facts = os.statvfs(directory)
    except OSError as error:
        return failed(check, OutputError(f"cannot look at the disk of {directory}: {error.strerror}"))
    if facts.f_flag & os.ST_RDONLY:
        return failed(
            check,
            OutputError(
                f"the disk of {directory} is read-only, and every answer that changes something is stored",
                hint="mount it so that it can be written, and look into the system log for why it is not",
            ),
        )
    free = facts.f_bavail * facts.f_frsize
    says = f"{free // 1_000_000:,} MB are free in {directory}"
    if free < NO_ROOM:
        return failed(
            check,
            OutputError(says, hint="make room: signerd answers nothing that it cannot store", created=True),
        )
    if free < LITTLE_ROOM:
        return warned(check, says, "make room: signerd answers nothing that it cannot store")
    return passed(check, says)
