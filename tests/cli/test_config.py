"""`signerd config`: judged, shown, described and brought up to date, offline."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from signerd.cli import config as command
from signerd.errors import ExitCode
from signerd.store import config_file
from signerd.tables.format import Format
from signerd.tables.migration import Rename

SCHEDULER = "[scheduler]\n"


@pytest.fixture
def file(signerd):
    path = signerd.home / "signerd.toml"
    path.write_text('network = "regtest"\n[log]\nlevel = "debug"  # for now\n')
    path.chmod(0o644)
    return path


def check(signerd, *arguments, **env):
    return signerd.run("config", "check", "--json", *arguments, **env)


def findings(done, level):
    return {item["key"]: item for item in json.loads(done.out)["findings"] if item["level"] == level}


# check


def test_a_right_configuration_is_ok(signerd, file):
    signerd.put_secret()
    signerd.data_dir.chmod(0o700)

    done = signerd.run("config", "check", "--config", file)

    assert (done.code, done.out, done.err) == (0, f"{file}: ok\n", "")
    assert check(signerd, "--config", file).json == {
        "v": 1,
        "ok": True,
        "config_file": str(file),
        "findings": [],
    }


def test_a_wrong_configuration_leaves_with_the_units_code(signerd, file):
    file.write_text("[log]\nlevle = 'debug'\n")

    done = signerd.run("config", "check", "--config", file)

    assert done.code == ExitCode.CONFIG
    assert f"{file}: unknown key 'log.levle'" in done.err
    assert "did you mean 'log.level'?" in done.err


def test_a_secret_that_is_not_there_yet_is_a_warning(signerd, file):
    """`run` has an exit code of its own for that, and `config check` comes before `init`."""
    done = check(signerd, "--config", file)

    assert done.code == 0
    assert "signerd init" in findings(done, "warning")["secret.file"]["hint"]


def test_what_keeps_run_from_starting_is_an_error(signerd, file):
    file.write_text(SCHEDULER + "ca_file = 'none.pem'\n")

    done = check(signerd, "--config", file)

    assert done.code == ExitCode.CONFIG
    assert set(findings(done, "error")) == {"scheduler.ca_file"}
    assert json.loads(done.out)["ok"] is False
    assert "error: scheduler.ca_file: " in done.err


def test_a_variable_that_is_none_is_a_warning_for_every_command(signerd, file):
    for words in (("config", "check"), ("config", "show")):
        done = signerd.run(*words, "--config", file, SIGNERD_LOG_LEVLE="debug")
        assert done.code == 0
        assert "did you mean SIGNERD_LOG_LEVEL?" in done.err


# show


def test_shows_what_holds_as_toml_and_who_said_it(signerd, file):
    done = signerd.run(
        "config", "show", "--origin", "--config", file, "--set", "backoff.max_seconds=9",
        SIGNERD_PAIRING_POLICY="deny",
    )  # fmt: skip

    assert f'log.level = "debug"  # file: {file} line 3' in done.out
    assert "backoff.max_seconds = 9.0  # flag: --set" in done.out
    assert 'pairing.policy = "deny"  # environment: SIGNERD_PAIRING_POLICY' in done.out
    assert f'data_dir = "{signerd.data_dir}"  # default: HOME' in done.out
    assert "# scheduler.ca_file is not set  # default" in done.out
    shown = tomllib.loads(signerd.run("config", "show", "--config", file).out)
    assert tomllib.loads(done.out)["log"] == shown["log"]
    assert shown["log"]["level"] == "debug"


def test_what_is_shown_is_a_configuration_that_means_the_same(signerd, file):
    again = signerd.home / "again.toml"
    again.write_text(signerd.run("config", "show", "--config", file).out)

    assert signerd.run("config", "show", "--config", again).out == again.read_text()


def test_shows_the_same_as_json(signerd, file):
    shown = signerd.run("config", "show", "--json", "--config", file).json

    assert shown["config_file"] == str(file)
    assert shown["settings"]["log.level"] == {
        "value": "debug",
        "source": "file",
        "name": str(file),
        "line": 3,
    }
    assert shown["settings"]["log.format"] == {
        "value": "auto",
        "source": "default",
        "name": None,
        "line": None,
    }


# schema and example


def test_prints_the_schema_that_the_repository_has(signerd):
    done = signerd.run("config", "schema")

    assert json.loads(done.out) == json.loads(json.dumps(command.made_schema()))


def test_prints_an_example_that_can_be_used_as_it_is(signerd):
    path = signerd.home / "example.toml"
    path.write_text(signerd.run("config", "example").out)

    assert signerd.run("config", "check", "--config", path).code == 0


# migrate


def test_a_file_of_today_is_left_alone(signerd, file):
    before = file.read_bytes()

    done = signerd.run("config", "migrate", "--json", "--config", file)

    assert done.code == 0
    assert done.json == {
        "v": 1,
        "config_file": str(file), "from_version": 1, "to_version": 1, "copy": None, "text": None,
    }  # fmt: skip
    assert file.read_bytes() == before
    assert list(file.parent.glob("*.bak*")) == []


def test_a_file_of_a_later_signerd_is_refused_and_left_alone(signerd, file):
    file.write_text("config_version = 99\n")
    for words in (("config", "migrate"), ("config", "check"), ("run",)):
        done = signerd.run(*words, "--config", file)
        assert done.code == ExitCode.CONFIG
        assert "config_version = 99, and this one knows 1" in done.err
    assert file.read_text() == "config_version = 99\n"


def test_migrating_without_a_file_says_so(signerd):
    done = signerd.run("config", "migrate")

    assert done.code == ExitCode.CONFIG
    assert "there is no configuration file" in done.err


def test_an_earlier_file_is_rewritten_and_kept(tmp_path, monkeypatch, capsys):
    """There is no other format than today's yet, so this one is made up."""
    from signerd import config

    later = Format(config.Config, config.FORMAT.limits, ((Rename("net", "network"),),))
    monkeypatch.setattr(config, "FORMAT", later)
    path = tmp_path / "config.toml"
    old, new = '# mine\nnet = "signet"\n', 'config_version = 2\n# mine\nnetwork = "signet"\n'
    path.write_text(old)

    command.migrate.main(["--config", str(path), "--dry-run"], standalone_mode=False)
    assert (capsys.readouterr().out, path.read_text()) == (new, old)
    command.migrate.main(["--config", str(path), "--json"], standalone_mode=False)

    document = json.loads(capsys.readouterr().out)
    assert (document["from_version"], document["to_version"]) == (1, 2)
    assert path.read_text() == new
    assert Path(document["copy"]).read_text() == old


