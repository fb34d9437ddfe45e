"""Decrypt an export from a file or a pipe to a file or a pipe, in constant memory.

Unverified plaintext is never within reach. It goes to a file that has no name yet, in one pass. To a file
that must have one (on file systems without O_TMPFILE), and to a pipe, only verified plaintext goes, in two
passes; what cannot be read twice is first copied, still encrypted, to an unnamed temporary file.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from signerd import errors
from signerd.core import export
from signerd.store import files
from signerd.units import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from signerd.core.export_payload import Payload
    from signerd.core.keys.node import NodeKeys
    from signerd.units import NodeId

    Progress = Callable[[str, int], None]

CHUNK = 1024 * 1024
STANDARD_INPUT = Path("/dev/stdin")


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What came out: `size` in bytes, and what it is."""

    size: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Source:
    """An encrypted export, open. `body_start` is an offset in `file`, `body_size` in bytes (None: a pipe)."""

    name: Path
    file: io.FileIO
    header: export.Header
    body_start: int
    body_size: int | None

    def chunks(self) -> Iterator[memoryview]:
        """Read the body; every chunk but the last has CHUNK bytes, and each is valid until the next."""
        if self.body_size is not None:
            self.file.seek(self.body_start)
        buffer = memoryview(bytearray(CHUNK))
        filled = CHUNK
        while filled == CHUNK:
            filled = _fill(self.file, buffer, self.name)
            if filled:
                yield buffer[:filled]


@contextlib.contextmanager
def open_source(path: Path | None) -> Iterator[Source]:
    """Open an export (None: standard input) and read its header. Raises InputMissing, BackupError."""
    name = path or STANDARD_INPUT
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(io.FileIO(path or 0, closefd=path is not None))
            status = os.fstat(file.fileno())
            regular = stat.S_ISREG(status.st_mode)
            start = file.tell() if regular else 0
        except OSError as error:
            raise files.input_missing(error, name) from error
        head = bytearray(export.HEADER_SIZE)
        filled = _fill(file, memoryview(head), name)
        header = export.parse_header(bytes(head[:filled]))
        body_start = start + export.HEADER_SIZE
        body_size = max(status.st_size - body_start, 0) if regular else None
        export.check_size(body_size or 0)
        yield Source(name, file, header, body_start, body_size)


def to_file(
    source: Source,
    path: Path,
    keys: NodeKeys,
    *,
    replace: bool = False,
    progress: Progress = lambda _step, _size: None,
    allow_unnamed: bool = True,
) -> Decrypted:
    """Decrypt into a new file, 0600, which appears when it is complete, verified and on disk.

    `progress` hears what is being done ("copying", "verifying", "decrypting") and by how many bytes more;
    `allow_unnamed=False` works as on a file system without O_TMPFILE.
    Raises BackupError, InputMissing and OutputError (AlreadyThere unless `replace`); then there is no file.
    """
    key = export.agree(source.header, keys)
    with files.AtomicFile(path, exclusive=not replace, allow_unnamed=allow_unnamed) as output:
        with _behind(output.write) as write:
            if output.unnamed:
                decrypted = _pump(source, export.Decryptor(source.header, key, keys.node_id), write, progress)
            else:
                decrypted = _verify_then_pump(source, key, keys.node_id, write, progress)
        output.commit()
    return decrypted


def same_as_file(
    source: Source, path: Path, keys: NodeKeys, *, progress: Progress = lambda _step, _size: None
) -> Decrypted | None:
    """What the export decrypts to, if the file at `path` holds exactly that; nothing is written.

    Raises BackupError, InputMissing.
    """
    same = True
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(io.FileIO(path))
        except OSError as error:
            raise files.input_missing(error, path) from error
        buffer = memoryview(bytearray(CHUNK))

        def compare(data: bytes) -> None:
            nonlocal same
            same = same and buffer[: _fill(file, buffer[: len(data)], path)] == data

        cipher = export.Decryptor(source.header, export.agree(source.header, keys), keys.node_id)
        decrypted = _pump(source, cipher, compare, lambda _step, size: progress("comparing", size))
        longer = _fill(file, buffer[:1], path) > 0
    return decrypted if same and not longer else None


def to_pipe(
    source: Source, descriptor: int, keys: NodeKeys, *, progress: Progress = lambda _step, _size: None
) -> Decrypted:
    """Decrypt to an open descriptor. Not a byte is written before the tag of the whole export is verified.

    Raises BackupError, InputMissing, OutputError; BrokenPipeError when the reader goes away.
    """

    def write(data: bytes) -> None:
        try:
            files.write_all(descriptor, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise errors.OutputError(
                f"cannot write the plaintext: {files.reason(error)}; what came out so far is incomplete",
                hint="throw it away, and write to a file with -o FILE",
                created=True,
            ) from error

    key = export.agree(source.header, keys)
    return _verify_then_pump(source, key, keys.node_id, write, progress)


def _verify_then_pump(
    source: Source, key: Secret, node_id: NodeId, write: Callable[[bytes], None], progress: Progress
) -> Decrypted:
    with _rereadable(source, progress) as again:
        verifier = export.Verifier(again.header, key, node_id, seed=Secret(os.urandom(32)))
        for chunk in again.chunks():
            verifier.update(chunk)
            progress("verifying", len(chunk))
        return _pump(again, verifier.finish(), write, progress)


def _pump(
    source: Source,
    cipher: export.Decryptor | export.VerifiedBody,
    write: Callable[[bytes], None],
    progress: Progress,
) -> Decrypted:
    size = 0
    for chunk in source.chunks():
        write(cipher.update(chunk))
        size += len(chunk)
        progress("decrypting", len(chunk))
    return Decrypted(size, cipher.finish())


@contextlib.contextmanager
def _behind(write: Callable[[bytes], None]) -> Iterator[Callable[[bytes], None]]:
    """Yield a `write` that works in a thread, one chunk behind; it raises in the next call, or at the end.

    Writing and decrypting both let go of the interpreter. Not for pipes: a thread that waits for a reader
    would not hear Ctrl-C.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        last = thread.submit(write, b"")

        def submit(data: bytes) -> None:
            nonlocal last
            last.result()
            last = thread.submit(write, data)

        yield submit
        last.result()


@contextlib.contextmanager
def _rereadable(source: Source, progress: Progress) -> Iterator[Source]:
    """Yield the source itself if it can be read twice, else a copy, which has no name."""
    if source.body_size is not None:
        yield source
        return
    directory = "a directory for temporary files"
    with contextlib.ExitStack() as stack:
        size = 0
        try:
            directory = tempfile.gettempdir()
            spool = stack.enter_context(tempfile.TemporaryFile(dir=directory, buffering=0))
            for chunk in source.chunks():
                files.write_all(spool.fileno(), chunk)
                size += len(chunk)
                progress("copying", len(chunk))
        except OSError as error:
            raise errors.OutputError(
                f"cannot keep a temporary copy of the backup in {directory}: {files.reason(error)}",
                hint="set TMPDIR to a directory with more room, or save the backup to a file first",
                created=size > 0,
            ) from error
        yield Source(source.name, spool, source.header, 0, size)


def _fill(file: io.FileIO, buffer: memoryview, name: Path) -> int:
    """Read until the buffer is full or the file ends; return how many bytes there were."""
    filled = 0
    try:
        while filled < len(buffer) and (count := file.readinto(buffer[filled:])):
            filled += count
    except OSError as error:
        raise files.input_missing(error, name) from error
    return filled
