"""The systemd unit and the container, as far as they can be judged where neither runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from helpers.world import NODE_ID, WORDS, environment

from signerd import config
from signerd.cli.main import COMMANDS, cli
from signerd.core.keys import mnemonic
from signerd.errors import ExitCode

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "systemd" / "signerd.service"
MISSING_CREDENTIAL = 243  # systemd.exec(5), EXIT_CREDENTIALS


def unit(section: str) -> dict[str, list[str]]:
    """The settings of one section of the unit, each with its values in order."""
    settings: dict[str, list[str]] = {}
    current = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif line and not line.startswith("#") and current == section:
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


SERVICE = unit("Service")


def one(key: str) -> str:
    (value,) = SERVICE[key]
    return value


# systemd


def test_service_starts_a_command_that_there_is():
    program, command = shlex.split(one("ExecStart"))

    assert program == "/opt/signerd/bin/signerd"
    assert command in COMMANDS
    assert one("Type") == "exec"


def test_service_has_a_user_and_a_private_directory_of_its_own():
    assert (one("DynamicUser"), one("User")) == ("yes", "signerd")
    assert (one("StateDirectory"), one("StateDirectoryMode")) == ("signerd", "0700")
    assert one("ConfigurationDirectory") == "signerd"
    assert one("UMask") == "0077"


def test_service_hands_over_the_secret_under_the_name_that_signerd_looks_for():
    name, _, path = one("LoadCredential").partition(":")

    assert (name, path) == (config.SECRET_FILE_NAME, "/etc/signerd/hsm_secret")
    assert "Environment" not in SERVICE


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_signerd_finds_everything_in_the_environment_that_systemd_makes(tmp_path, mode):
    """0440 is how a credential looks when systemd lets a user read it by an access list."""
    credentials, state = tmp_path / "credentials", tmp_path / "state"
    for directory in (credentials, state):
        directory.mkdir(mode=0o700)
    secret = credentials / "hsm_secret"
    secret.write_bytes(mnemonic.node_secret(mnemonic.check(WORDS)).expose())
    secret.chmod(mode)
    (tmp_path / "config.toml").write_text('network = "regtest"\n')
    env = environment(
        tmp_path,
        STATE_DIRECTORY=str(state),
        CONFIGURATION_DIRECTORY=str(tmp_path),
        CREDENTIALS_DIRECTORY=str(credentials),
    )
    del env["HOME"]

    done = subprocess.run(
        [sys.executable, "-m", "signerd", "inspect", "identity", "--json"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["node_id"], shown["network"]) == (NODE_ID.hex(), "regtest")


def test_service_restarts_but_where_a_restart_mends_nothing():
    prevented = {int(code) for code in one("RestartPreventExitStatus").split()}

    assert one("Restart") == "always"
    assert prevented == {64, 65, 66, 73, 76, 77, 78, 79, 80, MISSING_CREDENTIAL}
    assert prevented - {MISSING_CREDENTIAL} <= set(ExitCode)
    # These pass: the disk is full, another signerd still runs, nobody answers, a bug.
    passing = {ExitCode.OK, ExitCode.IO, ExitCode.TRY_LATER, ExitCode.UNAVAILABLE, ExitCode.INTERNAL}
    assert not prevented & passing
    assert unit("Unit")["StartLimitIntervalSec"] == ["0"]


def test_operations_say_the_same_about_restarts():
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", text.partition("\n## Exit codes\n")[2], re.MULTILINE)
    hopeless = {int(code) for code, helps in table if helps == "no"}
    prevented = {int(code) for code in one("RestartPreventExitStatus").split()}

    # `run` never leaves with 76 or 64 on its own, and a restart would not mend them either.
    assert hopeless <= prevented
    assert prevented - hopeless == {76, MISSING_CREDENTIAL}


def test_service_is_given_time_to_end():
    assert int(one("TimeoutStopSec").removesuffix("s")) >= 10  # signerd promises 5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LimitCORE", "0"),
        ("LimitMEMLOCK", "infinity"),
        ("MemorySwapMax", "0"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("NoNewPrivileges", "yes"),
        ("SystemCallArchitectures", "native"),
        ("MemoryDenyWriteExecute", "yes"),
        ("LockPersonality", "yes"),
        ("RestrictRealtime", "yes"),
        ("RestrictSUIDSGID", "yes"),
        ("RestrictNamespaces", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateUsers", "yes"),
        ("PrivateIPC", "yes"),
        ("PrivateMounts", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectKernelLogs", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectProc", "invisible"),
        ("ProcSubset", "pid"),
        ("RemoveIPC", "yes"),
        ("KeyringMode", "private"),
    ],
)
def test_service_is_sandboxed(key, value):
    assert one(key) == value


def test_service_reaches_the_network_and_nothing_else():
    assert one("RestrictAddressFamilies").split() == ["AF_INET", "AF_INET6", "AF_UNIX"]
    assert "PrivateNetwork" not in SERVICE
    assert "IPAddressDeny" not in SERVICE


def test_service_may_lock_memory_and_limit_itself():
    """mlockall and prlimit64 are in @system-service, and in neither group that is taken out again."""
    assert SERVICE["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert one("SystemCallErrorNumber") == "EPERM"


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed; the settings were checked above"
)
def test_systemd_rates_the_exposure_low():
    done = subprocess.run(
        [ANALYZE or "", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is too old to judge a file")

    (rating,) = re.findall(r"Overall exposure level for signerd\.service: ([\d.]+)", done.stdout)
    assert float(rating) <= 1.5


@pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed; the settings were checked above"
)
def test_systemd_knows_every_setting(tmp_path):
    """With the program replaced by one that is there, verification has nothing else to complain of."""
    copy = tmp_path / "signerd.service"
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/signerd/bin/signerd", "/bin/true"))
    done = subprocess.run(
        [ANALYZE or "", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )

    assert [line for line in (done.stdout + done.stderr).splitlines() if "signerd.service" in line] == []


# PR_SET_MDWE and PR_MDWE_REFUSE_EXEC_GAIN, kept over execve(2).
_DENY_WRITE_EXECUTE = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:
    sys.exit(99)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.slow
def test_the_whole_story_needs_no_memory_that_is_writable_and_executable(tmp_path):
    """What MemoryDenyWriteExecute= forbids, as the kernel's own switch for it (Linux 6.3)."""
    done = subprocess.run(
        [sys.executable, "-c", _DENY_WRITE_EXECUTE, "-m", "signerd", "demo"],
        env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 99:
        pytest.skip("this kernel has no PR_SET_MDWE")

    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout


# The container


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
