"""What root makes in another user's directory is theirs, from the moment that it has its name."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers.command import Command
from helpers.control import short_directory

from signerd.core.keys.node import NodeKeys
from signerd.store import export_record, files, lineage, ownership, secret_file
from signerd.store.export_record import ExportRecord
from signerd.store.partial_download import PartialDownload
from signerd.units import NodeId, UnixTime

THEIRS = (65534, 65534)
NODE = NodeId(b"\x02" * 33)
DEVICE = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def owner(path):
    found = path.lstat()
    return found.st_uid, found.st_gid


def owners(directory):
    return {path.name: owner(path) for path in directory.iterdir()}


@pytest.fixture
def theirs(tmp_path):
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o700)
    os.chown(directory, *THEIRS)
    return directory


@pytest.mark.parametrize("unnamed", [True, False])
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_new_file_is_of_the_owner_of_its_directory(theirs, unnamed, exclusive):
    with files.AtomicFile(theirs / "new", exclusive=exclusive, allow_unnamed=unnamed) as file:
        file.write(b"x")
        assert set(owners(theirs).values()) <= {THEIRS}
        file.commit()
    assert owners(theirs) == {"new": THEIRS}


def test_what_replaces_a_file_is_of_its_owner(tmp_path, theirs):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    os.chown(path, 65533, 65532)
    files.write_atomically(path, b"y")
    assert owner(path) == (65533, 65532)


def test_what_an_earlier_command_left_to_root_is_mended(theirs):
    (theirs / "roots").write_bytes(b"x")
    files.write_atomically(theirs / "roots", b"y")
    assert owner(theirs / "roots") == THEIRS


def test_a_name_that_anybody_may_have_made_gets_nothing(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "x").write_bytes(b"bait")
    os.chown(shared / "x", *THEIRS)
    files.write_atomically(shared / "x", b"secret")
    assert owner(shared / "x") == (0, 0)


def test_a_link_in_their_directory_gives_nothing_away_elsewhere(tmp_path, theirs):
    (tmp_path / "of root").write_bytes(b"x")
    (theirs / "link").symlink_to(tmp_path / "of root")
    files.write_atomically(theirs / "link", b"y")
    assert owner(tmp_path / "of root") == (0, 0)
    ownership.make(theirs / "link")
    assert owner(tmp_path / "of root") == (0, 0)
    ownership.make(theirs / "dangling")
    (theirs / "dangling").unlink()
    (theirs / "dangling").symlink_to(tmp_path / "nothing")
    ownership.make(theirs / "dangling")
    assert not (tmp_path / "nothing").exists()


def test_what_is_there_stays_whose_it_is(theirs):
    path = theirs / files.LOCK_NAME
    path.touch(mode=0o600)
    with files.lock_directory(theirs):
        assert owner(path) == (0, 0)


def test_locks_are_theirs(theirs):
    with files.lock_directory(theirs), files.lock_directory(theirs, "another.lock"):
        assert owners(theirs) == {files.LOCK_NAME: THEIRS, "another.lock": THEIRS}


def test_new_directories_are_theirs(theirs):
    files.make_private_directory(theirs / "a" / "b")
    assert THEIRS == owner(theirs / "a") == owner(theirs / "a" / "b")


def test_a_store_is_theirs_with_what_sqlite_makes_beside_it(theirs):
    path = theirs / "signerd.db"
    with lineage.in_use(path, NODE):
        assert owners(theirs) == dict.fromkeys(
            ("signerd.db", "signerd.db-wal", "signerd.db-shm", "signerd.db.last"), THEIRS
        )
    assert set(owners(theirs).values()) == {THEIRS}


def test_an_unfinished_download_is_theirs(theirs):
    with PartialDownload(theirs / "backup.enc", NODE):
        pass
    assert owners(theirs) == {"backup.enc.part": THEIRS, "backup.enc.json": THEIRS}


def test_somebody_else_gives_nothing_away():
    """A user who works in a directory of root, which lets everybody in."""
    program = """if True:
        import os, pathlib, sys
        from signerd.store import files
        os.setgid(65534); os.setuid(65534)
        directory = pathlib.Path(sys.argv[1])
        with files.lock_directory(directory):
            files.write_atomically(directory / "file", b"x")
    """
    with short_directory() as directory:
        directory.chmod(0o777)
        subprocess.run([sys.executable, "-c", program, str(directory)], check=True)
        assert owners(directory) == {"file": THEIRS, files.LOCK_NAME: THEIRS}


def test_what_the_owner_does_as_root_the_daemon_of_another_user_can_use():
    """`new-store`, `devices revoke` and the record of an export; then what a start of the daemon opens."""
    daemon = """if True:
        import os, pathlib, sys
        from signerd.core.keys.node import NodeKeys
        from signerd.store import export_record, files, lineage, revocations, secret_file
        os.setgid(65534); os.setuid(65534)
        data_dir = pathlib.Path(sys.argv[1])
        with files.lock_directory(data_dir), files.lock_directory(data_dir, export_record.LOCK_NAME):
            node_id = NodeKeys.derive(secret_file.read_secret(data_dir / "hsm_secret")).node_id
            with lineage.in_use(data_dir / "signerd.db", node_id) as store:
                print(len(revocations.read(store)), export_record.read(data_dir, node_id) is not None)
    """
    with short_directory() as directory:
        directory.chmod(0o755)
        command = Command(directory)
        command.put_secret()
        secret = command.data_dir / "hsm_secret"
        for path in (command.data_dir, secret):
            os.chown(path, *THEIRS)
        made = command.run("new-store", "--highest-channel", "3")
        assert made.code == 0, made.err
        revoked = command.run("devices", "revoke", DEVICE.hex(), "--yes")
        assert revoked.code == 0, revoked.err
        node_id = NodeKeys.derive(secret_file.read_secret(secret)).node_id
        with files.lock_directory(command.data_dir, export_record.LOCK_NAME):
            export_record.write(command.data_dir, ExportRecord(node_id, UnixTime(1)))
        assert set(owners(command.data_dir).values()) == {THEIRS}
        started = subprocess.run(
            [sys.executable, "-c", daemon, str(command.data_dir)], capture_output=True, text=True, check=True
        )
        assert started.stdout == "1 True\n"
