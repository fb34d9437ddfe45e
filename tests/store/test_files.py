"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signerd import errors
from signerd.store import files

UNWRITABLE = Path("/proc/self")  # refuses new files to everybody, root included

both_ways = pytest.mark.parametrize("allow_unnamed", [True, False], ids=["unnamed", "temporary"])


def listing(directory):
    return sorted(path.name for path in directory.iterdir())


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def run_python(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_writes_a_private_file_and_leaves_nothing_beside_it(tmp_path):
    files.write_atomically(tmp_path / "seed", b"one")
    assert (tmp_path / "seed").read_bytes() == b"one"
    assert mode_of(tmp_path / "seed") == 0o600
    assert listing(tmp_path) == ["seed"]


@both_ways
def test_replaces_a_file_whole(tmp_path, allow_unnamed):
    target = tmp_path / "credentials.gfs"
    target.write_bytes(b"old and longer")
    with target.open("rb") as reader:
        with files.AtomicFile(target, allow_unnamed=allow_unnamed) as file:
            file.write(b"ne")
            file.write(memoryview(b"w"))
            assert target.read_bytes() == b"old and longer"
            file.commit()
        assert reader.read() == b"old and longer"
    assert target.read_bytes() == b"new"
    assert listing(tmp_path) == ["credentials.gfs"]


@both_ways
def test_gives_the_file_the_mode_that_was_asked_for_whatever_the_umask(tmp_path, allow_unnamed):
    umask = os.umask(0o077)
    try:
        with files.AtomicFile(tmp_path / "public", mode=0o644, allow_unnamed=allow_unnamed) as file:
            file.commit()
        assert mode_of(tmp_path / "public") == 0o644
        os.umask(0)
        with files.AtomicFile(tmp_path / "private", allow_unnamed=allow_unnamed) as file:
            file.commit()
        assert mode_of(tmp_path / "private") == 0o600
    finally:
        os.umask(umask)


@both_ways
def test_leaves_no_trace_without_a_commit(tmp_path, allow_unnamed):
    target = tmp_path / "export"
    target.write_bytes(b"old")
    file = files.AtomicFile(target, allow_unnamed=allow_unnamed)
    with pytest.raises(KeyboardInterrupt), file:  # noqa: PT012 - half way is the point
        file.write(b"half of the n")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["export"]


def test_has_no_name_before_the_commit_where_the_file_system_can(tmp_path):
    with files.AtomicFile(tmp_path / "export") as file:
        file.write(b"unverified")
        assert file.unnamed
        assert listing(tmp_path) == []


def test_says_when_the_file_system_gives_it_a_name_early(tmp_path):
    with files.AtomicFile(tmp_path / "export", allow_unnamed=False) as file:
        file.write(b"x")
        assert not file.unnamed
        (name,) = listing(tmp_path)
        assert name.startswith(".signerd-")
        assert mode_of(tmp_path / name) == 0o600
    assert listing(tmp_path) == []


@both_ways
def test_an_exclusive_write_refuses_an_existing_file_before_any_work(tmp_path, allow_unnamed):
    (tmp_path / "hsm_secret").write_bytes(b"keep me")
    file = files.AtomicFile(tmp_path / "hsm_secret", exclusive=True, allow_unnamed=allow_unnamed)
    with pytest.raises(errors.OutputError, match="already exists") as caught, file:
        pytest.fail("it was opened")
    assert caught.value.exit_code == errors.ExitCode.CANNOT_CREATE
    assert (tmp_path / "hsm_secret").read_bytes() == b"keep me"


@both_ways
def test_an_exclusive_write_loses_a_race_without_harm(tmp_path, allow_unnamed):
    target = tmp_path / "hsm_secret"
    with files.AtomicFile(target, exclusive=True, allow_unnamed=allow_unnamed) as file:
        file.write(b"late")
        target.write_bytes(b"first")
        with pytest.raises(errors.OutputError, match="already exists"):
            file.commit()
    assert target.read_bytes() == b"first"
    assert listing(tmp_path) == ["hsm_secret"]


@both_ways
def test_an_exclusive_write_creates_what_is_not_there(tmp_path, allow_unnamed):
    with files.AtomicFile(tmp_path / "hsm_secret", exclusive=True, allow_unnamed=allow_unnamed) as file:
        file.write(b"new")
        file.commit()
    assert (tmp_path / "hsm_secret").read_bytes() == b"new"
    assert (tmp_path / "hsm_secret").stat().st_nlink == 1
    assert listing(tmp_path) == ["hsm_secret"]


@pytest.fixture
def no_hard_links(monkeypatch):
    """The system's answer on FAT and exFAT, which no test may mount."""

    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_hard_links")
def test_an_exclusive_write_needs_no_hard_links(tmp_path):
    with files.AtomicFile(tmp_path / "dump", exclusive=True, allow_unnamed=False) as file:
        file.write(b"new")
        file.commit()
    assert (tmp_path / "dump").read_bytes() == b"new"
    assert listing(tmp_path) == ["dump"]


@pytest.mark.usefixtures("no_hard_links")
def test_an_exclusive_write_without_hard_links_loses_a_race_without_harm(tmp_path):
    with files.AtomicFile(tmp_path / "dump", exclusive=True, allow_unnamed=False) as file:
        (tmp_path / "dump").write_bytes(b"first")
        with pytest.raises(files.AlreadyThere, match="already exists"):
            file.commit()
    assert (tmp_path / "dump").read_bytes() == b"first"
    assert listing(tmp_path) == ["dump"]


def test_a_taken_name_can_be_caught_as_the_system_calls_it(tmp_path):
    (tmp_path / "seed").write_bytes(b"")
    with pytest.raises(FileExistsError):
        files.write_atomically(tmp_path / "seed", b"", exclusive=True)


def test_keeps_a_symbolic_link_and_replaces_what_it_points_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real/file")
    files.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == b"new"
    assert listing(tmp_path / "real") == ["file"]


def test_an_exclusive_write_does_not_follow_a_dangling_link(tmp_path):
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(errors.OutputError, match="already exists"):
        files.write_atomically(tmp_path / "link", b"new", exclusive=True)
    assert listing(tmp_path) == ["link"]


@pytest.mark.parametrize("exclusive", [True, False])
def test_refuses_a_directory_and_a_pipe_as_target(tmp_path, exclusive):
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.OutputError, match="is a directory"):
        files.write_atomically(tmp_path / "directory", b"", exclusive=exclusive)
    with pytest.raises(errors.OutputError, match="already exists" if exclusive else "not a regular file"):
        files.write_atomically(tmp_path / "pipe", b"", exclusive=exclusive)
    assert listing(tmp_path) == ["directory", "pipe"]


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("directory", ["missing", "file", "circle", UNWRITABLE])
def test_says_that_nothing_was_created_where_nothing_can_be(tmp_path, directory, exclusive):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "circle").symlink_to("circle")
    target = tmp_path / directory / "out"
    with pytest.raises(errors.OutputError, match="nothing was changed") as caught:
        files.write_atomically(target, b"data", exclusive=exclusive)
    assert str(target) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == errors.ExitCode.CANNOT_CREATE


