"""Which socket is meant, and what is said of one that is somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.control import short_directory

from signerd.cli import control, options


def path(common: dict[str, object] | None = None) -> Path:
    empty = {"config": None, "data_dir": None, "secret_file": None, "network": None, "control_socket": None}
    return control.socket_path(empty | (common or {}))


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    for name in (
        "SIGNERD_CONTROL_SOCKET",
        "SIGNERD_CONFIG",
        "SIGNERD_DATA_DIR",
        "RUNTIME_DIRECTORY",
        "XDG_RUNTIME_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(control, "OF_THE_SERVICE", tmp_path / "run" / "signerd.sock")
    return tmp_path


def test_a_named_socket_is_taken_without_a_look_at_the_configuration(empty_home, monkeypatch):
    monkeypatch.setattr(options, "settings", None)
    assert path({"control_socket": Path("/named")}) == Path("/named")
    monkeypatch.setenv("SIGNERD_CONTROL_SOCKET", "/named/too")
    assert path() == Path("/named/too")


def test_the_services_socket_is_tried_where_this_user_has_none_and_named_none(empty_home, monkeypatch):
    usual, service = empty_home / "data" / "signerd" / "signerd.sock", control.OF_THE_SERVICE
    assert path() == usual
    service.parent.mkdir()
    service.touch()
    assert path() == service
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(empty_home / "session"))
    assert path() == service
    usual.parent.mkdir(parents=True)
    usual.touch()
    assert path() == service
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert path() == usual
    usual.unlink()
    (empty_home / "config" / "signerd").mkdir(parents=True)
    (empty_home / "config" / "signerd" / "config.toml").write_text('[control]\nsocket = "/of/the/file"\n')
    assert path() == Path("/of/the/file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_directory_that_may_not_be_looked_into_is_not_taken_for_an_empty_one():
    program = (
        "import os, pathlib, sys\n"
        "from signerd.cli import control\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(control._is_there(pathlib.Path(sys.argv[1])))\n"
    )
    with short_directory() as directory:
        directory.chmod(0o700)
        done = subprocess.run(
            [sys.executable, "-c", program, str(directory / "signerd.sock")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert done.stdout == "True\n"
