"""`signerd seal`, `unseal` and `init --seal`: there and back, and nothing is lost when it goes wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from helpers import sealing, vectors
from helpers.terminal import Terminal
from helpers.world import NODE_ID, WORDS, environment

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.units import Secret

FILES = {case["name"]: case for case in vectors.load("hsm_secrets")["secrets"]}
OF_CORE_LIGHTNING = FILES["encrypted, short ascii"]
SECRET = bytes(range(32))
PASSPHRASE = "correct horse battery staple é"


@pytest.fixture
def passphrase(signerd):
    return put(signerd.home / "passphrase", PASSPHRASE + "\n")


def put(path, text: str):
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_seals_and_unseals_in_place_as_core_lightning_would(signerd, passphrase):
    path = signerd.put_secret(SECRET, mode=0o400)
    os.link(path, signerd.home / "backup")
    done = signerd.run("seal", "--passphrase-file", passphrase, "--json")
    assert done.code == 0, done.err
    node_id = NodeKeys.derive(Secret(SECRET)).node_id.hex()
    assert done.json == {"v": 1, "node_id": node_id, "secret_file": str(path), "kept": None}
    assert "may still be on the disk" in done.err
    assert "under other names: 1" in done.err
    assert PASSPHRASE not in done.out + done.err

    content = path.read_bytes()
    assert (len(content), stat.S_IMODE(path.stat().st_mode)) == (73, 0o400)
    assert sealing.opened(content, sealing.key_of(PASSPHRASE.encode())) == SECRET

    with passphrase.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "signerd", "unseal", "--passphrase-fd", str(file.fileno())],
            env=environment(signerd.home), pass_fds=[file.fileno()], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert node_id in done.stdout
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (SECRET, 0o400)
    assert [path] == list(signerd.data_dir.iterdir())


def test_unseals_core_lightnings_file_elsewhere_and_leaves_it_alone(signerd):
    content = bytes.fromhex(OF_CORE_LIGHTNING["file"])
    path, target = signerd.put_secret(content), signerd.home / "plain"
    passphrase = put(signerd.home / "passphrase", OF_CORE_LIGHTNING["passphrase"])
    done = signerd.run("unseal", "-o", target, "--passphrase-file", passphrase, "--json")
    assert done.json["node_id"] == OF_CORE_LIGHTNING["hsmd_node_id"]
    assert target.read_bytes().hex() == OF_CORE_LIGHTNING["secret"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert path.read_bytes() == content


def test_asks_twice_on_a_terminal_and_shows_nothing_of_it(signerd):
    path = signerd.put_secret(SECRET)
    terminal = Terminal("seal", "--keep", env=environment(signerd.home, TERM="dumb"))
    terminal.until("new passphrase: $")
    terminal.type(PASSPHRASE)
    terminal.until("the same again: $")
    terminal.type(PASSPHRASE)
    assert terminal.end() == 0, terminal.shown
    assert "horse" not in terminal.shown
    key = sealing.key_of(PASSPHRASE.encode())
    assert sealing.opened(path.read_bytes(), key) == SECRET
    kept = path.with_name("hsm_secret.previous")
    assert (kept.read_bytes(), stat.S_IMODE(kept.stat().st_mode)) == (SECRET, 0o600)


@pytest.mark.parametrize(
    ("first", "second", "code", "says"),
    [
        ("one passphrase of mine", "another one of mine", 64, "differ"),
        ("", None, 65, "empty"),
        ("\x04", None, 130, "no passphrase was typed"),  # Ctrl-D
    ],
)
def test_changes_nothing_when_the_passphrase_is_not_typed_well(signerd, first, second, code, says):
    path = signerd.put_secret(SECRET)
    terminal = Terminal("seal", env=environment(signerd.home, TERM="dumb"))
    terminal.until("new passphrase: $")
    terminal.type(first)
    if second is not None:
        terminal.until("the same again: $")
        terminal.type(second)
    assert terminal.end() == code, terminal.shown
    assert says in terminal.shown
    assert path.read_bytes() == SECRET


@pytest.mark.slow
def test_the_passphrase_can_be_changed_without_a_plain_file_in_between(signerd):
    path = signerd.put_secret(bytes.fromhex(OF_CORE_LIGHTNING["file"]))
    old = put(signerd.home / "old", OF_CORE_LIGHTNING["passphrase"])
    new = put(signerd.home / "new", PASSPHRASE)
    done = signerd.run("seal", "--change", "--passphrase-file", old, "--new-passphrase-file", new)
    assert done.code == 0, done.err
    opened = sealing.opened(path.read_bytes(), sealing.key_of(PASSPHRASE.encode()))
    assert opened is not None
    assert opened.hex() == OF_CORE_LIGHTNING["secret"]


def test_words_are_sealed_only_when_they_are_written_down(signerd, passphrase):
    path = signerd.put_secret(WORDS.encode())
    done = signerd.run("seal", "--passphrase-file", passphrase)
    assert done.code == 130
    assert NODE_ID.hex() in done.err
    assert "nobody can read the words" in done.err
    assert "--yes" in done.err
    assert path.read_bytes() == WORDS.encode()


def test_the_words_of_a_container_are_sealed_as_the_node_that_they_were_said_to_mean(signerd, passphrase):
    case = FILES["mnemonic 24 words"]
    path, target = signerd.put_secret(bytes.fromhex(case["file"])), signerd.home / "sealed"
    arguments = ("seal", "--passphrase-file", passphrase, "--yes", "-o", target, "--json")
    refused = signerd.run(*arguments)
    assert (refused.code, target.exists()) == (65, False)
    assert "--derivation" in refused.err
    done = signerd.run(*arguments, "--derivation", "hosted")
    assert done.json["node_id"] == case["hsmd_node_id"]
    assert (done.json["secret_file"], done.json["kept"]) == (str(target), str(path))
    opened = sealing.opened(target.read_bytes(), sealing.key_of(PASSPHRASE.encode()))
    assert opened == bytes.fromhex(case["secret"])[:32]
    assert path.read_bytes().hex() == case["file"]


@pytest.mark.parametrize(
    ("content", "arguments", "code", "says"),
    [
        (bytes(range(73)), ["seal"], 65, "is sealed already"),
        (SECRET, ["seal", "--change"], 65, "is not sealed"),
        (SECRET, ["unseal"], 65, "is not sealed: it is 32 raw bytes"),
        (SECRET, ["seal"], 79, "no passphrase to seal with"),
        (
            SECRET,
            ["seal", "--new-passphrase-file", "x", "--new-passphrase-fd", "3"],
            64,
            "do not go together",
        ),
        (SECRET, ["seal", "--passphrase-file", "x", "--passphrase-fd", "3"], 64, "do not go together"),
        (bytes(74), ["unseal"], 65, "74 bytes"),
    ],
)
def test_refuses_and_changes_nothing(signerd, content, arguments, code, says):
    path = signerd.put_secret(content)
    done = signerd.run(*arguments)
    assert done.code == code, done.err
    assert says in done.err
    assert "Traceback" not in done.err
    assert path.read_bytes() == content


@pytest.mark.parametrize(("text", "says"), [("\n", "empty"), ("a\nb", "line break")])
def test_refuses_a_new_passphrase_that_could_not_be_typed(signerd, text, says):
    path = signerd.put_secret(SECRET)
    done = signerd.run("seal", "--passphrase-file", put(signerd.home / "passphrase", text))
    assert done.code == 65
    assert says in done.err
    assert path.read_bytes() == SECRET


@pytest.mark.parametrize("name", ["hsm_secret.previous", "sealed"])
def test_never_puts_anything_over_what_is_there(signerd, passphrase, name):
    path = signerd.put_secret(SECRET)
    other = path.with_name(name)
    other.write_bytes(b"precious")
    option = ["--keep"] if name == "hsm_secret.previous" else ["-o", other]
    done = signerd.run("seal", "--passphrase-file", passphrase, *option)
    assert done.code == 65
    assert "never overwrites" in done.err
    assert (path.read_bytes(), other.read_bytes()) == (SECRET, b"precious")


def test_init_seals_before_anything_is_written(signerd, passphrase):
    done = signerd.run("init", "--import", "--seal", "--passphrase-file", passphrase, "--json", stdin=WORDS)
    assert done.code == 0, done.err
    assert done.json["node_id"] == NODE_ID.hex()
    content = (signerd.data_dir / "hsm_secret").read_bytes()
    secret = mnemonic.node_secret(mnemonic.check(WORDS))
    assert sealing.opened(content, sealing.key_of(PASSPHRASE.encode())) == secret.expose()
    assert ["hsm_secret"] == [path.name for path in signerd.data_dir.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--import", "--seal"], 79, "no passphrase to seal with"),
        (["--import", "--seal", "--passphrase-fd", "0"], 64, "cannot both come from stdin"),
    ],
)
def test_init_writes_nothing_when_it_cannot_seal(signerd, arguments, code, says):
    done = signerd.run("init", *arguments, stdin=WORDS)
    assert done.code == code, done.err
    assert says in done.err
    assert not signerd.data_dir.exists()
