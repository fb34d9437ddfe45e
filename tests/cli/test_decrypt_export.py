"""`signerd decrypt-export`: from a file or stdin, to a file or stdout, offline."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import exports

from signerd.cli.main import main

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NODE_ID = exports.KEYS.node_id.hex()
FILE = exports.encrypt(exports.DUMP)
OTHER_NODE = "02" + "ab" * 32


@dataclass
class Result:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory with a secret and an export for it, and nothing of the developer's own settings."""
    for name in os.environ:
        if name.startswith(("SIGNERD_", "GL_", "XDG_")) or name.endswith("_DIRECTORY"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    write_secret(tmp_path / "secret", exports.SECRET)
    write_secret(tmp_path / "other_secret", exports.OTHER_SECRET)
    (tmp_path / "backup.enc").write_bytes(FILE)
    return tmp_path


@pytest.fixture
def decrypt(home, capfd):
    def run(*arguments, secret="secret"):
        with pytest.raises(SystemExit) as stop:
            main(["decrypt-export", "--secret-file", secret, *map(str, arguments)])
        captured = capfd.readouterr()
        return Result(stop.value.code, captured.out, captured.err)

    return run


def write_secret(path, content):
    path.write_bytes(content)
    path.chmod(0o600)


def command(*arguments):
    return [sys.executable, "-m", "signerd", "decrypt-export", "--secret-file", "secret", *arguments]


def run_process(*arguments, stdin=b""):
    return subprocess.run(command(*arguments), input=stdin, capture_output=True, timeout=60, check=False)


def on_terminal(stream, *arguments, stdin):
    """Run with a terminal as stdout or stderr; what appeared on the terminal, and the exit code."""
    ours, theirs = pty.openpty()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: theirs}
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command(*arguments), stdin=subprocess.PIPE, env=environment, **streams) as process:
        os.close(theirs)
        process.communicate(stdin, timeout=60)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says EIO when the other end of a terminal is gone
                break
            shown += part
        os.close(ours)
    return shown.decode(), process.returncode


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_writes_a_private_file_beside_the_backup_and_says_what_to_do_next(decrypt, home):
    result = decrypt("backup.enc")
    assert result.code == 0
    assert (home / "backup").read_bytes() == exports.DUMP
    assert stat.S_IMODE((home / "backup").stat().st_mode) == 0o600
    assert NODE_ID in result.stdout
    assert f"{len(exports.DUMP)} bytes" in result.stdout
    assert "a PostgreSQL archive" in result.stdout
    assert "pg_restore --no-owner --dbname=DATABASE backup" in result.stderr
    assert "Import it once" in result.stderr
    assert names(home) == ["backup", "backup.enc", "other_secret", "secret"]


@pytest.mark.parametrize(
    ("name", "made"), [("a.enc", "a"), ("a.b.bin", "a.b"), ("a.dump", "a.dump.decrypted"), ("x/a.enc", "x/a")]
)
def test_names_the_output_after_the_backup(decrypt, home, name, made):
    (home / "x").mkdir()
    (home / name).write_bytes(FILE)
    assert decrypt(name).code == 0
    assert (home / made).read_bytes() == exports.DUMP


def test_prints_one_json_document(decrypt, home):
    result = decrypt("backup.enc", "-o", "node.dump", "--json")
    assert json.loads(result.stdout) == {
        "v": 1,
        "node_id": NODE_ID,
        "file": str(home / "node.dump"),
        "size": len(exports.DUMP),
        "payload": "postgresql-archive",
    }


def test_reads_stdin_and_writes_stdout(home):
    result = run_process("-", "-o", "-", stdin=FILE)
    assert (result.returncode, result.stdout) == (0, exports.DUMP)
    assert NODE_ID.encode() in result.stderr
    assert names(home) == ["backup.enc", "other_secret", "secret"]


def test_reads_stdin_and_writes_a_file(home):
    assert run_process("-", "-o", "dump", stdin=FILE).returncode == 0
    assert (home / "dump").read_bytes() == exports.DUMP


def test_stdout_stays_empty_until_the_tag_is_verified(home):
    result = run_process("-", "-o", "-", stdin=FILE[:-1])
    assert (result.returncode, result.stdout) == (65, b"")
    assert b"damaged or cut short" in result.stderr


def test_never_replaces_a_file_without_force(decrypt, home):
    (home / "backup").write_bytes(b"mine")
    result = decrypt("backup.enc")
    assert result.code == 73
    assert "error: backup already exists" in result.stderr
    assert "--force" in result.stderr
    assert (home / "backup").read_bytes() == b"mine"
    assert decrypt("backup.enc", "--force").code == 0
    assert (home / "backup").read_bytes() == exports.DUMP


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "stdin has no name"),
        (["backup.enc", "-o", "-", "--json"], "both want stdout"),
        (["backup.enc", "-o", "backup.enc", "--force"], "is the backup itself"),
        (["backup.enc", "-o", "link", "--force"], "is the backup itself"),
        ([], "missing argument"),
    ],
)
def test_says_how_to_type_it(decrypt, home, arguments, message):
    (home / "link").symlink_to("backup.enc")
    result = decrypt(*arguments) if arguments != ["-"] else from_bytes(run_process("-", stdin=FILE))
    assert result.code == 64
    assert message in result.stdout + result.stderr
    assert "hint: " in result.stderr
    assert (home / "backup.enc").read_bytes() == FILE


