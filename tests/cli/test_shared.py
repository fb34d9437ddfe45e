"""Completions and man pages: made from the parser, current in the repository, working in shells here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from helpers.world import REPOSITORY, environment

from signerd.cli import completion, manpage, shared
from signerd.cli.main import COMMANDS, cli
from signerd.config import known_keys
from signerd.errors import ExitCode

BIN = Path(sys.executable).parent
PAGES = manpage.pages()


def test_what_the_repository_has_is_what_signerd_makes():
    """`.ci/share` writes them."""
    made = shared.files()
    there = {
        str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "share").rglob("*") if path.is_file()
    }

    assert there == {name for name in made if name.startswith("share/")}
    for name, text in made.items():
        assert (REPOSITORY / name).read_text(encoding="utf-8") == text, f"{name}: run .ci/share"


# Completion


def completed(line: str, home: Path) -> list[str]:
    """What a bash completes, with nothing but our script and our program."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    words = line.split(" ")
    script = f"""
        source {REPOSITORY}/share/bash-completion/completions/signerd
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
        _signerd_completion signerd '{words[-1]}' '{words[-2]}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = environment(home) | {"PATH": f"{BIN}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("signerd ", list(COMMANDS)),
        ("signerd co", ["config", "completion"]),
        ("signerd config s", ["show", "schema"]),
        ("signerd run --netw", ["--network"]),
        ("signerd run --network re", ["regtest"]),
        ("signerd completion z", ["zsh"]),
    ],
)
def test_bash_completes_commands_options_and_choices(line, expected, tmp_path):
    assert sorted(completed(line, tmp_path)) == sorted(expected)


def test_completing_loads_nothing_heavy(tmp_path):
    env = environment(
        tmp_path, _SIGNERD_COMPLETE="bash_complete", COMP_WORDS="signerd run --", COMP_CWORD="2",
        PYTHONPROFILEIMPORTTIME="1",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "signerd"], env=env, capture_output=True, text=True, check=False
    )

    assert "plain,--config" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in loaded
    heavy = {"grpc", "google", "cryptography", "msgspec", "structlog", "rich", "asyncio", "coincurve"}
    assert not heavy & loaded
    assert {name for name in loaded if name.startswith("signerd.")} <= {
        "signerd.cli", "signerd.cli.main", "signerd.cli.options", "signerd.cli.output", "signerd.errors",
        "signerd.cli.completion", "signerd.cli.run", "signerd.cli.node_secret", "signerd.units",
        "signerd.__main__",
    }  # fmt: skip


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_prints_the_script_of_every_shell(shell, signerd):
    done = signerd.run("completion", shell)

    assert done.out == completion.script(shell) + "\n"
    assert completion.VARIABLE in done.out


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_shell_takes_its_script(shell, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}")
    path = tmp_path / "script"
    path.write_text(completion.script(shell))

    done = subprocess.run([program, "-n", str(path)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


# Man pages


def plain(page: str) -> str:
    """A page's text without roff."""
    text = re.sub(r"\\f[BIR]", "", page).replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
    return re.sub(r"\\\[u([0-9A-F]{4,6})\]", lambda match: chr(int(match[1], 16)), text)


def test_there_is_a_page_for_every_command():
    assert set(PAGES) == {"signerd.1", "signerd.toml.5", *(f"signerd-{name}.1" for name in COMMANDS)}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_plain_roff_with_the_usual_sections(name):
    page = PAGES[name]

    assert page.isascii()
    assert page.splitlines()[1].startswith(f'.TH "{name.rpartition(".")[0].upper()}"'.replace("-", "\\-"))
    wanted = {"NAME", "DESCRIPTION", "SEE ALSO", "KEYS" if name.endswith("5") else "EXIT STATUS"}
    assert wanted <= set(re.findall(r"^\.SH (.*)$", page, re.MULTILINE))
    # No line of text is taken for a command.
    known = (".TH", ".SH", ".PP", ".nf", ".fi", ".TP", ".B ", ".br", '.\\"')
    assert [
        line for line in page.splitlines() if line.startswith((".", "'")) and not line.startswith(known)
    ] == []


def every_command():
    def walk(command, context, page):
        yield command, context, page
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                yield from walk(inner, click.Context(inner, info_name=name, parent=context), page)

    root = click.Context(cli, info_name="signerd")
    for name in COMMANDS:
        command = cli.get_command(root, name)
        yield from walk(command, click.Context(command, info_name=name, parent=root), f"signerd-{name}.1")


def test_every_option_and_usage_is_on_its_page():
    for command, context, name in every_command():
        page = plain(PAGES[name])
        assert context.command_path in page
        for param in command.params:
            for option in param.opts if isinstance(param, click.Option) else ():
                assert option in page, f"{name}: {option}"


def test_the_main_page_tells_every_exit_code_and_command():
    page = plain(PAGES["signerd.1"])

    for code in ExitCode:
        assert f"\n{int(code)}\n" in page
    for name in COMMANDS:
        assert f"signerd-{name}(1)" in page


def test_the_page_of_the_file_tells_every_key():
    page = plain(PAGES["signerd.toml.5"])

    for key in known_keys():
        assert f"\n{key}\n" in page


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_complaint(name, tmp_path):
    path = tmp_path / name
    path.write_text(PAGES[name])
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8", str(path)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
