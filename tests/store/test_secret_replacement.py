"""A secret is replaced by its sealed or unsealed form, and is never lost in between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from signerd.errors import AlreadyRunning, InputMissing, OutputError, SecretError, StateError
from signerd.store import secret_file
from signerd.units import Secret

SECRET = Secret(bytes(range(32)))
SEALED = bytes(range(100, 173))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "hsm_secret"
    secret_file.create_secret(path, SECRET)
    return path


def opened(content: bytes) -> Secret:
    """Stands for the passphrase: what was written must be what was asked for."""
    assert content == SEALED
    return SECRET


def fill(path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def replace(path, check=opened):
    with secret_file.hold(path) as held:
        held.replace(SEALED, holds=SECRET, check=check)


def test_puts_the_new_bytes_in_the_place_of_the_old_ones_and_nothing_beside_them(path):
    replace(path)
    assert path.read_bytes() == SEALED
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_keeps_the_mode(path, mode):
    path.chmod(mode)
    replace(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_keeps_the_owner_so_that_the_daemon_can_still_read_it(path):
    os.chown(path, 10001, 10002)
    path.chmod(0o400)
    with secret_file.hold(path) as held:
        held.copy_to(path.with_name("copy"))
        held.replace(SEALED, holds=SECRET, check=opened)
    for file in (path, path.with_name("copy")):
        found = file.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (10001, 10002, 0o400)


def test_reads_from_the_disk_what_it_wrote_before_it_takes_the_old_ones_place(path):
    def look(content: bytes) -> Secret:
        assert path.read_bytes() == SECRET.expose()
        return opened(content)

    replace(path, look)
    assert path.read_bytes() == SEALED


def test_a_secret_that_does_not_open_again_leaves_the_old_one(path):
    with pytest.raises(StateError, match="was left as it is") as caught:
        replace(path, lambda _content: Secret(bytes(32)))
    assert caught.value.exit_code == 74
    assert path.read_bytes() == SECRET.expose()
    assert [path] == list(path.parent.iterdir())


def test_an_error_in_opening_it_again_leaves_the_old_one(path):
    def refuse(_content: bytes) -> Secret:
        raise SecretError("no")

    with pytest.raises(SecretError, match="no"):
        replace(path, refuse)
    assert path.read_bytes() == SECRET.expose()
    assert [path] == list(path.parent.iterdir())


def test_two_at_once_do_not_hurt_each_other(path):
    with (
        secret_file.hold(path),
        pytest.raises(AlreadyRunning, match="changed nothing"),
        secret_file.hold(path),
    ):
        pytest.fail("two holders")
    replace(path)


@pytest.mark.parametrize("change", ["another file", "other bytes", "gone", "open to all"])
def test_does_not_undo_what_another_program_did_meanwhile(path, change):
    def meddle(content: bytes) -> Secret:
        if change == "another file":
            path.with_name("new").write_bytes(b"x" * 32)
            path.with_name("new").chmod(0o600)
            path.with_name("new").rename(path)
        elif change == "other bytes":
            path.write_bytes(b"x" * 32)
        elif change == "gone":
            path.unlink()
        else:
            path.chmod(0o644)
        return opened(content)

    with pytest.raises(AlreadyRunning, match="changed nothing"):
        replace(path, meddle)
    assert not path.exists() or path.read_bytes() in (b"x" * 32, SECRET.expose())


def test_follows_a_link_and_keeps_it(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    replace(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert path.read_bytes() == SEALED


def test_says_how_many_other_names_keep_the_old_bytes(path):
    os.link(path, path.with_name("other"))
    with secret_file.hold(path) as held:
        assert held.other_names == 1
        held.replace(SEALED, holds=SECRET, check=opened)
    assert path.with_name("other").read_bytes() == SECRET.expose()


def test_a_copy_is_never_put_over_anything(path):
    path.with_name("copy").write_bytes(b"precious")
    with secret_file.hold(path) as held, pytest.raises(OutputError, match="already exists"):
        held.copy_to(path.with_name("copy"))
    assert path.with_name("copy").read_bytes() == b"precious"


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_holds_no_file_that_others_can_read(path, mode):
    path.chmod(mode)
    with pytest.raises(SecretError, match="read by others"), secret_file.hold(path):
        pytest.fail("held")


def test_says_where_there_is_nothing_to_replace(tmp_path):
    with pytest.raises(InputMissing, match="no secret at"), secret_file.hold(tmp_path / "none"):
        pytest.fail("held nothing")


def test_a_new_file_that_does_not_open_is_never_there(tmp_path):
    path = tmp_path / "new"
    with pytest.raises(StateError):
        secret_file.create(path, SEALED, holds=SECRET, check=lambda _content: Secret(bytes(32)))
    assert list(tmp_path.iterdir()) == []
    secret_file.create(path, SEALED, holds=SECRET, check=opened)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (SEALED, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_leaves_the_secret_that_was_there(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        path = small / "hsm_secret"
        secret_file.create_secret(path, SECRET)
        fill(small / "filler")
        with pytest.raises(OutputError, match=r"no space left.*nothing was changed") as caught:
            replace(path)
        assert caught.value.exit_code == 74
        assert path.read_bytes() == SECRET.expose()
        assert {"hsm_secret", "filler"} == {file.name for file in small.iterdir()}
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk needs root")
def test_a_disk_that_became_read_only_leaves_the_secret_that_was_there(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a disk")
    try:
        path = disk / "hsm_secret"
        secret_file.create_secret(path, SECRET)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(OutputError, match="read-only"):
            replace(path)
        assert path.read_bytes() == SECRET.expose()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Killed

KILLED = """if True:
    import json, os, pathlib, signal, sys
    from signerd.store import files, secret_file
    from signerd.units import Secret

    path, unnamed = pathlib.Path(sys.argv[1]), sys.argv[2] == "unnamed"
    old, new = bytes.fromhex(sys.argv[3]), bytes.fromhex(sys.argv[4])
    calls = ["open", "write", "fsync", "fchmod", "posix_fadvise", "pread", "read", "link", "rename", "stat",
             "unlink", "close", "fstat"]
    if not unnamed:
        files._open_unnamed = lambda directory: -1

    def kill_before(step):
        count = 0
        def dying(call):
            def wrapped(*arguments, **options):
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **options)
            return wrapped
        for name in calls:
            setattr(os, name, dying(getattr(os, name)))

    def left_by(step):
        path.write_bytes(old)
        path.chmod(0o600)
        child = os.fork()
        if child == 0:
            kill_before(step)
            with secret_file.hold(path) as held:
                held.replace(new, holds=Secret(old), check=lambda found: Secret(old))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        beside = [file for file in path.parent.iterdir() if file != path]
        stray = [file.read_bytes().hex() for file in beside]
        modes = [file.stat().st_mode & 0o777 for file in beside]
        for file in beside:
            file.unlink()
        return os.waitstatus_to_exitcode(status), path.read_bytes().hex(), stray, modes

    results, step = [], 1
    while not results or results[-1][0] != 0:
        results.append(left_by(step))
        step += 1
    print(json.dumps(results))
