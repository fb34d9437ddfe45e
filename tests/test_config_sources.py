"""Every key can be said by flag, variable and file; what holds, and who said it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from signerd import config
from signerd.config import FORMAT, Overrides
from signerd.errors import ConfigError, UsageError
from signerd.tables.format import Format
from signerd.tables.keys import Key, keys
from signerd.tables.layers import Origin
from signerd.tables.migration import Rename
from signerd.tables.values import is_number

KEYS = dict(FORMAT.settable)
HOME = {"HOME": "/home/nobody-here"}
GL = {
    "GL_SCHEDULER_GRPC_URI": "https://from.environment",
    "GL_CA_CRT": "/from/environment/ca",
    "GL_NOBODY_CRT": "/from/environment/crt",
    "GL_NOBODY_KEY": "/from/environment/key",
}


SAMPLES = {"metrics.listen": ('"127.0.0.1:9100"', '"unix:/run/metrics"')}
"""For keys that take only some texts."""


def sample(key: Key) -> tuple[str, str]:
    """Two values of a key that are not its default, as they are written after `=` in the file."""
    if key.name in SAMPLES:
        return SAMPLES[key.name]
    if key.choices:
        others = [f'"{choice}"' for choice in key.choices if choice != key.default]
        return others[0], others[-1]
    if isinstance(key.default, bool):
        return str(not key.default).lower(), str(not key.default).lower()
    if is_number(key):
        point = ".5" if isinstance(key.default, float) else ""
        return f"61{point}", f"67{point}"
    if key.elements is not None or isinstance(key.default, tuple | list):
        pytest.skip("tried in tests/tables")
    return '"https://one"', '"https://two"'


def spoken(value: str) -> str:
    """The same as a flag or a variable has it: texts without quotes."""
    return value.strip('"')


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_taken_from_the_file_a_variable_and_a_flag_in_this_order(name, tmp_path):
    one, two = sample(KEYS[name])
    file = tmp_path / "c.toml"
    file.write_text(f"{name} = {one}\n")
    variable = {f"SIGNERD_{name.upper().replace('.', '_')}": spoken(two)}
    flag = (f"{name}={spoken(one)}",)

    def origin(assignments=(), **environ):
        settings = config.load(Overrides(config=file, assignments=assignments), {**HOME, **environ})
        return settings.origins[name], settings.values[name]

    assert origin()[0] == Origin("file", str(file), 1)
    assert origin(**variable)[0] == Origin("environment", next(iter(variable)))
    assert origin(flag, **variable)[0] == Origin("flag", "--set")
    if one != two:
        assert origin()[1] != origin(**variable)[1]
    if "path" not in KEYS[name].marks:
        assert origin()[1] == origin(flag, **variable)[1]


@pytest.mark.parametrize(
    ("overrides", "name", "flag"),
    [
        (Overrides(data_dir=Path("/d")), "data_dir", "--data-dir"),
        (Overrides(secret_file=Path("/s")), "secret.file", "--secret-file"),
        (Overrides(network="signet"), "network", "--network"),
    ],
)
def test_flags_of_their_own_are_named(overrides, name, flag):
    assert config.load(overrides, HOME).origins[name] == Origin("flag", flag)


def test_a_flag_of_its_own_and_set_about_one_key_are_refused_as_typed_wrong():
    with pytest.raises(UsageError, match="--network and --set network say two things"):
        config.load(Overrides(network="signet", assignments=("network=regtest",)), HOME)


@pytest.mark.parametrize("assignment", ["log.level=loud", "log.levle=debug", "log.level", "config_version=1"])
def test_a_wrong_flag_is_typed_wrong(assignment):
    with pytest.raises(UsageError, match="--set"):
        config.load(Overrides(assignments=(assignment,)), HOME)


def test_variables_of_greenlight_are_named():
    origins = config.load(Overrides(), {**HOME, **GL}).origins

    assert origins["scheduler.uri"] == Origin("environment", "GL_SCHEDULER_GRPC_URI")
    assert origins["scheduler.nobody_key_file"] == Origin("environment", "GL_NOBODY_KEY")


def test_our_variable_is_stronger_than_greenlights():
    environ = {**HOME, **GL, "SIGNERD_SCHEDULER_URI": "https://ours", "SIGNERD_SCHEDULER_CA_FILE": "/ours"}
    settings = config.load(Overrides(), environ)

    assert (settings.scheduler_uri, settings.ca_file) == ("https://ours", Path("/ours"))


def test_defaults_say_what_made_them(tmp_path):
    (tmp_path / "hsm_secret").write_bytes(bytes(32))
    plain = config.load(Overrides(), HOME).origins
    systemd = config.load(
        Overrides(), {"STATE_DIRECTORY": "/s", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    ).origins

    assert (plain["data_dir"], plain["secret.file"]) == (
        Origin("default", "HOME"),
        Origin("default", "data_dir"),
    )
    assert systemd["data_dir"] == Origin("default", "STATE_DIRECTORY")
    assert systemd["secret.file"] == Origin("default", "CREDENTIALS_DIRECTORY")
    assert plain["log.level"] == Origin("default")


def test_every_key_has_an_origin_and_a_value():
    settings = config.load(Overrides(), HOME)

    assert set(settings.origins) == set(settings.values) == set(config.known_keys())
    assert settings.values["scheduler.uri"] == config.DEFAULT_SCHEDULER_URI
    assert settings.values["data_dir"] == str(settings.data_dir)


def test_paths_of_variables_and_flags_start_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = config.load(
        Overrides(assignments=("scheduler.nobody_key_file=k",)), {**HOME, "SIGNERD_SCHEDULER_CA_FILE": "ca"}
    )

    assert (settings.ca_file, settings.nobody_key_file) == (tmp_path / "ca", tmp_path / "k")


def test_a_variable_that_is_no_setting_is_a_warning_with_the_likely_one():
    settings = config.load(Overrides(), {**HOME, "SIGNERD_LOG_LEVLE": "debug", "SIGNERD_ZZZZZZZZ": "1"})

    assert settings.warnings == (
        "the environment holds SIGNERD_LOG_LEVLE, which is no setting; did you mean SIGNERD_LOG_LEVEL?",
        "the environment holds SIGNERD_ZZZZZZZZ, which is no setting",
    )
    assert (
        config.load(Overrides(), {**HOME, "SIGNERD_CONFIG": "", "SIGNERD_NETWORK": "signet"}).warnings == ()
    )


def test_variables_that_a_container_platform_makes_are_no_settings_and_no_warning():
    names = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_443_TCP_ADDR")
    environ = {**HOME, **{f"SIGNERD_{name}": "10.0.0.1" for name in names}}

    assert config.load(Overrides(), environ).warnings == ()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIGNERD_LOG_LEVEL", "loud"),
        ("SIGNERD_BACKOFF_MAX_SECONDS", "0"),
        ("SIGNERD_PAIRING_ALLOW_WIDENING", "1"),
        ("SIGNERD_DATA_DIR", "a\x00b"),
        ("SIGNERD_NODE_VERSION", "a\nb"),
    ],
)
def test_refuses_a_wrong_variable_by_its_name(variable, value):
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        config.load(Overrides(), {**HOME, variable: value})


def test_a_file_of_an_earlier_format_is_read_and_warned_about(tmp_path, monkeypatch):
    """There is no other format than today's yet, so this one is made up."""
    later = Format(config.Config, FORMAT.limits, ((Rename("net", "network"),),))
    monkeypatch.setattr(config, "FORMAT", later)
    file = tmp_path / "c.toml"
    file.write_text('net = "signet"\n')

    settings = config.load(Overrides(config=file), HOME)

    assert settings.network == "signet"
    assert "signerd config migrate" in settings.warnings[0]
    file.write_text('config_version = 2\nnetwork = "signet"\n')
    assert config.load(Overrides(config=file), HOME).warnings == ()


# What other places rely on


def test_every_key_that_names_a_file_is_marked_as_one():
    """So that its relative paths begin where they should, and `config check` looks at it."""
    for name, key in keys(config.Config, inside_lists=True).items():
        if re.search(r"(^|[._])(file|dir|directory|socket|path)$", name):
            assert "path" in key.marks, name


def test_no_key_holds_a_secret():
    """Secrets are in files: a configuration is shown, copied and mailed."""
    for name, key in keys(config.Config, inside_lists=True).items():
        if re.search(r"(passphrase|password|token|secret|private|words|key)$", name):
            assert "path" in key.marks or not key.is_text, name


def test_every_number_has_its_limits():
    numbers = {name for name, key in keys(config.Config, inside_lists=True).items() if is_number(key)}

    assert numbers == set(FORMAT.limits)


def test_no_two_keys_share_a_variable():
    assert len(config.VARIABLES) == len(KEYS)
    assert not set(config.VARIABLES) & config.OTHER_VARIABLES
