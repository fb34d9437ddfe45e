"""A Unix socket of ours: 0600 from its first moment on, in the place of a dead one, never of a live one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from signerd.errors import AlreadyRunning, ConfigError, OutputError
from signerd.store import files

MAX_PATH = 107
"""Bytes that fit into a socket address (unix(7): 108 with the final zero)."""

BACKLOG = 256


def require_fitting(path: Path) -> None:
    """Raises ConfigError for a path that no socket can have."""
    if len(os.fsencode(path)) > MAX_PATH:
        raise ConfigError(
            f"{path} is too long for a socket: {len(os.fsencode(path))} bytes of {MAX_PATH}",
            hint="set `control.socket` to a shorter path",
        )


def listen_private(path: Path) -> socket.socket:
    """Listen at `path`, mode 0600; missing directories are made, mode 0700.

    Raises AlreadyRunning if somebody listens there, OutputError if no socket can be made.
    """
    require_fitting(path)
    files.make_private_directory(path.parent)
    _require_dead(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # Made under a name of its own, and renamed: between a removal and a bind there would be nobody.
    temporary = path.with_name(f".{secrets.token_hex(4)}")
    try:
        # On Linux, bind gives the file the mode of the descriptor: it is never wider, whatever the umask.
        os.fchmod(listener.fileno(), 0o600)
        with _short(temporary) as address:
            listener.bind(address)
        listener.listen(BACKLOG)
        temporary.rename(path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(
            f"cannot make the socket {path}: {files.reason(error)}",
            hint="set `control.socket` to a path in a directory that this user may write to",
        ) from error
    return listener


def remove(path: Path, identity: os.stat_result) -> None:
    """Remove the socket if it is still the one with this identity: another signerd's stays."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == (identity.st_dev, identity.st_ino):
            path.unlink()


class HiddenSocket:
    """A place to listen at that has no name once it is in use: only this process finds the way to it.

    `bind_address` is where to listen. `hide` takes its name away, and returns where this process connects.
    """

    def __init__(self, beside: Path) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix=".signerd-", dir=beside))  # mode 0700
        self._descriptors = [os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        # By way of the descriptor, the directory's own path may be as long as it likes.
        self.bind_address = f"/proc/self/fd/{self._descriptors[0]}/s"

    def hide(self) -> str:
        """To be called once somebody listens at `bind_address`."""
        self._descriptors.append(os.open(self._directory / "s", os.O_PATH | os.O_CLOEXEC))
        self._remove()
        return f"/proc/self/fd/{self._descriptors[1]}"

    def close(self) -> None:
        """Let go of it, and of its directory if it still has one."""
        self._remove()
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _remove(self) -> None:
        for gone in ((self._directory / "s").unlink, self._directory.rmdir):
            with contextlib.suppress(FileNotFoundError):
                gone()


def _require_dead(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot look at {path}: {files.reason(error)}") from error
    if not stat.S_ISSOCK(mode):
        raise OutputError(f"{path} is there and is no socket", hint="move it away, or set `control.socket`")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        failed = probe.connect_ex(os.fspath(path))
    if failed in {errno.ECONNREFUSED, errno.ENOENT}:
        return
    raise AlreadyRunning(
        f"somebody listens at {path}",
        hint="stop it first, or set `control.socket` of one of the two to another path",
    )


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """An address for a path whose name may be a little longer than the one that it gets in the end."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
