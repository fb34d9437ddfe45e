"""Exports from files and pipes to files and pipes, with no unverified plaintext within reach."""

from __future__ import annotations

import os
import stat
import threading
import tracemalloc
from pathlib import Path

import pytest
from helpers import exports

from signerd import errors
from signerd.core.keys.node import NodeKeys
from signerd.store import export_file
from signerd.units import Secret

CHUNK = export_file.CHUNK
both_ways = pytest.mark.parametrize("allow_unnamed", [True, False], ids=["unnamed", "temporary"])
OTHER_KEYS = NodeKeys.derive(Secret(exports.OTHER_SECRET))


@pytest.fixture
def backup(tmp_path):
    directory = tmp_path / "in"
    directory.mkdir()
    return directory / "backup.enc"


@pytest.fixture
def out(tmp_path):
    directory = tmp_path / "out"
    directory.mkdir()
    return directory / "dump"


def plaintext_of(size):
    return (exports.DUMP * (size // len(exports.DUMP) + 1))[:size]


def decrypt(path, out, keys=exports.KEYS, **options):
    with export_file.open_source(path) as source:
        return export_file.to_file(source, out, keys, **options)


class Pipe:
    """Feeds bytes to a reader as a pipe does: in small steps, without a size, and not a second time."""

    def __init__(self, content):
        self.reader, writer = os.pipe()
        self._thread = threading.Thread(target=self._feed, args=(writer, content))

    def _feed(self, writer, content):
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)

    def __enter__(self):
        self._thread.start()
        return f"/proc/self/fd/{self.reader}"

    def __exit__(self, *_):
        os.close(self.reader)
        self._thread.join()


def to_pipe(source, keys=exports.KEYS, **options):
    """What came out, whether or not it ended well, and the error if it did not."""
    reader, writer = os.pipe()
    received = []
    with os.fdopen(reader, "rb") as stream:
        thread = threading.Thread(target=lambda: received.append(stream.read()))
        thread.start()
        error = None
        try:
            export_file.to_pipe(source, writer, keys, **options)
        except errors.SignerdError as caught:
            error = caught
        finally:
            os.close(writer)
            thread.join()
    return received[0], error


@both_ways
@pytest.mark.parametrize("size", [0, 1, 61, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_decrypts_a_file_of_any_size(backup, out, size, allow_unnamed):
    plaintext = plaintext_of(size)
    backup.write_bytes(exports.encrypt(plaintext))
    steps = {}

    def progress(step, count):
        steps[step] = steps.get(step, 0) + count

    decrypted = decrypt(backup, out, progress=progress, allow_unnamed=allow_unnamed)
    assert decrypted.size == size
    assert out.read_bytes() == plaintext
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in out.parent.iterdir()] == ["dump"]
    assert set(steps.values()) <= {size}


@both_ways
def test_decrypts_what_comes_through_a_pipe(out, allow_unnamed):
    plaintext = plaintext_of(CHUNK + 70_000)
    with Pipe(exports.encrypt(plaintext)) as path:
        decrypted = decrypt(path, out, allow_unnamed=allow_unnamed)
    assert out.read_bytes() == plaintext
    assert decrypted.payload.kind == "postgresql-archive"


@pytest.mark.parametrize("piped", [True, False])
def test_decrypts_to_a_pipe(backup, piped):
    plaintext = plaintext_of(2 * CHUNK + 5)
    file = exports.encrypt(plaintext)
    backup.write_bytes(file)
    with Pipe(file if piped else b"") as path, export_file.open_source(path if piped else backup) as source:
        assert to_pipe(source) == (plaintext, None)


@both_ways
@pytest.mark.parametrize("fault", ["cut", "flipped", "wrong secret"])
def test_a_backup_that_does_not_open_leaves_nothing(backup, out, fault, allow_unnamed):
    file = bytearray(exports.encrypt(plaintext_of(CHUNK + 100)))
    if fault == "cut":
        del file[-1]
    if fault == "flipped":
        file[-1] ^= 1
    backup.write_bytes(file)
    out.write_bytes(b"an older one")
    keys = OTHER_KEYS if fault == "wrong secret" else exports.KEYS
    with pytest.raises(errors.BackupError):
        decrypt(backup, out, keys, replace=True, allow_unnamed=allow_unnamed)
    assert out.read_bytes() == b"an older one"
    assert [path.name for path in out.parent.iterdir()] == ["dump"]
    with export_file.open_source(backup) as source:
        received, error = to_pipe(source, keys)
    assert received == b""
    assert isinstance(error, errors.BackupError)


def test_plaintext_has_no_name_before_it_is_verified(backup, out):
    backup.write_bytes(exports.encrypt(plaintext_of(3 * CHUNK)))
    seen = []
    decrypt(backup, out, progress=lambda _step, _count: seen.extend(out.parent.iterdir()))
    assert seen == []
    assert out.exists()


def test_a_file_that_has_a_name_holds_nothing_before_it_is_verified(backup, out):
    backup.write_bytes(exports.encrypt(plaintext_of(3 * CHUNK)))
    sizes = []

    def progress(step, _count):
        if step == "verifying":
            sizes.extend(path.stat().st_size for path in out.parent.iterdir())

    decrypt(backup, out, progress=progress, allow_unnamed=False)
    assert sizes == [0, 0, 0]


@pytest.mark.parametrize("change", ["flipped", "cut", "longer"])
def test_a_backup_that_changes_between_the_passes_is_noticed(backup, out, change):
    plaintext = plaintext_of(3 * CHUNK)
    file = bytearray(exports.encrypt(plaintext))
    backup.write_bytes(file)
    if change == "flipped":
        file[62 + CHUNK + 9] ^= 1
    if change == "cut":
        del file[62 + CHUNK :]
    if change == "longer":
        file += b"!"

    def progress(step, _count):
        if step == "decrypting":
            with backup.open("r+b") as changed:
                changed.write(file)
                changed.truncate()

    with export_file.open_source(backup) as source:
        received, error = to_pipe(source, progress=progress)
    assert isinstance(error, errors.BackupError)
    assert "changed while it was read" in error.message
    assert received == plaintext[: 3 * CHUNK if change == "longer" else CHUNK]
    assert not out.exists()


@both_ways
def test_ctrl_c_half_way_leaves_nothing(backup, out, allow_unnamed):
    backup.write_bytes(exports.encrypt(plaintext_of(3 * CHUNK)))
    decrypted = 0

    def progress(step, count):
        nonlocal decrypted
        decrypted += count if step == "decrypting" else 0
        if decrypted == 2 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decrypt(backup, out, progress=progress, allow_unnamed=allow_unnamed)
    assert list(out.parent.iterdir()) == []


@both_ways
def test_memory_does_not_grow_with_the_size(backup, out, allow_unnamed):
    backup.write_bytes(exports.encrypt(bytes(24 * CHUNK)))
    tracemalloc.start()
    try:
        decrypt(backup, out, allow_unnamed=allow_unnamed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * CHUNK


def test_never_replaces_a_file_unless_told(backup, out):
    backup.write_bytes(exports.encrypt(exports.DUMP))
    out.write_bytes(b"mine")
    with pytest.raises(errors.OutputError, match="already exists"):
        decrypt(backup, out)
    assert out.read_bytes() == b"mine"
    decrypt(backup, out, replace=True)
    assert out.read_bytes() == exports.DUMP


@pytest.mark.parametrize(("name", "reason"), [("missing", "no such file"), ("", "is a directory")])
def test_names_an_input_that_cannot_be_read(backup, name, reason):
    path = backup.parent / name
    message = f"cannot read {path}: {reason}"
    with pytest.raises(errors.InputMissing, match=message), export_file.open_source(path):
        pytest.fail("it was opened")


def test_refuses_a_file_that_is_too_long_without_reading_it(backup):
    backup.write_bytes(exports.encrypt(b""))
    os.truncate(backup, 257 * 1024**3)
    with pytest.raises(errors.BackupError, match="larger than 256 GiB"), export_file.open_source(backup):
        pytest.fail("it was opened")


def test_a_pipe_that_cannot_be_written_is_an_output_error(backup):
    backup.write_bytes(exports.encrypt(exports.DUMP))
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        export_file.open_source(backup) as source,
        pytest.raises(errors.OutputError, match="no space left on device") as caught,
    ):
        export_file.to_pipe(source, full.fileno(), exports.KEYS)
    assert caught.value.exit_code == errors.ExitCode.IO


def test_starts_where_an_inherited_file_stands(backup, out):
    backup.write_bytes(b"a line before\n" + exports.encrypt(exports.DUMP))
    descriptor = os.open(backup, os.O_RDONLY)
    saved = os.dup(0)
    try:
        os.lseek(descriptor, len(b"a line before\n"), os.SEEK_SET)
        os.dup2(descriptor, 0)
        decrypt(None, out, allow_unnamed=False)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(descriptor)
    assert out.read_bytes() == exports.DUMP


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_knows_a_file_that_holds_just_what_it_decrypts_to(backup, out, size):
    content = plaintext_of(size)
    backup.write_bytes(exports.encrypt(content))
    for there in (content, content + b"x", content[:-1] + b"?" if content else b"?", content[: size // 2]):
        out.write_bytes(there)
        with export_file.open_source(backup) as source:
            found = export_file.same_as_file(source, out, exports.KEYS)
        assert (found is not None) == (there == content)
        assert out.read_bytes() == there


def test_a_file_is_not_taken_for_what_a_damaged_backup_decrypts_to(backup, out):
    content = plaintext_of(1000)
    out.write_bytes(content)
    whole = exports.encrypt(content)
    backup.write_bytes(whole[:46] + bytes(16) + whole[62:])
    with export_file.open_source(backup) as source, pytest.raises(errors.BackupError):
        export_file.same_as_file(source, out, exports.KEYS)
