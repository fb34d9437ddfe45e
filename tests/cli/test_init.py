"""`signerd init`: new words shown once, words imported, files adopted; nothing is ever overwritten."""

from __future__ import annotations

import re
import stat

import pytest
from helpers.terminal import Terminal
from helpers.world import NODE_ID, WORDS, environment

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys


@pytest.mark.parametrize("count", ["12", "24"])
def test_shows_new_words_once_and_keeps_the_secret(signerd, count):
    terminal = Terminal("init", "--words", count, env=environment(signerd.home, TERM="xterm"))
    terminal.until(rf" {count}\. \w+\r\n")
    words = re.findall(r"\d+\. (\w+)\r\n", terminal.shown)
    assert int(count) == len(words)
    asked = terminal.until(r"type word (\d+): $")
    terminal.type(words[int(asked[1]) - 1])
    terminal.until(r"type word \d+: [\s\S]*type word (\d+): $")
    second = re.findall(r"type word (\d+): ", terminal.shown)[1]
    terminal.type(words[int(second) - 1])
    assert terminal.end() == 0
    secret = (signerd.data_dir / "hsm_secret").read_bytes()
    assert mnemonic.node_secret(mnemonic.check(" ".join(words))).expose() == secret
    # The words were on the alternate screen only, which leaves nothing behind.
    after = terminal.shown.rpartition("\x1b[?1049l")[2]
    assert "node id" in after
    # A word or two may be among ours: those are English too.
    assert len([word for word in set(words) if re.search(rf"\b{word}\b", after)]) <= 2


def test_writes_nothing_when_the_words_are_not_repeated(signerd):
    terminal = Terminal("init", env=environment(signerd.home, TERM="dumb"))
    for attempt in range(1, 4):
        terminal.until(rf"(That is not it\.[\s\S]*){{{attempt - 1}}}type word \d+: $")
        terminal.type("wrong")
    assert terminal.end() == 130
    assert not (signerd.data_dir / "hsm_secret").exists()


def test_refuses_to_show_words_to_anything_but_a_terminal(signerd):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "signerd", "init"], env=environment(signerd.home), capture_output=True,
        stdin=subprocess.DEVNULL, start_new_session=True, timeout=30, check=False, text=True,
    )  # fmt: skip
    assert done.returncode == 64
    assert "terminal" in done.stderr
    assert not (signerd.data_dir / "hsm_secret").exists()


def test_imports_words_from_stdin(signerd):
    done = signerd.run("init", "--import", "--json", stdin=f"  {WORDS}\n")
    assert done.code == 0, done.err
    path = signerd.data_dir / "hsm_secret"
    assert done.json["node_id"] == NODE_ID.hex()
    assert done.json["secret_file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_bytes()) == 32
    assert "abandon" not in done.out + done.err


def test_imports_words_typed_at_a_prompt_that_does_not_show_them(signerd):
    terminal = Terminal("init", "--import", env=environment(signerd.home, TERM="dumb"))
    terminal.until("words: ")
    terminal.type(WORDS)
    assert terminal.end() == 0
    assert "abandon" not in terminal.shown
    assert NODE_ID.hex() in terminal.shown


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("", 66, "no words"),
        ("abandon " * 12, 65, "check sum"),
        ("abandon " * 11, 65, "has 11"),
        ("xyzzy " * 12, 65, "not in the English"),
    ],
)
def test_says_what_is_wrong_with_words_and_writes_nothing(signerd, words, code, says):
    done = signerd.run("init", "--import", stdin=words)
    assert code == done.code
    assert says in done.err
    assert "Traceback" not in done.err
    assert not (signerd.data_dir / "hsm_secret").exists()


def test_never_overwrites_a_secret(signerd):
    path = signerd.put_secret(b"precious")
    done = signerd.run("init", "--import", stdin=WORDS)
    assert done.code == 65
    assert "never overwrites" in done.err
    assert path.read_bytes() == b"precious"


def glcli_directory(signerd, content: bytes = bytes(range(32)), mode: int = 0o600):
    directory = signerd.home / ".local/share/greenlight"
    directory.mkdir(parents=True)
    (directory / "hsm_secret").write_bytes(content)
    (directory / "hsm_secret").chmod(mode)
    return directory


def test_adopts_a_glcli_directory_in_place(signerd):
    directory = glcli_directory(signerd)
    done = signerd.run("init", "--adopt", directory, "--network", "regtest", "--json")
    assert done.code == 0, done.err
    assert done.json["data_dir"] == str(directory)
    assert {"hsm_secret"} == {path.name for path in directory.iterdir()}
    inspected = signerd.run("inspect", "identity", "--json")
    assert inspected.json["node_id"] == done.json["node_id"]
    assert inspected.json["network"] == "regtest"
    assert signerd.run("init", "--adopt", directory, "--network", "regtest").code == 0


def test_adopts_glsdks_words_in_place(signerd):
    directory = glcli_directory(signerd, WORDS.encode())
    done = signerd.run("init", "--adopt", directory, "--json")
    assert done.json["node_id"] == NODE_ID.hex()


def test_adopts_a_single_file(signerd):
    path = glcli_directory(signerd) / "hsm_secret"
    assert signerd.run("init", "--adopt", path).code == 0
    shown = signerd.run("inspect", "identity", "--json").json
    keys = NodeKeys.derive(__import__("signerd.units", fromlist=["Secret"]).Secret(bytes(range(32))))
    assert keys.node_id.hex() == shown["node_id"]


def test_does_not_adopt_a_secret_that_others_can_read(signerd):
    directory = glcli_directory(signerd, mode=0o644)
    done = signerd.run("init", "--adopt", directory)
    assert done.code == 65
    assert f"hint: chmod 600 {directory}/hsm_secret" in done.err
    assert not (signerd.home / ".config").exists()


def test_does_not_adopt_credentials_that_it_cannot_read(signerd):
    directory = glcli_directory(signerd)
    (directory / "credentials.gfs").write_bytes(b"garbage")
    done = signerd.run("init", "--adopt", directory)
    assert done.code == 77
    assert "credentials.gfs" in done.err


def test_leaves_a_configuration_that_says_otherwise_as_it_is(signerd):
    directory = glcli_directory(signerd)
    config = signerd.home / ".config/signerd/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('network = "testnet"\n')
    done = signerd.run("init", "--adopt", directory)
    assert done.code == 78
    assert f'data_dir = "{directory}"' in done.err
    assert config.read_text() == 'network = "testnet"\n'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (bytes(31), "cut short"),
        (bytes(74), "no words follow"),
        (bytes(32) + WORDS.encode(), "container"),
    ],
)
def test_does_not_adopt_what_it_cannot_use_whole(signerd, content, says):
    done = signerd.run("init", "--adopt", glcli_directory(signerd, content))
    assert done.code == 65
    assert says in done.err
