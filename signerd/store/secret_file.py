"""Read, create and replace the secret file: private, whole, and never lost.

1. A new secret is never written over anything.
2. What replaces a secret is first on disk beside it, read back, and shown to hold the same secret.
3. Whatever ends us, the old file or the new one is there, whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from signerd.core import secret_layout
from signerd.errors import AlreadyRunning, InputMissing, SecretError, StateError
from signerd.store import files, private_file
from signerd.units import Secret

_MISSING = "run `signerd init` to make, import or adopt one"

Check = Callable[[bytes], Secret]
"""Opens what was read back from the disk, as a reader of the file would."""


def read_content(path: Path, *, handed_over: bool = False) -> bytes:
    """The bytes of a secret file, in whatever layout.

    `handed_over` says that a service manager made the file for this process alone. Raises InputMissing or
    SecretError naming the file and what to type.
    """
    descriptor = private_file.open_private(path, "secret", handed_over=handed_over, missing=_MISSING)
    try:
        return _bounded(descriptor, path)
    finally:
        os.close(descriptor)


def read_secret(path: Path, *, handed_over: bool = False) -> Secret:
    """The 32-byte node secret in a file that needs no passphrase.

    Raises InputMissing or SecretError naming the file and what to type.
    """
    return secret_layout.read(read_content(path, handed_over=handed_over), source=str(path))


def is_sealed(path: Path, *, handed_over: bool = False) -> bool:
    """Whether a file has to be opened with a passphrase; False for one that cannot be read or used at all."""
    try:
        return secret_layout.is_sealed(read_content(path, handed_over=handed_over), source=str(path))
    except (SecretError, InputMissing):
        return False


def create_secret(path: Path, secret: Secret) -> None:
    """Write 32 raw bytes to a new file: 0600, fsynced, directory fsynced.

    Raises SecretError if something is there already (it stays as it is), OutputError if it cannot be
    written.
    """
    create(path, secret.expose(), holds=secret, check=Secret)


def create(path: Path, content: bytes, *, holds: Secret, check: Check) -> None:
    """Write `content` to a new file, once `check` has found the secret that it `holds` in what was written.

    Raises SecretError if something is there already (it stays as it is), OutputError, or what `check` does.
    """
    require_free(path)
    with files.AtomicFile(path, exclusive=True) as file:
        file.write(content)
        _require_same(check(file.read_back()), holds, path)
        file.commit()


def require_free(path: Path) -> None:
    """Refuse a place where something is already. Raises SecretError."""
    if os.path.lexists(path):
        raise SecretError(
            f"{path} exists already; signerd never overwrites a secret",
            hint="use it as it is, or name another place with --data-dir or --secret-file",
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A secret file that no other signerd replaces in the meantime."""

    path: Path
    content: bytes
    _status: os.stat_result

    @property
    def other_names(self) -> int:
        """How many more names (hard links) the same file has. They keep what is replaced under this one."""
        return self._status.st_nlink - 1

    def replace(self, content: bytes, *, holds: Secret, check: Check) -> None:
        """Put `content` in the place of the file, with its owner and mode, once `check` has found the same
        secret in what was written.

        Raises OutputError, or what `check` does; then the file is what it was.
        """
        mode, owner = stat.S_IMODE(self._status.st_mode), (self._status.st_uid, self._status.st_gid)
        with files.AtomicFile(self.path, mode=mode, owner=owner) as file:
            file.write(content)
            _require_same(check(file.read_back()), holds, self.path)
            self._require_unchanged()
            file.commit()

    def copy_to(self, path: Path) -> None:
        """Keep the file as it is under another name, which must be free. Raises OutputError."""
        mode, owner = stat.S_IMODE(self._status.st_mode), (self._status.st_uid, self._status.st_gid)
        with files.AtomicFile(path, mode=mode, owner=owner, exclusive=True) as file:
            file.write(self.content)
            file.commit()

    def _require_unchanged(self) -> None:
        try:
            unchanged = read_content(self.path) == self.content
        except (SecretError, InputMissing):
            unchanged = False
        if not unchanged:
            raise _replaced(self.path)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[Held]:
    """The secret file for the time of the block; another `seal` or `unseal` waits for no turn, but ends.

    Raises InputMissing, SecretError or AlreadyRunning.
    """
    descriptor = private_file.open_private(path, "secret", missing=_MISSING)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _replaced(path) from None
        except OSError:
            pass  # some network file systems lock nothing; what follows still notices a change
        # Whoever had the lock before us may have put another file in this one's place.
        status = os.fstat(descriptor)
        if not _is_at(status, path):
            raise _replaced(path)
        yield Held(path, _bounded(descriptor, path), status)
    finally:
        os.close(descriptor)


def _is_at(status: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(status, path.stat())
    except OSError:
        return False


def _replaced(path: Path) -> AlreadyRunning:
    return AlreadyRunning(
        f"somebody else is replacing {path}; this command changed nothing", hint="look at it and try again"
    )


def _require_same(found: Secret, expected: Secret, path: Path) -> None:
    if found != expected:
        raise StateError(
            f"what was written beside {path} does not hold the same secret; {path} was left as it is",
            hint="the disk or the memory of this machine cannot be trusted: test them before anything else",
        )


def _bounded(descriptor: int, path: Path) -> bytes:
    content = private_file.read_up_to(descriptor, secret_layout.MAX_SIZE + 1)
    if len(content) > secret_layout.MAX_SIZE:
        raise SecretError(
            f"{path} has more than {secret_layout.MAX_SIZE} bytes and is no secret that signerd knows",
            hint=secret_layout.KNOWN,
        )
    return content