def from_bytes(done):
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize(
    ("backup", "code", "message"),
    [
        ("missing.enc", 66, "no such file"),
        ("directory", 66, "is a directory"),
        ("empty", 65, "cut short: 0 bytes"),
        ("short", 65, "cut short: 61 bytes"),
        ("version", 65, "version 2 is not supported"),
        ("point", 65, "not a point on the curve"),
        ("flipped", 65, "damaged or cut short"),
        ("huge", 65, "larger than 256 GiB"),
    ],
)
def test_says_what_is_wrong_with_the_backup(decrypt, home, backup, code, message):
    (home / "directory").mkdir()
    (home / "empty").write_bytes(b"")
    (home / "short").write_bytes(FILE[:61])
    (home / "version").write_bytes(b"\x02" + FILE[1:])
    (home / "point").write_bytes(FILE[:2] + b"\xff" * 32 + FILE[34:])
    (home / "flipped").write_bytes(FILE[:-1] + bytes([FILE[-1] ^ 1]))
    (home / "huge").write_bytes(FILE)
    os.truncate(home / "huge", 2**38)
    result = decrypt(backup, "-o", "out")
    assert result.code == code
    assert message in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (home / "out").exists()


def test_names_the_node_of_a_secret_that_does_not_fit(decrypt, home):
    result = decrypt("backup.enc", secret="other_secret")
    assert result.code == 65
    assert "does not open with the secret of node 0" in result.stderr
    assert NODE_ID not in result.stderr
    assert "try the secret of the node that was exported" in result.stderr


def test_says_which_node_the_name_of_the_backup_tells_when_the_secret_does_not_fit(decrypt, home):
    (home / f"{OTHER_NODE}-7.enc").write_bytes(FILE)
    result = decrypt(f"{OTHER_NODE}-7.enc", secret="other_secret")
    assert result.code == 65
    assert f"by its name it is the backup of node {OTHER_NODE}" in result.stderr


@pytest.mark.parametrize(("secret", "code"), [("missing", 66), ("short", 65), ("open", 65)])
def test_a_secret_that_cannot_be_used_leaves_nothing(decrypt, home, secret, code):
    write_secret(home / "short", bytes(31))
    write_secret(home / "open", exports.SECRET)
    (home / "open").chmod(0o644)
    result = decrypt("backup.enc", secret=secret)
    assert result.code == code
    assert not (home / "backup").exists()


@pytest.mark.parametrize("target", ["missing/out", "backup.enc/out", "/proc/self/out"])
def test_says_where_it_cannot_write(decrypt, home, target):
    result = decrypt("backup.enc", "-o", target)
    assert result.code == 73
    assert f"error: cannot create {target}: " in result.stderr
    assert "hint: " in result.stderr


def test_a_full_disk_leaves_nothing(home):
    # The file size limit fails a write half way just as a full disk does, and needs no privilege.
    code = """if True:
        import resource, sys
        from signerd.cli.main import main
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        main(["decrypt-export", "--secret-file", "secret", "backup.enc"])
    """
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 74
    assert "error: cannot write backup: file too large; nothing was changed" in result.stderr
    assert names(home) == ["backup.enc", "other_secret", "secret"]


def test_a_full_stdout_is_said(home):
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            command("backup.enc", "-o", "-"), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert result.returncode == 74
    assert b"no space left on device" in result.stderr


@pytest.fixture
def interruptible():
    """What a shell starts in the background ignores interruptions, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_half_way_leaves_nothing(home, sign):
    file = exports.encrypt(bytes(4 * 1024 * 1024))
    with subprocess.Popen(
        command("-", "-o", "dump"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        # A pipe holds 64 KiB: when this returns, most of it was read.
        process.stdin.write(file[:-1])
        process.stdin.flush()
        process.send_signal(sign)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == (130 if sign == signal.SIGINT else -sign)
    assert b"Traceback" not in stderr
    assert names(home) == ["backup.enc", "other_secret", "secret"]


def test_refuses_to_write_to_a_terminal(home):
    shown, code = on_terminal("stdout", "backup.enc", "-o", "-", stdin=b"")
    assert (shown, code) == ("", 64)


def test_shows_progress_on_a_terminal_only(home):
    shown, code = on_terminal("stderr", "-", "-o", "dump", stdin=FILE)
    assert code == 0
    assert "decrypting" in shown
    assert b"decrypting" not in run_process("-", "-o", "dump2", stdin=FILE).stderr


def test_loads_neither_grpc_nor_protobuf_and_no_progress_bar(home):
    code = """if True:
        import sys
        from signerd.cli.main import main
        try:
            main(["decrypt-export", "--secret-file", "secret", "backup.enc"])
        except SystemExit as stop:
            assert stop.code == 0, stop.code
        print(sorted({name.split(".")[0] for name in sys.modules} & {"grpc", "google", "rich", "asyncio"}))
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.splitlines()[-1:] == ["[]"], result
