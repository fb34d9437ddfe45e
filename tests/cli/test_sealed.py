"""Commands on a sealed secret: where the passphrase comes from, and what happens without it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import click
import pytest
from helpers import vectors
from helpers.terminal import Terminal
from helpers.world import environment

from signerd.cli import passphrase

FILES = {case["name"]: case for case in vectors.load("hsm_secrets")["secrets"]}
CASE = FILES["encrypted, unicode composed"]
SEALED = bytes.fromhex(CASE["file"])
IDENTITY = ("inspect", "identity", "--json")


def put(path, content: str | bytes, mode: int = 0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


@pytest.fixture
def right(signerd):
    signerd.put_secret(SEALED)
    return put(signerd.home / "right", CASE["passphrase"] + "\n")


# Which of two sources is asked shows without opening anything: the stronger one cannot be read.


def test_a_descriptor_is_stronger_than_the_environment(signerd, right):
    done = signerd.run(*IDENTITY, "--passphrase-fd", "99", SIGNERD_SECRET_PASSPHRASE_FILE=str(right))
    assert done.code == 66
    assert "descriptor 99" in done.err


def test_a_flag_is_stronger_than_the_environment(signerd, right):
    done = signerd.run(*IDENTITY, "--passphrase-file", "none", SIGNERD_SECRET_PASSPHRASE_FILE=str(right))
    assert done.code == 66
    assert f"no passphrase at {signerd.home}/none" in done.err


def test_the_environment_is_stronger_than_the_configuration(signerd, right):
    config = put(signerd.home / "c.toml", f'[secret]\npassphrase_file = "{right}"\n')
    done = signerd.run(*IDENTITY, SIGNERD_CONFIG=str(config), SIGNERD_SECRET_PASSPHRASE_FILE="none")
    assert done.code == 66
    assert f"no passphrase at {signerd.home}/none" in done.err


def test_the_configuration_is_stronger_than_a_credential(signerd, right):
    config = put(signerd.home / "etc/c.toml", '[secret]\npassphrase_file = "none"\n')
    put(signerd.home / "credentials/hsm_passphrase", CASE["passphrase"])
    named = {"SIGNERD_CONFIG": str(config), "CREDENTIALS_DIRECTORY": str(signerd.home / "credentials")}
    done = signerd.run(*IDENTITY, **named)
    assert done.code == 66
    assert f"no passphrase at {config.parent}/none" in done.err


def test_a_wrong_passphrase_has_a_code_of_its_own(signerd, right):
    done = signerd.run(*IDENTITY, "--passphrase-fd", "0", stdin=CASE["passphrase"] + " \n")
    assert done.code == 80
    assert (done.json["kind"], done.json["code"]) == ("WrongPassphrase", 80)
    assert "tried once" in done.err
    assert CASE["passphrase"] not in done.err + done.out


def test_secret_and_passphrase_are_both_found_as_credentials(signerd):
    # With memory that is never writable and executable, as in the unit, where the kernel can (6.3).
    directory = signerd.home / "credentials"
    put(directory / "hsm_secret", SEALED, 0o440)
    put(directory / "hsm_passphrase", CASE["passphrase"], 0o440)
    env = environment(signerd.home, CREDENTIALS_DIRECTORY=str(directory))
    code = """if True:
        import ctypes, runpy, sys
        ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
        sys.argv[0] = "signerd"
        runpy.run_module("signerd", run_name="__main__")
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *IDENTITY], env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["node_id"] == CASE["hsmd_node_id"]


@pytest.mark.parametrize(
    ("name", "code", "says"), [("none", 66, "no passphrase at"), ("../right", 78, "is a path")]
)
def test_a_credential_that_was_named_has_to_be_there(signerd, right, name, code, says):
    config = put(signerd.home / "c.toml", f'[secret]\npassphrase_credential = "{name}"\n')
    credentials = signerd.home / "credentials"
    put(credentials / "hsm_passphrase", right.read_bytes())
    done = signerd.run(*IDENTITY, SIGNERD_CONFIG=str(config), CREDENTIALS_DIRECTORY=str(credentials))
    assert done.code == code, done.err
    assert says in done.err


def test_asks_once_on_a_terminal_and_never_again(signerd, right):
    terminal = Terminal("inspect", "identity", env=environment(signerd.home, TERM="dumb"))
    terminal.until("passphrase: $")
    terminal.type("not this one")
    assert terminal.end() == 80
    assert terminal.shown.count("passphrase: ") == 1
    assert "not this one" not in terminal.shown


