"""The container and the pinned packages, as far as they can be judged where no engine runs."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from signerd import config
from signerd.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    word: str
    rest: str


def dockerfile() -> list[Instruction]:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [
        Instruction(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
        for line in text.splitlines()
        if line
    ]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for instruction in dockerfile():
        if instruction.word == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def only(stage: list[Instruction], word: str) -> str:
    (instruction,) = [instruction for instruction in stage if instruction.word == word]
    return instruction.rest


def variables(stage: list[Instruction]) -> dict[str, str]:
    pairs = [pair for i in stage if i.word == "ENV" for pair in shlex.split(i.rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def test_container_is_built_in_two_stages_on_one_base_that_can_be_pinned():
    first, *_ = dockerfile()
    build, final = stages()

    assert (first.word, first.rest) == ("ARG", "PYTHON_IMAGE=python:3.13-slim")
    assert build[0].rest == "${PYTHON_IMAGE} AS build"
    assert final[0].rest == "${PYTHON_IMAGE}"
    assert "@sha256:" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_container_has_a_python_that_signerd_runs_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["requires-python"] == ">=3.11,<3.14"


def test_container_copies_files_that_are_there_and_reach_the_build():
    allowed = [
        line.removeprefix("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    for stage in stages():
        for instruction in stage:
            if instruction.word == "COPY" and not instruction.rest.startswith("--from="):
                *sources, _target = shlex.split(instruction.rest)
                for source in sources:
                    assert (ROOT / source).exists(), source
                    assert source.rstrip("/") in allowed, source


def test_nothing_but_what_is_copied_reaches_the_build():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    copied = {
        source.rstrip("/")
        for instruction in stages()[0]
        if instruction.word == "COPY"
        for source in shlex.split(instruction.rest)[:-1]
    }

    assert patterns[0] == "*"
    assert {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")} == copied


def test_container_installs_only_what_is_pinned_by_hash():
    commands = [
        command.strip()
        for instruction in stages()[0]
        if instruction.word == "RUN"
        for command in instruction.rest.split("&&")
    ]
    fetching = [command for command in commands if " -r " in command]
    assert all("--require-hashes" in command for command in fetching)
    # What comes as source is built with pinned tools, and signerd from nothing but what was copied.
    building = [command for command in commands if " wheel " in command]
    assert all("--no-build-isolation" in command for command in building)
    offline = [command for command in commands if "/wheels/" in command or command.endswith(" .")]
    assert all({"--no-deps", "--no-index"} <= set(command.split()) for command in offline)
    assert [Path(shlex.split(command)[-1]).name for command in fetching] == ["build.txt", "runtime.txt"]
    assert len(fetching) + len(offline) == len([c for c in commands if " install " in c or " wheel " in c])


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_a_hash(path):
    entries = [
        entry.strip()
        for entry in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if entry.strip() and not entry.strip().startswith("#")
    ]
    assert entries
    for entry in entries:
        assert re.match(r"[\w.\[\]-]+==[\w.]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_container_does_not_run_as_root():
    _, final = stages()
    user, group = only(final, "USER").split(":")

    assert int(user) >= 1000
    assert user == group
    owner = re.search(r"--owner=(\d+) --group=(\d+)", only(final, "RUN"))
    assert owner is not None
    assert owner.groups() == (user, group)
    assert f"user {user}" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_container_keeps_what_has_to_last_in_its_volume():
    _, final = stages()
    directory = only(final, "VOLUME")

    assert directory == only(final, "WORKDIR")
    assert directory == variables(final)["SIGNERD_DATA_DIR"]
    assert directory in only(final, "RUN")
    settings = config.load(config.Overrides(), variables(final))
    assert (settings.data_dir, settings.secret_file) == (Path(directory), Path(directory) / "hsm_secret")


def test_container_runs_the_daemon_and_hears_signals():
    _, final = stages()

    assert json.loads(only(final, "ENTRYPOINT")) == ["signerd"]
    assert json.loads(only(final, "CMD")) == ["run"]
    assert cli.get_command(click.Context(cli), "run") is not None
    assert only(final, "STOPSIGNAL") == "SIGTERM"
    assert variables(final)["PATH"].startswith("/opt/signerd/bin:")


def test_container_holds_no_secret():
    for instruction in dockerfile():
        if instruction.word in {"ENV", "ARG"}:
            assert not re.search(r"SECRET|PASSWORD|TOKEN|WORDS", instruction.rest), instruction
        assert instruction.word != "ADD"
        assert not re.search(r"hsm_secret|credentials\.gfs", instruction.rest), instruction
