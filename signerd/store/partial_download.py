"""A download that grows on disk, survives every interruption, and gets its name when it is whole.

    FILE.part   what is there so far
    FILE.json   what that is of: node, address, validator, size, and how much is certainly on disk
    FILE        all of it

FILE.json is on disk before FILE.part is made, so a FILE.part without one is not ours. After a power cut a
file may have its length and not its contents: only what was synced counts. What is not ours is not touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from signerd import errors
from signerd.core.http_range import Kept, is_validator
from signerd.store import files, ownership
from signerd.units import NodeId

SYNC_EVERY = 32 * 1024 * 1024
"""Bytes: what a power cut may cost."""

_ROOM_FOR_NOTE = 64 * 1024
_LONGEST_NOTE = 16 * 1024
_HINT = "make room or mend the disk, then run the same command again: it goes on from there"


class PartialDownload:
    """`with PartialDownload(path, node_id) as download`: one at a time, also across processes.

    Every method raises OutputError; entering also AlreadyThere for a file of somebody else's, and
    AlreadyRunning.
    """

    def __init__(self, path: Path, node_id: NodeId) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".json")
        self._node_id = node_id
        self._fd = -1
        self._kept = Kept()
        self._ours = False
        self._unsynced = 0

    def __enter__(self) -> Self:
        note = self._read_note()
        self._ours = note is not None
        if self.path.exists():
            self._forget_part()
            return self
        if note is None and os.path.lexists(self.part):
            raise _foreign(self.part)
        if note is None:
            self._write_note()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        ownership.make(self.part)
        try:
            self._fd = os.open(self.part, flags, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(self._fd).st_size
        except BlockingIOError as error:
            self._close()
            raise errors.AlreadyRunning(
                f"another signerd is downloading {self.part}", hint="let it finish, or stop it first"
            ) from error
        except OSError as error:
            self._close()
            raise _failed(error, self.part) from error
        self._kept = Kept(
            self._kept.resource, self._kept.validator, self._kept.total, min(self._kept.size, size)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On the way out everything counts that arrived; if that cannot be had, the error at hand says why.
        if self._fd != -1 and self._unsynced:
            with contextlib.suppress(errors.OutputError):
                try:
                    self._sync()
                except errors.OutputError:
                    # A full disk has no room for the note either: the last bytes make some.
                    self._give_back()
                    self._sync()
        self._close()

    @property
    def kept(self) -> Kept:
        """What is on disk."""
        return self._kept

    @property
    def finished(self) -> bool:
        """Whether the file has its name; nothing is known then of how it came to be."""
        return self._fd == -1

    @property
    def ours(self) -> bool:
        """Whether we downloaded it."""
        return self._ours

    @property
    def complete(self) -> bool:
        """Whether all of it has arrived."""
        return self._kept.total is not None and self._kept.size == self._kept.total

    def free(self) -> int:
        """Bytes that there is room for beside it; a guess, as it is with disks."""
        try:
            found = os.fstatvfs(self._fd)
        except OSError as error:
            raise _failed(error, self.part) from error
        return found.f_bavail * found.f_frsize

    def begin(self, resource: str, validator: str | None, *, total: int, keep: int) -> None:
        """What comes next follows byte `keep` of this content; what is on disk behind it is dropped."""
        new = Kept(resource, validator, total, keep)
        if new == self._kept:
            return
        try:
            # First the contents, then what they are of: never old bytes under a new validator.
            os.ftruncate(self._fd, keep)
            os.fsync(self._fd)
        except OSError as error:
            raise _failed(error, self.part) from error
        self._kept, self._unsynced = new, 0
        self._write_note()

    def append(self, data: memoryview) -> None:
        """Add the next bytes."""
        try:
            rest = data
            while rest:
                written = os.pwrite(self._fd, rest, self._kept.size)
                self._advance(written)
                rest = rest[written:]
        except OSError as error:
            raise _failed(error, self.part) from error
        if self._unsynced >= SYNC_EVERY:
            self._sync()

    def finish(self) -> None:
        """Put all of it on disk and give it its name."""
        self._sync()
        try:
            os.ftruncate(self._fd, self._kept.size)
        except OSError as error:
            raise _failed(error, self.part) from error
        files.rename_exclusively(self.part, self.path)
        self._close()

    def set_aside(self) -> Path:
        """Move what we downloaded out of the way, because it is not what it should be; its new name."""
        for name in itertools.chain(("",), itertools.count(2)):
            aside = self.path.with_name(f"{self.path.name}.damaged{name}")
            with contextlib.suppress(files.AlreadyThere):
                files.rename_exclusively(self.path, aside)
                break
        self.forget()
        return aside

    def forget(self) -> None:
        """Remove the notes about a finished download: the file speaks for itself."""
        with contextlib.suppress(OSError):
            self.note.unlink()

    def _advance(self, count: int) -> None:
        kept = self._kept
        self._kept = Kept(kept.resource, kept.validator, kept.total, kept.size + count)
        self._unsynced += count

    def _give_back(self) -> None:
        kept = self._kept
        size = max(0, kept.size - _ROOM_FOR_NOTE)
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, size)
            self._kept = Kept(kept.resource, kept.validator, kept.total, size)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _failed(error, self.part) from error
        self._unsynced = 0
        self._write_note()

    def _forget_part(self) -> None:
        """After a crash between the two steps of `finish` the file has both names."""
        with contextlib.suppress(OSError):
            if self.path.samefile(self.part):
                self.part.unlink()

    def _close(self) -> None:
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1

    def _write_note(self) -> None:
        kept = self._kept
        document = {
            "v": 1,
            "what": "signerd export: an unfinished download",
            "node_id": self._node_id.hex(),
            "resource": kept.resource,
            "validator": kept.validator,
            "total": kept.total,
            "safe": kept.size,
        }
        content = json.dumps(document, indent=1).encode("ascii") + b"\n"
        try:
            files.write_atomically(self.note, content, exclusive=not self._ours)
        except files.AlreadyThere:
            raise
        except errors.OutputError as error:
            raise errors.OutputError(error.message, hint=_HINT, created=True) from error
        self._ours = True

    def _read_note(self) -> dict[str, Any] | None:
        if not os.path.lexists(self.note):
            return None
        try:
            document: Any = json.loads(files.read_bounded(self.note, _LONGEST_NOTE))
            resource, validator = document["resource"], document["validator"]
            total, safe = document["total"], document["safe"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise _foreign(self.note) from None
        right = (
            document.get("v") == 1
            and document.get("node_id") == self._node_id.hex()
            and isinstance(resource, str)
            and (validator is None or (isinstance(validator, str) and is_validator(validator)))
            and (total is None or _is_size(total))
            and _is_size(safe)
            and (total is None or safe <= total)
        )
        if not right:
            raise _foreign(self.note)
        self._kept = Kept(resource, validator, total, safe)
        return dict(document)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _foreign(path: Path) -> files.AlreadyThere:
    return files.AlreadyThere(
        f"{path} is there already, and is not from this download",
        hint="move it away, or choose another place with -o",
    )


def _failed(error: OSError, path: Path) -> errors.OutputError:
    return errors.OutputError(
        f"cannot write {path}: {files.reason(error)}; what was downloaded so far is kept",
        hint=_HINT,
        created=True,
    )
