"""Files that a configuration names, each in a state in which it should not be."""

from __future__ import annotations

import os

import pytest

from signerd import config
from signerd.config import Overrides
from signerd.daemon import config_check

SCHEDULER = "[scheduler]\n"


class Surroundings:
    """A configuration file, a data directory and a secret, all as they should be."""

    def __init__(self, directory):
        self.directory = directory
        self.file = directory / "signerd.toml"
        self.secret = directory / "data" / "hsm_secret"
        self.secret.parent.mkdir(mode=0o700)
        self.secret.write_bytes(bytes(32))
        self.secret.chmod(0o600)
        self.write("")

    def write(self, text):
        self.file.write_text("data_dir = 'data'\n" + text)
        self.file.chmod(0o644)

    def found(self, level):
        settings = config.load(Overrides(config=self.file), {"HOME": "/h"})
        findings = config_check.findings(settings)
        return {finding.key: finding for finding in findings if finding.level == level}


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path)


def test_nothing_is_found_where_all_is_well(around):
    assert around.found("error") == around.found("warning") == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("uri = 'http://plain'", "scheduler.uri"),
        ("uri = 'https://'", "scheduler.uri"),
        ("ca_file = 'none.pem'", "scheduler.ca_file"),
        ("ca_file = '.'", "scheduler.ca_file"),
        ("ca_file = 'signerd.toml'", "scheduler.ca_file"),
        ("nobody_cert_file = 'signerd.toml'", "scheduler.nobody_cert_file"),
        ("nobody_key_file = 'signerd.toml'", "scheduler.nobody_cert_file"),
        ("nobody_cert_file = 'signerd.toml'\nnobody_key_file = 'none'", "scheduler.nobody_key_file"),
    ],
)
def test_a_file_that_is_not_as_it_has_to_be_is_an_error(around, text, key):
    around.write(SCHEDULER + text)

    assert set(around.found("error")) == {key}


def test_a_data_directory_that_is_a_file_is_an_error(around):
    around.file.write_text("data_dir = 'signerd.toml'\n")

    assert set(around.found("error")) == {"data_dir"}


@pytest.mark.parametrize(
    ("name", "mode", "key"),
    [
        ("signerd.toml", 0o664, ""),
        ("signerd.toml", 0o646, ""),
        ("data", 0o770, "data_dir"),
        ("data/hsm_secret", 0o640, "secret.file"),
        ("data/hsm_secret", 0o604, "secret.file"),
        ("crt", 0o666, "scheduler.nobody_cert_file"),
        ("key", 0o620, "scheduler.nobody_key_file"),
    ],
)
def test_what_others_can_change_or_may_not_read_is_a_warning_that_says_what_to_type(around, name, mode, key):
    for file in ("crt", "key"):
        (around.directory / file).write_text("-")
        (around.directory / file).chmod(0o600)
    around.write(SCHEDULER + "nobody_cert_file = 'crt'\nnobody_key_file = 'key'\n")
    assert around.found("warning") == {}

    (around.directory / name).chmod(mode)

    warnings = around.found("warning")
    assert set(warnings) == {key}
    assert warnings[key].hint.startswith("chmod ")
    assert str(around.directory / name) in warnings[key].hint


def test_a_secret_that_is_not_there_or_no_file_is_a_warning(around):
    around.secret.unlink()
    assert "signerd init" in around.found("warning")["secret.file"].hint

    around.secret.mkdir()
    assert "no regular file" in around.found("warning")["secret.file"].message


def test_a_credential_of_systemd_may_look_readable(around, monkeypatch):
    """Its group bits are the mask of an access list."""
    around.secret.chmod(0o440)
    assert set(around.found("warning")) == {"secret.file"}

    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(around.secret.parent))

    assert around.found("warning") == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_a_warning(around):
    os.chown(around.file, 12345, 12345)

    assert "belongs to user 12345" in around.found("warning")[""].message


def test_what_the_settings_warn_about_is_found_too(around):
    settings = config.load(Overrides(config=around.file), {"HOME": "/h", "SIGNERD_LOG_LEVLE": "debug"})

    (finding,) = config_check.findings(settings)
    assert "did you mean SIGNERD_LOG_LEVEL?" in finding.message
