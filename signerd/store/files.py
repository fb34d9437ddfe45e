"""Files appear whole or not at all; everything signerd keeps on disk is written and read through here.

1. What is being written has no name before it is complete and on disk: it is an unnamed file (O_TMPFILE)
   where the file system can, and a 0600 file `.signerd-<random>.tmp` beside the target where it cannot.
2. Whatever goes wrong, the target is what it was before, and nothing of ours is left beside it. Only a power
   cut or SIGKILL may leave a `.signerd-*.tmp`. We remove none by guess: another signerd may be writing it.
3. A symbolic link is followed: the file that it points to is replaced, and the link stays. Only an exclusive
   write counts a link as "already there", dangling or not.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Self

from signerd import errors
from signerd.store import ownership

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Data = bytes | bytearray | memoryview

LOCK_NAME = "signerd.lock"
_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS}
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
_HINTS = {
    errno.ENOENT: "create the directory first, or choose another",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.EACCES: "choose a directory that this user may write to",
    errno.EPERM: "choose a directory that this user may write to",
    errno.EROFS: "the file system is read-only; choose another directory",
    errno.ENOSPC: "free some space on that file system, or choose another directory",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another directory",
    errno.EFBIG: "the file size limit is too low here; see `ulimit -f`, or choose another directory",
    errno.EIO: "the disk reports an error; look at the system log before trying again",
    errno.ELOOP: "the symbolic links lead in a circle; choose another path",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: Path, data: Data, *, mode: int = 0o600, exclusive: bool = False) -> None:
    """Write `data` to `path`: a reader sees what was there before or all of it, even after a crash.

    `exclusive` refuses to replace anything, also in a race. Raises OutputError, AlreadyThere.
    """
    with AtomicFile(path, mode=mode, exclusive=exclusive) as file:
        file.write(data)
        file.commit()


def rename_exclusively(old: Path, new: Path) -> None:
    """Give a file that is on disk another name in its directory, and never one that is taken.

    A crash in between may leave both names. Raises OutputError, AlreadyThere.
    """
    try:
        try:
            os.link(old, new)
            old.unlink()
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # FAT and some network file systems, as in `AtomicFile`.
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            old.rename(new)
        directory = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync(directory)
        finally:
            os.close(directory)
    except FileExistsError as error:
        raise _already_exists(new) from error
    except OSError as error:
        raise _output_error(error, new) from error


class AlreadyThere(errors.OutputError, FileExistsError):
    """An exclusive write found its name taken."""


class AtomicFile:
    """A new file that streams in and appears under its name at `commit`; left without it, it never was.

    `owner` is a user and a group, where `ownership` is not to say it. `allow_unnamed=False` behaves as on a
    file system without O_TMPFILE. Every method raises OutputError; one that finds an `exclusive` name taken
    raises AlreadyThere, which is also a FileExistsError.
    """

    def __init__(
        self,
        path: Path,
        *,
        mode: int = 0o600,
        owner: tuple[int, int] | None = None,
        exclusive: bool = False,
        allow_unnamed: bool = True,
    ) -> None:
        self._path = path
        self._mode = mode
        self._owner = owner
        self._exclusive = exclusive
        self._allow_unnamed = allow_unnamed
        self._name = ""
        self._temporary: str | None = None
        self._directory = -1
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException as error:
            self._discard()
            if isinstance(error, OSError) and not isinstance(error, errors.SignerdError):
                raise _output_error(error, self._path) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    @property
    def unnamed(self) -> bool:
        """True when what was written so far is reachable under no name at all."""
        return self._temporary is None

    def write(self, data: Data) -> None:
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise _output_error(error, self._path, created=True) from error

    def read_back(self) -> bytes:
        """What was written, put on disk and, where the system can, read from there and not from memory."""
        try:
            os.fsync(self._fd)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(self._fd).st_size
            return os.pread(self._fd, size, 0)
        except OSError as error:
            raise _output_error(error, self._path, created=True) from error

    def commit(self) -> None:
        """Put it on disk, give it its name, put the name on disk. Nothing can be written afterwards."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _output_error(error, self._path, created=True) from error
        try:
            self._publish()
        except FileExistsError as error:
            raise _already_exists(self._path) from error
        except OSError as error:
            raise _output_error(error, self._path) from error
        try:
            _sync(self._directory)
        except OSError as error:
            message = f"{self._path} was written, but the disk did not confirm it: {reason(error)}"
            raise errors.OutputError(message, hint=_HINTS[errno.EIO], created=True) from error
        self._discard()

    def _open(self) -> None:
        target = self._path if self._exclusive else Path(os.path.realpath(self._path))
        self._name = target.name
        self._directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._check_target()
        if self._allow_unnamed:
            self._fd = _open_unnamed(self._directory)
        if self._fd == -1:
            self._temporary = _temporary_name()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._temporary, flags, 0o600, dir_fd=self._directory)
        if self._owner is None:
            ownership.hand_over(self._fd, None if self._exclusive else self._name, directory=self._directory)
        elif self._owner != (os.geteuid(), os.getegid()):
            os.fchown(self._fd, *self._owner)
        if self._mode != 0o600:
            os.fchmod(self._fd, self._mode)

    def _check_target(self) -> None:
        """Refuse early what `commit` would refuse at the end of a long write; and never replace a device."""
        try:
            found = os.stat(self._name or ".", dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise errors.OutputError(f"{self._path} is a directory", hint="name a file in it")
        if self._exclusive:
            raise _already_exists(self._path)
        if not stat.S_ISREG(found.st_mode):
            raise errors.OutputError(f"{self._path} is not a regular file", hint="choose another path")

    def _publish(self) -> None:
        if self._exclusive:
            self._publish_exclusively()
            return
        if self._temporary is None:
            # A link cannot replace a file, a rename can.
            self._temporary = _temporary_name()
            _link_open_file(self._fd, self._temporary, self._directory)
        self._rename()

    def _publish_exclusively(self) -> None:
        if self._temporary is None:
            _link_open_file(self._fd, self._name, self._directory)
            return
        try:
            os.link(self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # FAT and some network file systems: claim the name first, then replace our own empty file.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(self._name, flags, 0o600, dir_fd=self._directory))
            try:
                self._rename()
            except BaseException:
                os.unlink(self._name, dir_fd=self._directory)
                raise

    def _rename(self) -> None:
        assert self._temporary is not None
        os.rename(self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._temporary = None

    def _discard(self) -> None:
        if self._temporary is not None:
            with contextlib.suppress(OSError):  # the error that brought us here is the one to tell
                os.unlink(self._temporary, dir_fd=self._directory)
            self._temporary = None
        for fd in (self._fd, self._directory):
            if fd != -1:
                os.close(fd)
        self._fd = self._directory = -1


def read_bounded(
    path: Path, limit: int, *, too_long: type[errors.SignerdError] = errors.InputMissing
) -> bytes:
    """Read a small file whole: at most `limit` bytes.

    Raises InputMissing when it is missing, a directory or unreadable, and `too_long` when it is longer.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise input_missing(error, path) from error
    if len(data) > limit:
        raise too_long(f"{path} is longer than {limit} bytes", hint="is this the right file?")
    return data


def make_private_directory(path: Path) -> None:
    """Make `path` and its missing parents, mode 0700, and put them on disk; one that is there stays as it is.

    Raises OutputError.
    """
    try:
        if path.is_dir():
            return
        parent = path.absolute().parent
        make_private_directory(parent)
        with contextlib.suppress(FileExistsError):
            ownership.make_directory(path)
        if not path.is_dir():
            raise errors.OutputError(f"{path} is a file", hint="signerd needs a directory there")
        fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise _output_error(error, path) from error


@contextlib.contextmanager
def lock_directory(
    directory: Path, name: str = LOCK_NAME, *, doing: str = "running signerd"
) -> Iterator[None]:
    """Own `directory` for the time of the block: one signerd at a time. The kernel lets go when we die.

    Whoever is `doing` something else takes another `name` for it.

    Raises AlreadyRunning, naming the other process when known; OutputError when no lock can be made.
    """
    path = directory / name
    ownership.make(path)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _output_error(error, path) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _already_running(directory, os.pread(fd, 32, 0), doing) from error
        except OSError as error:
            raise _output_error(error, path) from error
        # The number only helps whoever is refused; a full disk must not keep us from running.
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        try:
            yield
        finally:
            # The file stays: removing it would let two processes lock two different files of one name.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def write_all(descriptor: int, data: Data) -> None:
    """Write all of it, however small the steps. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def input_missing(error: OSError, path: Path) -> errors.InputMissing:
    """Say why `path` cannot be read, and what to do."""
    hints = {
        errno.ENOENT: "check the path",
        errno.EISDIR: "name a file",
        errno.EACCES: "run as the user who owns it, or change its permissions",
    }
    hint = hints.get(error.errno or 0, "check the path and the disk")
    return errors.InputMissing(f"cannot read {path}: {reason(error)}", hint=hint)


def reason(error: OSError) -> str:
    """Give the system's words, in the form that our messages have."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _open_unnamed(directory: int) -> int:
    """Return the descriptor of a file that has no name yet, or -1 where that cannot be had or named later."""
    if not hasattr(os, "O_TMPFILE"):  # not Linux
        return -1
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno in _NO_UNNAMED_FILES:
            return -1
        raise
    if os.path.exists(f"/proc/self/fd/{fd}"):  # noqa: PTH110 - a link to a file without a name
        return fd
    os.close(fd)
    return -1


def _link_open_file(fd: int, name: str, directory: int) -> None:
    # Python follows the /proc link only in the call with a directory descriptor.
    os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory, follow_symlinks=True)


def _temporary_name() -> str:
    return f".signerd-{secrets.token_hex(8)}.tmp"


def _sync(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def _already_exists(path: Path) -> AlreadyThere:
    return AlreadyThere(f"{path} already exists", hint="choose another name, or move that file away first")


def _already_running(directory: Path, content: bytes, doing: str) -> errors.AlreadyRunning:
    pid = content.strip()
    owner = f"process {int(pid)}" if pid.isdigit() else "another process"
    return errors.AlreadyRunning(
        f"{owner} is {doing} on {directory}",
        hint="stop it first, or give this one its own --data-dir",
    )


def _output_error(error: OSError, path: Path, *, created: bool = False) -> errors.OutputError:
    created = created or error.errno in _DISK_TROUBLE
    verb = "write" if created else "create"
    message = f"cannot {verb} {path}: {reason(error)}; nothing was changed"
    return errors.OutputError(message, hint=_HINTS.get(error.errno or 0), created=created)
