"""The container and the pinned packages, as far as they can be judged where no engine runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from helpers import dockerfile
from helpers.dockerfile import only, stages, variables
from helpers.world import NODE_ID, WORDS

import signerd
from signerd import config
from signerd.cli.main import COMMANDS, cli
from signerd.core.keys import mnemonic
from signerd.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent


def test_container_is_built_in_two_stages_on_one_base_that_can_be_pinned():
    first, *_ = dockerfile.instructions()
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
    assert f"user {user}" in (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    assert compose()["user"] == f"{user}:{group}"
    assert (quadlet("Container")["User"], quadlet("Container")["Group"]) == ([user], [group])


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
    for instruction in dockerfile.instructions():
        if instruction.word in {"ENV", "ARG"}:
            assert not re.search(r"SECRET|PASSWORD|TOKEN|WORDS", instruction.rest), instruction
        assert instruction.word != "ADD"
        assert not re.search(r"hsm_secret|credentials\.gfs", instruction.rest), instruction


def test_nothing_that_runs_in_the_container_needs_a_shell():
    _, final = stages()
    health = only(final, "HEALTHCHECK")
    for form in (only(final, "ENTRYPOINT"), only(final, "CMD"), health.partition(" CMD ")[2]):
        assert json.loads(form)
    # Nothing is left to be run but at the end: the directories are made while the image is.
    assert [i.word for i in final].index("RUN") < [i.word for i in final].index("USER")


@pytest.mark.xfail("health" not in COMMANDS, reason="there is no `signerd health` yet", strict=True)
def test_the_health_check_is_a_command_that_there_is():
    _, final = stages()
    image = json.loads(only(final, "HEALTHCHECK").partition(" CMD ")[2])

    assert image == ["signerd", "health"]
    assert compose()["healthcheck"]["test"] == ["CMD", *image]
    assert json.loads(quadlet("Container")["HealthCmd"][0]) == image
    assert image[1] in COMMANDS


def test_the_container_finds_secrets_where_engines_mount_them():
    _, final = stages()
    env = variables(final)

    assert env["CREDENTIALS_DIRECTORY"] == "/run/secrets"
    assert compose()["secrets"] == [config.SECRET_FILE_NAME]
    (secret,) = quadlet("Container")["Secret"]
    assert secret == f"{config.SECRET_FILE_NAME},type=mount,uid=10001,gid=10001,mode=0400"


def test_the_image_says_what_it_is():
    _, final = stages()
    labels = dict(pair.split("=", 1) for pair in shlex.split(only(final, "LABEL")))

    wanted = {"title", "description", "licenses", "version", "revision", "base.name"}
    assert {f"org.opencontainers.image.{name}" for name in wanted} == set(labels)
    (version,) = (i.rest.partition("=")[2] for i in final if i.rest.startswith("VERSION="))
    assert version == signerd.__version__


# Compose, and Podman


def compose() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    service: dict[str, Any] = document["services"]["signerd"]
    assert set(service["secrets"]) == set(document["secrets"])
    return service


def quadlet(section: str) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    current = ""
    for line in (ROOT / "deploy" / "signerd.container").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif line and not line.startswith("#"):
            key, separator, value = line.partition("=")
            assert separator, line
            if current == section:
                settings.setdefault(key, []).append(value)
    return settings


def test_compose_runs_it_without_privileges_and_with_a_root_that_is_read_only():
    service = compose()

    assert service["command"] == json.loads(only(stages()[1], "CMD"))
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert (service["ulimits"]["core"], service["ulimits"]["memlock"]) == (0, -1)
    assert service["mem_limit"] == service["memswap_limit"]  # no swap beyond it
    assert not {"privileged", "ports", "cap_add", "network_mode", "pid"} & set(service)
    (tmpfs,) = service["tmpfs"]
    assert tmpfs.partition(":")[0] == variables(stages()[1])["RUNTIME_DIRECTORY"]
    assert service["volumes"] == [f"signerd:{only(stages()[1], 'VOLUME')}"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= 10  # signerd promises 5


def test_the_quadlet_runs_it_without_privileges_and_with_a_root_that_is_read_only():
    container, service = quadlet("Container"), quadlet("Service")

    assert (container["ReadOnly"], container["DropCapability"]) == (["true"], ["all"])
    assert (container["NoNewPrivileges"], container["Notify"]) == (["true"], ["true"])
    assert not {"PublishPort", "AddCapability", "Network", "SecurityLabelDisable"} & set(container)
    assert container["Tmpfs"][0].partition(":")[0] == variables(stages()[1])["RUNTIME_DIRECTORY"]
    assert container["Volume"] == [f"signerd:{only(stages()[1], 'VOLUME')}"]
    unit = (ROOT / "systemd" / "signerd.service").read_text(encoding="utf-8")
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*) 243$", unit, re.MULTILINE)
    assert service["RestartPreventExitStatus"] == [codes]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="an image is built by root")
@pytest.mark.skipif("CI" not in os.environ, reason="takes a minute or more; CI builds it, and CI=1 does")
def test_the_image_that_the_dockerfile_makes_runs_as_an_engine_would_run_it(tmp_path):
    """The Dockerfile's own steps, as they are, above this machine's files in the place of the base image."""
    commands = [["--version"], ["inspect", "identity", "--json", "--network", "regtest"], ["run"]]
    if "config" in COMMANDS:
        commands.append(["config", "check"])
    secret = mnemonic.node_secret(mnemonic.check(WORDS)).expose()
    done = subprocess.run(
        ["unshare", "--mount", "--ipc", sys.executable, "-m", "helpers.image", tmp_path, json.dumps(commands),
         secret.hex()],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    version, identity, run, *checked = json.loads(done.stdout)
    assert version["out"] == f"signerd {signerd.__version__}\n", version
    assert json.loads(identity["out"])["node_id"] == NODE_ID.hex(), identity
    assert run["code"] == ExitCode.NO_PERMISSION
    assert "signerd register" in run["err"]
    assert [each["code"] for each in checked] == [0] * len(checked), checked
