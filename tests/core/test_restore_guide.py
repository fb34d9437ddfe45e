"""The RESTORE file: its commands are commands, they have the real names in them, and no secret."""

from __future__ import annotations

import re
import stat
import subprocess
from dataclasses import replace

import pytest
from helpers import exports

from signerd.core import export_payload, restore_guide
from signerd.core.restore_guide import Facts

KINDS = ("postgresql-archive", "postgresql-sql", "sql", "sqlite", "gzip", "zstd", "tar", "unknown")
FACTS = Facts(
    node_id=exports.KEYS.node_id,
    network="bitcoin",
    payload=export_payload.by_kind("postgresql-archive"),
    file="/srv/it's here/node.backup",
    size=12345,
    encrypted="/srv/it's here/node.backup.enc",
    secret="/etc/signerd/hsm_secret",
    layout="raw",
    version="v25.05",
    date="2026-01-01 00:00 UTC",
)


def render(kind="postgresql-archive", **changes):
    return restore_guide.render(replace(FACTS, payload=export_payload.by_kind(kind), **changes))


def blocks(text):
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_begins_with_the_node_by_which_it_is_known_again():
    assert render().startswith(restore_guide.first_line(exports.KEYS.node_id) + "\n")


@pytest.mark.parametrize("layout", ["raw", "words", "other"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_is_one_that_a_shell_understands(kind, layout):
    found = blocks(render(kind, layout=layout))
    assert len(found) >= 6
    checked = subprocess.run(
        ["bash", "-n"], input="\n".join(found), capture_output=True, text=True, check=False
    )
    assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize("kind", KINDS)
def test_says_what_to_run_with_the_names_that_there_are(kind):
    text = render(kind)
    for words in (
        exports.KEYS.node_id.hex(),
        "'/srv/it'\"'\"'s here/node.backup'",
        "cat /etc/signerd/hsm_secret",
        "--network=bitcoin --offline --daemon",
        "v25.05",
        "Never import this backup a second time",
        "If a second import seems needed",
        "shred --remove",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("kind", "has", "has_not"),
    [
        ("postgresql-archive", ["pg_restore --no-owner", "wallet=postgres://"], ["--file=", 'sqlite3"']),
        ("postgresql-sql", ["psql --set=ON_ERROR_STOP=1 --single", "wallet=postgres://"], ["pg_restore"]),
        ("sqlite", ['lightningd.sqlite3"'], ["pg_restore", "psql --set"]),
        ("gzip", ["gzip --decompress", "2a", "2b", "2c", ".unpacked"], ["zstd"]),
        ("zstd", ["zstd --decompress", "2a", "2b", "2c"], ["gzip"]),
        ("tar", ["tar --list", "## 2a"], ["## 2b"]),
        ("sql", ["2a", "2b", "2c"], []),
        ("unknown", ["2a", "2b", "2c", "Import nothing that you do not know"], []),
    ],
)
def test_loads_each_payload_in_its_own_way(kind, has, has_not):
    text = render(kind)
    assert [words for words in has if words not in text] == []
    assert [words for words in has_not if words in text] == []


def test_tells_the_words_from_the_bytes():
    words = render(layout="words")
    assert 'signerd init --import --secret-file "$LIGHTNING_DIR/bitcoin/hsm_secret" < /etc/signerd' in words
    assert "not the plain 32 bytes" in render(layout="other")


def test_no_line_is_too_long_to_read():
    for kind in KINDS:
        prose = re.sub(r"^```sh\n.*?^```$", "", render(kind), flags=re.MULTILINE | re.DOTALL)
        assert [line for line in prose.splitlines() if len(line) > 110 and not line.startswith("|")] == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql-archive"])
def test_the_steps_for_the_files_do_what_they_say_once(tmp_path, kind):
    """In a shell, with the user's own directory; what is there already is never overwritten."""
    file, secret = tmp_path / "it's node.backup", tmp_path / "secret"
    file.write_bytes(b"SQLite format 3\0" + bytes(5000))
    secret.write_bytes(bytes(range(32)))
    text = render(kind, file=str(file), secret=str(secret))
    steps = [block for block in blocks(text) if "umask" in block or "LIGHTNING_DIR=" in block]
    script = "\n".join(
        line for step in steps for line in step.splitlines() if not line.startswith("lightning")
    )

    def run():
        return subprocess.run(
            ["bash"], input=script, capture_output=True, text=True, check=False,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    done = run()
    assert done.stderr == ""
    assert "400 32\n" in done.stdout
    place = tmp_path / ".lightning" / "bitcoin"
    assert (place / "hsm_secret").read_bytes() == bytes(range(32))
    assert stat.S_IMODE((place / "hsm_secret").stat().st_mode) == 0o400
    if kind == "sqlite":
        assert (place / "lightningd.sqlite3").read_bytes() == file.read_bytes()
        assert stat.S_IMODE((place / "lightningd.sqlite3").stat().st_mode) == 0o600
    else:
        assert stat.S_IMODE((place / "config").stat().st_mode) == 0o600

    secret.write_bytes(bytes(32))
    file.write_bytes(b"other")
    again = run()
    assert "cannot overwrite existing file" in again.stderr
    assert (place / "hsm_secret").read_bytes() == bytes(range(32))