@pytest.mark.parametrize("allow_unnamed", [True, False])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, allow_unnamed):
    # The file size limit fails a write half way just as a full disk does, and needs no privilege.
    code = """if True:
        import pathlib, resource, sys
        from signerd import errors
        from signerd.store import files
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with files.AtomicFile(pathlib.Path(sys.argv[1]), allow_unnamed=sys.argv[2] == "True") as file:
            try:
                file.write(bytes(200_000))
            except errors.OutputError as error:
                print(error.exit_code, error.message, error.hint, sep="|")
    """
    target = tmp_path / "credentials.gfs"
    target.write_bytes(b"old")
    result = run_python(code, target, allow_unnamed)
    assert result.stdout.startswith(f"74|cannot write {target}: file too large; nothing was changed|"), result
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["credentials.gfs"]


def test_a_kill_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    code = """if True:
        import os, pathlib, signal, sys
        from signerd.store import files
        with files.AtomicFile(pathlib.Path(sys.argv[1])) as file:
            file.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    target = tmp_path / "credentials.gfs"
    target.write_bytes(b"old")
    assert run_python(code, target).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["credentials.gfs"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(chunks=st.lists(st.binary(max_size=3000), max_size=5), allow_unnamed=st.booleans())
def test_holds_exactly_what_was_written(tmp_path, chunks, allow_unnamed):
    with files.AtomicFile(tmp_path / "out", allow_unnamed=allow_unnamed) as file:
        for chunk in chunks:
            file.write(chunk)
        file.commit()
    assert (tmp_path / "out").read_bytes() == b"".join(chunks)


def test_reads_a_file_up_to_its_limit_and_no_longer_one(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read_bounded(tmp_path / "file", 5) == b"12345"
    with pytest.raises(errors.InputMissing, match="longer than 4 bytes"):
        files.read_bounded(tmp_path / "file", 4)
    with pytest.raises(errors.CredentialsError, match="longer than 4 bytes"):
        files.read_bounded(tmp_path / "file", 4, too_long=errors.CredentialsError)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "no such file"), ("directory", "is a directory"), ("file/below", "not a directory")],
)
def test_names_the_file_that_cannot_be_read(tmp_path, name, reason):
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.InputMissing, match=reason) as caught:
        files.read_bounded(tmp_path / name, 100)
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint


def test_makes_a_private_directory_with_its_parents_and_accepts_one_that_is_there(tmp_path):
    umask = os.umask(0)
    try:
        files.make_private_directory(tmp_path / "a" / "b")
        files.make_private_directory(tmp_path / "a" / "b")
    finally:
        os.umask(umask)
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("parent", [".", "file"])
def test_makes_no_directory_where_a_file_is(tmp_path, parent):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.OutputError):
        files.make_private_directory(tmp_path / parent / "file")


def test_a_directory_has_one_owner_and_is_free_again_afterwards(tmp_path):
    with files.lock_directory(tmp_path):
        message = f"process {os.getpid()} is running"
        with pytest.raises(errors.AlreadyRunning, match=message), files.lock_directory(tmp_path):
            pytest.fail("two owners")
        with pytest.raises(errors.AlreadyRunning), files.lock_directory(tmp_path):
            pytest.fail("a failed try took the lock away")
    with files.lock_directory(tmp_path):
        assert listing(tmp_path) == [files.LOCK_NAME]
    assert mode_of(tmp_path / files.LOCK_NAME) == 0o600


def test_names_the_other_process_and_is_free_when_that_one_was_killed(tmp_path):
    code = """if True:
        import pathlib, sys
        from signerd.store import files
        with files.lock_directory(pathlib.Path(sys.argv[1])):
            print("mine", flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"mine\n"
        message = f"process {owner.pid} "
        with pytest.raises(errors.AlreadyRunning, match=message), files.lock_directory(tmp_path):
            pytest.fail("two owners")
        owner.kill()
    with files.lock_directory(tmp_path):
        pass


def test_a_lock_that_cannot_be_made_is_an_output_error(tmp_path):
    with pytest.raises(errors.OutputError, match=files.LOCK_NAME), files.lock_directory(tmp_path / "missing"):
        pytest.fail("locked nothing")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_gives_a_file_another_name_and_takes_none_that_is_taken(tmp_path, monkeypatch, links):
    if not links:  # as FAT does

        def refuse(*_arguments, **_options):
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "part").write_bytes(b"new")
    (tmp_path / "taken").write_bytes(b"old")
    with pytest.raises(files.AlreadyThere):
        files.rename_exclusively(tmp_path / "part", tmp_path / "taken")
    files.rename_exclusively(tmp_path / "part", tmp_path / "whole")
    assert listing(tmp_path) == ["taken", "whole"]
    assert (tmp_path / "taken").read_bytes() == b"old"
    assert (tmp_path / "whole").read_bytes() == b"new"
    with pytest.raises(errors.OutputError, match="no such file"):
        files.rename_exclusively(tmp_path / "part", tmp_path / "other")