def test_takes_the_bytes_that_the_terminal_sends(signerd, right):
    terminal = Terminal("inspect", "identity", env=environment(signerd.home, TERM="dumb", LC_ALL="C"))
    terminal.until("passphrase: $")
    terminal.type(CASE["passphrase"])
    assert terminal.end() == 0, terminal.shown
    assert CASE["hsmd_node_id"] in terminal.shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["recover"],
        ["rune", "create"],
        ["init", "--adopt", "."],
    ],
)
def test_without_a_passphrase_every_command_says_that_the_secret_is_sealed(signerd, arguments):
    signerd.put_secret(SEALED)
    put(signerd.home / "hsm_secret", SEALED)
    done = signerd.run(*arguments)
    assert done.code == 79, done.err
    assert "is sealed" in done.err
    assert "--passphrase-file" in done.err
    assert "Traceback" not in done.err


def test_does_not_read_a_passphrase_that_others_can_read(signerd, right):
    right.chmod(0o640)
    done = signerd.run(*IDENTITY, "--passphrase-file", right)
    assert done.code == 65
    assert f"chmod 600 {right}" in done.err


def test_a_passphrase_that_is_not_needed_is_not_even_looked_for(signerd):
    signerd.put_secret()
    assert signerd.run(*IDENTITY, "--passphrase-file", "none").code == 0


def test_too_little_memory_is_said_and_not_suffered(signerd, right):
    code = """if True:
        import resource, runpy, sys
        resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
        sys.argv[0] = "signerd"
        runpy.run_module("signerd", run_name="__main__")
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *IDENTITY, "--passphrase-file", str(right)],
        env=environment(signerd.home), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    assert "256 MiB" in done.stderr


def test_nobody_is_asked_when_that_was_forbidden(monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with click.Context(click.Command("signerd")) as context:
        assert passphrase.may_ask()
        context.meta[passphrase.NO_INPUT] = True
        assert not passphrase.may_ask()


# Core Lightning's mnemonic container

CONTAINER = FILES["mnemonic 12 words with passphrase, ascii"]


def test_a_container_is_opened_as_the_configuration_says(signerd):
    signerd.put_secret(bytes.fromhex(CONTAINER["file"]))
    given = put(signerd.home / "given", CONTAINER["passphrase"])
    keys = {}
    for derivation in ("hosted", "core-lightning"):
        config = put(signerd.home / "c.toml", f'[secret]\nderivation = "{derivation}"\n')
        done = signerd.run(*IDENTITY, "--passphrase-file", given, SIGNERD_CONFIG=str(config))
        assert done.code == 0, done.err
        assert done.json["node_id"] == CONTAINER["hsmd_node_id"]
        keys[derivation] = done.json["bip32_key"]
    # The same node id, and not the same wallet: that is the trap.
    assert keys["hosted"] != keys["core-lightning"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 65, "two nodes follow from it"),
        (["--derivation", "hosted"], 79, "is sealed: it is Core Lightning's mnemonic container"),
        (["--derivation", "core-lightning"], 65, "this is for a hosted one"),
    ],
)
def test_a_container_is_not_opened_by_guess(signerd, arguments, code, says):
    signerd.put_secret(bytes.fromhex(CONTAINER["file"]))
    done = signerd.run("rune", "create", *arguments)
    assert done.code == code, done.err
    assert says in done.err


def test_what_opened_an_adopted_container_is_remembered(signerd):
    path = put(signerd.home / "old" / "hsm_secret", bytes.fromhex(CONTAINER["file"]))
    given = put(signerd.home / "given", CONTAINER["passphrase"])
    arguments = ("--adopt", path, "--derivation", "hosted", "--passphrase-file", given)
    assert signerd.run("init", *arguments).code == 0
    assert signerd.run(*IDENTITY).json["node_id"] == CONTAINER["hsmd_node_id"]


# systemd-creds


def test_a_passphrase_that_systemd_encrypted_for_this_machine_opens_the_secret(signerd, right):
    tool = shutil.which("systemd-creds")
    if tool is None:
        pytest.skip("systemd-creds is not here")
    encrypted, directory = signerd.home / "hsm_passphrase.cred", signerd.home / "credentials"
    command = [tool, "encrypt", "--with-key=host", "--name=hsm_passphrase", str(right), str(encrypted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        pytest.skip(f"systemd-creds does not work here: {done.stderr.strip()}")
    assert CASE["passphrase"].encode() not in encrypted.read_bytes()
    # What LoadCredentialEncrypted= does when the service starts.
    directory.mkdir(mode=0o700)
    subprocess.run(
        [tool, "decrypt", "--name=hsm_passphrase", str(encrypted), str(directory / "hsm_passphrase")],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    (directory / "hsm_passphrase").chmod(0o400)
    done = signerd.run(*IDENTITY, CREDENTIALS_DIRECTORY=str(directory))
    assert done.code == 0, done.err
    assert done.json["node_id"] == CASE["hsmd_node_id"]
