"""Replace a configuration file that a person wrote, and keep what was there."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import Path

from signerd.store import files

MAX_SIZE = 1024 * 1024


def replace(path: Path, text: str, *, version: int) -> Path:
    """Write `text` in the place of the file, whole or not at all; the path of the copy of what was there.

    The copy is `config.toml.v1.bak` for a file of version 1; a copy that is there already stays, and the new
    one gets a number. A symbolic link stays one. Raises OutputError.
    """
    place = path.resolve()
    status = place.stat()
    mode = stat.S_IMODE(status.st_mode)
    copy = _keep(files.read_bounded(place, MAX_SIZE), place, mode=mode, version=version)
    files.write_atomically(place, text.encode("utf-8"), mode=mode)
    for written in (place, copy):
        # Root may rewrite somebody's file; it stays theirs.
        with contextlib.suppress(PermissionError):
            os.chown(written, status.st_uid, status.st_gid)
    return copy


def _keep(content: bytes, place: Path, *, mode: int, version: int) -> Path:
    for number in itertools.count(1):
        copy = place.with_name(f"{place.name}.v{version}.bak" + ("" if number == 1 else f".{number}"))
        try:
            files.write_atomically(copy, content, mode=mode, exclusive=True)
        except files.AlreadyThere:
            if _same(copy, content):
                return copy
        else:
            return copy
    raise AssertionError("counting does not end")


def _same(copy: Path, content: bytes) -> bool:
    return copy.is_file() and copy.stat().st_size == len(content) and copy.read_bytes() == content