def test_replacing_a_file_keeps_what_was_there_with_its_mode(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o640)

    copy = config_file.replace(path, "new", version=1)

    assert (path.read_text(), copy.name, copy.read_text()) == ("new", "config.toml.v1.bak", "old")
    assert path.stat().st_mode & 0o777 == copy.stat().st_mode & 0o777 == 0o640


def test_a_copy_is_never_replaced(tmp_path):
    path = tmp_path / "config.toml"
    copies = []
    for text in ("first", "second", "third"):
        path.write_text(text)
        copies.append(config_file.replace(path, "new", version=1))

    assert [copy.read_text() for copy in copies] == ["first", "second", "third"]
    assert [copy.name for copy in copies[1:]] == ["config.toml.v1.bak.2", "config.toml.v1.bak.3"]
    path.write_text("second")
    assert config_file.replace(path, "new", version=1) == copies[1]


def test_replacing_a_link_replaces_what_it_leads_to(tmp_path):
    (tmp_path / "etc").mkdir()
    real = tmp_path / "etc" / "real.toml"
    real.write_text("old")
    link = tmp_path / "config.toml"
    link.symlink_to(real)

    copy = config_file.replace(link, "new", version=1)

    assert link.is_symlink()
    assert (real.read_text(), copy.parent) == ("new", real.parent)


def test_a_file_of_somebody_else_stays_theirs(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "config.toml"
    path.write_text("old")
    os.chown(path, 12345, 12346)

    copy = config_file.replace(path, "new", version=1)

    for written in (path, copy):
        assert (written.stat().st_uid, written.stat().st_gid) == (12345, 12346)
