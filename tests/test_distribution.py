"""The wheel and the sdist: the same bytes wherever they are built, and all there once installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest
from helpers.world import environment

import signerd
from signerd.cli import shared
from signerd.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "signerd", "proto", "systemd", "docs", "share", "pyproject.toml", "LICENSE", "config.example.toml",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ".gitignore",
)  # fmt: skip


def copy_of_the_sources(target: Path, *, umask: int, moment: int) -> Path:
    """The sources as another builder has them: other modes, other times, another order on disk."""
    before = os.umask(umask)
    try:
        target.mkdir(parents=True)
        for name in SOURCES if moment % 2 else reversed(SOURCES):
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, target / name, copy_function=shutil.copyfile, ignore=ignored)
            else:
                shutil.copyfile(source, target / name)
    finally:
        os.umask(before)
    for path in target.rglob("*"):
        os.utime(path, (moment, moment))
    return target


def build(source: Path, out: Path, *, umask: int = 0o022, **env: str) -> dict[str, Path]:
    """Wheel and sdist, by the pinned back end."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(out)],
        cwd=source, env=environment(out.parent, **env) | {"PYTHONPATH": ""}, capture_output=True, text=True,
        check=False, umask=umask,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.suffix: path for path in out.iterdir()}


@pytest.fixture(scope="module")
def distribution(tmp_path_factory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("first")
    return build(copy_of_the_sources(directory / "a", umask=0o022, moment=1_700_000_001), directory / "out")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_another_builder_gets_the_same_bytes(distribution, tmp_path):
    source = copy_of_the_sources(tmp_path / "deep" / "elsewhere", umask=0o077, moment=1_100_000_000)
    again = build(source, tmp_path / "out", umask=0o077, TZ="Asia/Kathmandu", PYTHONHASHSEED="7", LC_ALL="C")

    assert set(again) == {".whl", ".gz"}
    for suffix, path in again.items():
        assert (path.name, digest(path)) == (distribution[suffix].name, digest(distribution[suffix]))


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(distribution, tmp_path):
    with tarfile.open(distribution[".gz"]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()

    assert digest(build(source, tmp_path / "out")[".whl"]) == digest(distribution[".whl"])


@pytest.fixture(scope="module")
def installed(distribution, tmp_path_factory) -> Path:
    """A fresh environment with the wheel alone; the packages that it needs are those of the tests."""
    prefix = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(prefix, with_pip=False, symlinks=True)
    python = prefix / "bin" / "python"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install",
         "--no-deps", "--no-index", "--no-warn-script-location", str(distribution[".whl"])],
        env=environment(prefix), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (site,) = prefix.glob("lib/python*/site-packages")
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "packages-of-the-tests.pth").write_text("\n".join(sorted(paths)) + "\n")
    return prefix


def run(prefix: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = environment(prefix, **more)
    del env["PYTHONPATH"]
    program = str(prefix / "bin" / "signerd")
    return subprocess.run(
        [program, *arguments], cwd=prefix, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_an_installed_signerd_runs(installed):
    assert run(installed, "--version").stdout == f"signerd {signerd.__version__}\n"
    for name in COMMANDS:
        done = run(installed, name, "--help") if name in {"run", "dev", "config"} else None
        assert done is None or done.returncode == 0, done.stderr
    where = run(installed, "inspect", "identity")
    assert where.returncode == 66  # no secret here, and so every module of that command was found


@pytest.mark.slow
def test_an_installed_signerd_is_not_the_one_of_the_tests(installed):
    python = installed / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", "import signerd; print(signerd.__file__)"],
        cwd=installed, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(installed))


@pytest.mark.slow
def test_an_installed_signerd_has_its_example_and_its_schema(installed):
    example = (ROOT / "config.example.toml").read_text(encoding="utf-8")

    assert run(installed, "config", "example").stdout == example
    assert run(installed, "config", "schema").stdout == (ROOT / "docs/config.schema.json").read_text("utf-8")


@pytest.mark.slow
def test_completions_and_man_pages_are_where_shells_and_man_look_for_them(installed):
    for name, text in shared.files().items():
        if name.startswith("share/"):
            assert (installed / name).read_text(encoding="utf-8") == text
