"""Can the disk that holds the store take another write?"""

from __future__ import annotations

import os
from pathlib import Path

from signerd.store import files

ENOUGH = 1024 * 1024
"""Bytes. An answer that is remembered takes some ten thousand."""


def trouble(path: Path) -> str | None:
    """What is wrong with the file system of a file that is there; None if nothing is."""
    try:
        found = os.statvfs(path)
        if found.f_flag & os.ST_RDONLY:
            return "its file system is read-only"
        if found.f_bavail * found.f_frsize < ENOUGH:
            return "its file system is full"
    except OSError as error:
        return files.reason(error)
    return None


def last_write(path: Path) -> float | None:
    """When the store was last written: Unix seconds, by its files; None if it is not there."""
    times = []
    for name in (path.name, path.name + "-wal"):
        try:
            times.append(path.with_name(name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)
