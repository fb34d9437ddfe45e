"""The store survives restarts and kills, and says so when it cannot be trusted."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys

import pytest

from signerd.errors import StateError
from signerd.store.state_db import SCHEMA_VERSION, StateDb
from signerd.units import UnixTime

DIGEST, OTHER = b"\x01" * 32, b"\x02" * 32
NOW = UnixTime(1_800_000_000)


def test_remembers_over_a_restart_and_forgets_the_expired(tmp_path):
    with StateDb(tmp_path / "db") as store:
        store.remember_approval(DIGEST, expires=UnixTime(NOW + 60), now=NOW)
    with StateDb(tmp_path / "db") as store:
        assert {DIGEST: NOW + 60} == store.approvals(NOW)
        assert {} == store.approvals(UnixTime(NOW + 61))
        store.remember_approval(OTHER, expires=UnixTime(NOW + 200), now=UnixTime(NOW + 61))
        assert {OTHER: NOW + 200} == store.approvals(NOW)


def test_is_private_with_all_its_side_files(tmp_path):
    with StateDb(tmp_path / "db") as store:
        store.remember_approval(DIGEST, expires=NOW, now=NOW)
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}


def test_survives_a_kill_right_after_the_promise(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from signerd.store.state_db import StateDb\n"
        "store = StateDb(Path(sys.argv[1])); store.remember_approval(b'\\x01' * 32, expires=2**40, now=0)\n"
        "print('promised', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "promised\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with StateDb(tmp_path / "db") as store:
        assert [DIGEST] == list(store.approvals(NOW))


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at", b"\x00" * 5000])
def test_refuses_a_file_that_is_no_store(tmp_path, content):
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(StateError, match="failed"):
        StateDb(tmp_path / "db")
    assert content == (tmp_path / "db").read_bytes()


def test_refuses_a_store_of_a_newer_signerd(tmp_path):
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StateError, match="newer"):
        StateDb(tmp_path / "db")


def test_says_when_the_disk_does_not_take_it(tmp_path):
    """A read-only database file stands for any disk that refuses."""
    with StateDb(tmp_path / "db") as store:
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateError, match="failed"):
            store.remember_approval(DIGEST, expires=NOW, now=NOW)
        assert {} == store.approvals(NOW)


def test_a_directory_in_its_place_is_told(tmp_path):
    (tmp_path / "db").mkdir()
    with pytest.raises(StateError):
        StateDb(tmp_path / "db")
