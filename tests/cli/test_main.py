"""The command line as a whole: help, exit codes, and what it loads."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from helpers.world import REPOSITORY, environment

from signerd.cli.main import COMMANDS
from signerd.errors import ExitCode


def test_help_lists_every_command_and_every_exit_code(signerd):
    done = signerd.run("--help")
    assert done.code == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.out, re.MULTILINE), name
    text = " ".join(done.out.split())
    for code in ExitCode:
        assert re.search(rf"\b{int(code)}\b", text), code


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_the_common_manners(signerd, name):
    done = signerd.run(name, "--help")
    assert done.code == 0, done.err
    assert done.out.startswith("Usage: signerd")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no such command"),
        (["--nonsense"], "no such option"),
        (["inspect", "nonsense"], "no such command"),
        (["rune", "decode"], "missing argument"),
        (["init", "--words", "13"], "13"),
        (["run", "--network", "liquid"], "liquid"),
        (["init", "--import", "--adopt", "x"], "do not go together"),
    ],
)
def test_a_wrong_command_line_leaves_with_64(signerd, arguments, says):
    done = signerd.run(*arguments)
    assert done.code == ExitCode.USAGE
    assert says in done.err
    assert "Traceback" not in done.err


def test_says_its_version(signerd):
    assert signerd.run("--version").out.startswith("signerd 0.")


def test_an_error_that_nobody_reads_still_has_its_code(signerd):
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "signerd", "nope"], env=environment(signerd.home), stderr=write,
            stdout=subprocess.DEVNULL, timeout=30, check=False, cwd=REPOSITORY,
        )  # fmt: skip
    finally:
        os.close(write)
    assert done.returncode == ExitCode.USAGE


def test_a_closed_pipe_gets_no_complaint(signerd):
    signerd.put_secret()
    command = f"{sys.executable} -m signerd inspect identity | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(signerd.home), capture_output=True, text=True,
        timeout=30, check=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert not done.stderr
    # 0 where all was written before the reader went away.
    assert done.stdout.strip() in ("0", "74")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["decrypt-export", "--help"], ["decrypt-export", "nowhere"]]
)
def test_help_and_decrypt_export_load_no_network_library(signerd, arguments):
    script = (
        "import sys; from signerd.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally:\n"
        "    heavy = [m for m in sys.modules if m.split('.')[0] in ('grpc', 'google')]\n"
        "    print(heavy, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=environment(signerd.home), capture_output=True,
        text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[]"