"""


@pytest.mark.parametrize("way", ["unnamed", "temporary"])
@pytest.mark.parametrize(
    ("old", "new"), [(SECRET.expose(), SEALED), (SEALED, SECRET.expose())], ids=["seal", "unseal"]
)
def test_a_kill_before_any_of_its_system_calls_leaves_the_old_or_the_new_file_whole(tmp_path, old, new, way):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "hsm_secret"), way, old.hex(), new.hex()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    results = json.loads(done.stdout)
    contents = [content for _, content, _, _ in results]
    assert [code for code, *_ in results] == [-9] * (len(results) - 1) + [0]
    assert set(contents) == {old.hex(), new.hex()}
    assert contents.index(new.hex()) > 10  # it was killed before the exchange, and after it
    assert all(content == new.hex() for content in contents[contents.index(new.hex()) :])
    for _, _, stray, modes in results:
        # What a kill may leave beside it is new, and never readable by others.
        assert len(stray) <= 1
        assert all(new.hex().startswith(content) for content in stray)
        assert all(mode == 0o600 for mode in modes)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
@pytest.mark.parametrize("call", ["fsync", "linkat", "rename,renameat,renameat2"])
def test_a_kill_inside_a_system_call_leaves_a_whole_file(path, call):
    code = """if True:
        import pathlib, sys
        from signerd.store import secret_file
        from signerd.units import Secret
        with secret_file.hold(pathlib.Path(sys.argv[1])) as held:
            secret = Secret(held.content)
            held.replace(bytes.fromhex(sys.argv[2]), holds=secret, check=lambda _: secret)
    """
    trace = [
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when=1",
    ]
    done = subprocess.run(
        [*trace, sys.executable, "-B", "-c", code, str(path), SEALED.hex()],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if b"ptrace" in done.stderr.lower() or b"Operation not permitted" in done.stderr:
        pytest.skip("this machine does not let us trace")
    assert done.returncode == -9, done.stderr
    assert path.read_bytes() in (SECRET.expose(), SEALED)
