"""Whose a new file is: what root makes in the place of another user's file, or in their directory, is theirs.

Commands of the owner are typed with sudo beside a daemon that is another user. What they left to root, mode
0600, the daemon could not read. For everybody else nothing here does anything. Where others may make files
too, whose a name is says nothing: only the directory's owner counts, and what is made in root's stays root's.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def hand_over(descriptor: int, name: str | None, *, directory: int) -> None:
    """Give an open file in `directory` to whom it belongs: the owner of the file `name` that it replaces, or
    of the directory if it replaces none (None), or one of root's, which an earlier command may have left.
    """
    if os.geteuid() != 0:
        return
    where = os.fstat(directory)
    like = where
    if name is not None and not where.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            like = found if found.st_uid != 0 else where
    _give(descriptor, like)


def make(path: Path) -> None:
    """Make an empty file, mode 0600, for whom it belongs to, where something is to be opened or made.

    Does nothing for what is there. Raises nothing: whoever opens it says why it cannot be.
    """
    if os.geteuid() != 0:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        descriptor = os.open(path, flags, 0o600)
        try:
            _give(descriptor, path.parent.stat())
        finally:
            os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory, mode 0700, for the owner of the one that it is in. Raises OSError."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        # No link that the owner of the parent may have put there meanwhile is followed.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _give(descriptor, path.parent.stat())
        finally:
            os.close(descriptor)


def _give(descriptor: int, like: os.stat_result) -> None:
    if like.st_uid != 0:
        # Root may lack the right (CAP_CHOWN), or the file system owners: then it is as it always was there.
        with contextlib.suppress(OSError):
            os.fchown(descriptor, like.st_uid, like.st_gid)
