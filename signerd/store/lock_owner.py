"""Which process owns a data directory, for who only looks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from signerd.store.files import LOCK_NAME


def owner_of(directory: Path) -> int | None:
    """The process that owns `directory` by `lock_directory`, 0 if its number is not known; None for none.

    Takes and leaves no lock, and makes no file.
    """
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        # A shared lock: two who look do not see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        content = os.pread(fd, 32, 0)
        return int(content) if content.strip().isdigit() else 0
    finally:
        os.close(fd)
    return None
