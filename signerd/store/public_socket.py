"""A Unix socket for questions that hold no secret: the group may ask, and a dead one is taken away first."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
from pathlib import Path

from signerd.errors import AlreadyRunning, ConfigError, OutputError
from signerd.store import files

MODE = 0o660
BACKLOG = 64
MAX_PATH = 107
"""Bytes that fit into a socket address (unix(7): 108 with the final zero)."""


def listen(path: Path, *, key: str) -> socket.socket:
    """Listen at `path`. `key` names the setting that says so, for the hints.

    Raises AlreadyRunning if somebody listens there, ConfigError or OutputError if no socket can be made.
    """
    # Made under a name of its own, and renamed: nobody can connect before the mode is right.
    temporary = path.with_name(f".{secrets.token_hex(4)}")
    if max(len(os.fsencode(path)), len(os.fsencode(temporary))) > MAX_PATH:
        raise ConfigError(f"{path} is too long for a socket", hint=f"set `{key}` to a shorter one")
    _require_dead(path, key)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(os.fspath(temporary))
        temporary.chmod(MODE)
        listener.listen(BACKLOG)
        temporary.rename(path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"cannot make the socket {path}: {files.reason(error)}",
            hint=f"let `{key}` name a path in a directory that this user may write to",
        ) from error
    return listener


def remove(path: Path, listener_made: os.stat_result) -> None:
    """Remove the socket if it is still the one that was made: another signerd's stays."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == (listener_made.st_dev, listener_made.st_ino):
            path.unlink()


def _require_dead(path: Path, key: str) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot look at {path}: {files.reason(error)}") from error
    if not stat.S_ISSOCK(mode):
        raise OutputError(f"{path} is there and is no socket", hint=f"move it away, or change `{key}`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        failed = probe.connect_ex(os.fspath(path))
    if failed in {errno.ECONNREFUSED, errno.ENOENT}:
        return
    raise AlreadyRunning(f"somebody listens at {path}", hint=f"stop it first, or change `{key}`")
