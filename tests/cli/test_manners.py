"""What every command does alike: questions, colours, and documents with a version."""

from __future__ import annotations

import ast
import io
import json
import re

import click
import pytest
from helpers.terminal import Terminal
from helpers.world import REPOSITORY, environment

from signerd.cli import output
from signerd.cli.main import COMMANDS, cli
from signerd.errors import Interrupted


def every_command():
    def walk(command, path):
        if not isinstance(command, click.Group):
            yield path, {option for param in command.params for option in param.opts}
            return
        for name in command.list_commands(click.Context(command)):
            yield from walk(command.get_command(click.Context(command), name), f"{path} {name}".strip())

    return dict(walk(cli, ""))


ALL = every_command()


# Questions


def test_every_command_that_takes_settings_can_be_told_not_to_ask():
    for path, opts in ALL.items():
        if "--config" in opts:
            assert {"--no-input", "--set", "--data-dir", "--secret-file", "--network"} <= opts, path


def test_every_command_that_asks_can_be_answered_beforehand():
    sources = (REPOSITORY / "signerd" / "cli").glob("*.py")
    asking = {path.stem for path in sources if "output.confirm(" in path.read_text()}

    answered = {path.partition(" ")[0] for path, opts in ALL.items() if "--yes" in opts}
    assert asking == answered


@pytest.mark.parametrize("words", [("--no-input", "init"), ("init", "--no-input")])
def test_no_input_asks_for_no_words_even_on_a_terminal(words, tmp_path):
    terminal = Terminal(*words, env=environment(tmp_path))

    assert terminal.end() == 130
    assert "not asked, because of --no-input" in terminal.shown
    assert "signerd init --import" in terminal.shown
    assert not (tmp_path / ".local").exists()


def test_no_input_does_not_keep_words_from_a_pipe(signerd):
    words = "abandon " * 11 + "about"

    assert signerd.run("init", "--import", "--no-input", "--network", "regtest", stdin=words).code == 0


def test_no_input_fails_a_question_and_names_its_flag():
    with click.Context(click.Command("x")) as context:
        context.meta[output.NO_INPUT] = True
        with pytest.raises(Interrupted, match=r"Sure\?: not asked, because of --no-input") as refused:
            output.confirm("Sure?")
        output.confirm("Sure?", yes=True)

    assert refused.value.hint == "add --yes to go on without asking"


# Colours


class TerminalText(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(environ, coloured, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert output.colours(TerminalText()) is coloured
    assert output.colours(io.StringIO()) is False


# Documents


def test_an_error_is_a_document_of_the_same_version(signerd):
    done = signerd.run("inspect", "identity", "--json")

    assert json.loads(done.out)["v"] == output.JSON_VERSION == 1
    assert done.json["code"] == done.code == 66


def test_documents_are_made_in_one_place():
    """Every other `dumps` makes no document of `--json`, or gives it its version by itself."""
    others = {"config.py": 3, "dev.py": 1, "init.py": 1}
    for path in (REPOSITORY / "signerd" / "cli").glob("*.py"):
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and node.attr == "dumps"
        ]
        allowed = 1 if path.name in {"output.py", "shared.py"} else others.get(path.name, 0)
        assert len(calls) <= allowed or '"v"' in path.read_text(), path.name


def test_every_command_with_json_is_in_the_document_about_json():
    text = (REPOSITORY / "docs" / "json.md").read_text()
    shown = set(re.findall(r"^\| `signerd ([a-z -]+)`", text, re.MULTILINE))

    assert shown == {path for path, opts in ALL.items() if "--json" in opts} | {"replay", "devices"}
    assert {path.partition(" ")[0] for path in ALL} == set(COMMANDS)
