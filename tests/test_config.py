"""Flags before environment before file before defaults; and a file that is refused rather than guessed at."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from helpers.example_config import uncommented
from hypothesis import given
from hypothesis import strategies as st

from signerd import config
from signerd.config import Overrides
from signerd.errors import ConfigError
from signerd.units import NETWORKS

ROOT = Path(__file__).resolve().parent.parent
HOME = {"HOME": "/home/nobody-here"}


def refusal(text: str) -> ConfigError:
    """The error for a file with this text; that it names the file is checked for all of them."""
    with pytest.raises(ConfigError) as refused:
        config.parse(text, source="signerd.toml")
    assert refused.value.message.startswith("signerd.toml")
    return refused.value


@pytest.fixture
def file(tmp_path):
    """A configuration file that names everything that the other sources can name too."""
    path = tmp_path / "etc" / "signerd.toml"
    path.parent.mkdir()
    path.write_text(
        'network = "signet"\n'
        'data_dir = "/from/file"\n'
        "[secret]\n"
        'file = "/from/file/secret"\n'
        "[scheduler]\n"
        'uri = "https://from.file"\n'
        'ca_file = "/from/file/ca"\n'
        'nobody_cert_file = "/from/file/crt"\n'
        'nobody_key_file = "/from/file/key"\n'
        "[control]\n"
        'socket = "/from/file/socket"\n'
    )
    return path


# Precedence


SOURCES = ("default", "file", "environment", "flag")  # each is stronger than those before it


@pytest.mark.parametrize("strongest", SOURCES)
@pytest.mark.parametrize(
    "setting",  # its name, its variable, its flag, and what it is with each source
    [
        (
            "data_dir",
            {"SIGNERD_DATA_DIR": "/from/environment"},
            Path("/from/flag"),
            {
                "default": Path("/home/nobody-here/.local/share/signerd"),
                "file": Path("/from/file"),
                "environment": Path("/from/environment"),
                "flag": Path("/from/flag"),
            },
        ),
        (
            "secret_file",
            {"SIGNERD_SECRET_FILE": "/from/environment"},
            Path("/from/flag"),
            {
                "default": Path("/home/nobody-here/.local/share/signerd/hsm_secret"),
                "file": Path("/from/file/secret"),
                "environment": Path("/from/environment"),
                "flag": Path("/from/flag"),
            },
        ),
        (
            "control_socket",
            {"SIGNERD_CONTROL_SOCKET": "/from/environment"},
            Path("/from/flag"),
            {
                "default": Path("/home/nobody-here/.local/share/signerd/signerd.sock"),
                "file": Path("/from/file/socket"),
                "environment": Path("/from/environment"),
                "flag": Path("/from/flag"),
            },
        ),
        (
            "network",
            {"SIGNERD_NETWORK": "testnet"},
            "regtest",
            {"default": "bitcoin", "file": "signet", "environment": "testnet", "flag": "regtest"},
        ),
    ],
    ids=lambda setting: setting[0],
)
def test_the_strongest_source_that_speaks_wins(file, strongest, setting):
    name, variable, flag, expected = setting
    speaking = SOURCES[: SOURCES.index(strongest) + 1]
    overrides = Overrides(
        config=file if "file" in speaking else None, **({name: flag} if "flag" in speaking else {})
    )
    environ = {**HOME, **(variable if "environment" in speaking else {})}

    assert getattr(config.load(overrides, environ), name) == expected[strongest]


def test_config_file_comes_from_the_flag_then_the_environment_then_its_usual_place(tmp_path):
    def write(name: str, network: str) -> Path:
        path = tmp_path / name / "signerd" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f'network = "{network}"')
        return path

    by_flag, by_variable, usual = write("a", "regtest"), write("b", "testnet"), write("c", "signet")
    usual_only = {"XDG_CONFIG_HOME": str(tmp_path / "c"), **HOME}
    with_variable = {"SIGNERD_CONFIG": str(by_variable), **usual_only}

    assert config.load(Overrides(config=by_flag), with_variable).config_file == by_flag
    assert config.load(Overrides(), with_variable).config_file == by_variable
    assert config.load(Overrides(), with_variable).network == "testnet"
    settings = config.load(Overrides(), usual_only)
    assert (settings.config_file, settings.network) == (usual, "signet")
    assert config.load(Overrides(), HOME).config_file is None


GL = {
    "GL_SCHEDULER_GRPC_URI": "https://from.environment",
    "GL_CA_CRT": "/from/environment/ca",
    "GL_NOBODY_CRT": "/from/environment/crt",
    "GL_NOBODY_KEY": "/from/environment/key",
}


def test_variables_of_greenlight_are_taken_where_the_file_says_nothing():
    settings = config.load(Overrides(), {**HOME, **GL})

    assert settings.scheduler_uri == "https://from.environment"
    assert settings.ca_file == Path("/from/environment/ca")
    assert settings.nobody_cert_file == Path("/from/environment/crt")
    assert settings.nobody_key_file == Path("/from/environment/key")


def test_variables_of_greenlight_rank_below_the_file(file):
    settings = config.load(Overrides(config=file), {**HOME, **GL})

    assert settings.scheduler_uri == "https://from.file"
    assert settings.ca_file == Path("/from/file/ca")
    assert settings.nobody_cert_file == Path("/from/file/crt")
    assert settings.nobody_key_file == Path("/from/file/key")


def test_without_any_word_the_service_is_greenlights_own():
    settings = config.load(Overrides(), HOME)

    assert settings.scheduler_uri == config.DEFAULT_SCHEDULER_URI
    assert (settings.ca_file, settings.nobody_cert_file, settings.nobody_key_file) == (None, None, None)


def test_an_empty_variable_counts_as_not_set():
    environ = dict.fromkeys(("SIGNERD_CONFIG", "SIGNERD_DATA_DIR", "SIGNERD_SECRET_FILE", *GL), "")

    assert config.load(Overrides(), HOME) == config.load(
        Overrides(), {**environ, "SIGNERD_NETWORK": "", **HOME}
    )


def test_refuses_a_variable_that_names_no_network():
    with pytest.raises(ConfigError, match=r"^SIGNERD_NETWORK: network: invalid value 'mainnet'") as refused:
        config.load(Overrides(), {"SIGNERD_NETWORK": "mainnet", **HOME})

    assert sorted((refused.value.hint or "").removeprefix("use one of ").split(", ")) == sorted(NETWORKS)


# Where things are


def test_the_control_socket_is_in_the_runtime_directory_of_systemd_or_of_the_session():
    session = {"XDG_RUNTIME_DIR": "/run/user/7", **HOME}
    system = {"RUNTIME_DIRECTORY": "/run/signerd:/run/more", **session}

    def place(environ: dict[str, str]) -> Path:
        return config.load(Overrides(), environ).control_socket

    assert place(system) == Path("/run/signerd/signerd.sock")
    assert place(session) == Path("/run/user/7/signerd/signerd.sock")
    assert place({"SIGNERD_DATA_DIR": "/data", **HOME}) == Path("/data/signerd.sock")
    assert place({"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": "", **HOME}) == place(HOME)


def test_relative_paths_of_the_file_start_at_its_directory(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file = tmp_path / "conf" / "signerd.toml"
    file.parent.mkdir()
    file.write_text('data_dir = "../state"\n[secret]\nfile = "keys/s"\n[scheduler]\nca_file = "ca.pem"\n')

    settings = config.load(Overrides(config=Path("../conf/signerd.toml")), HOME)

    assert settings.data_dir == tmp_path / "state"
    assert settings.secret_file == tmp_path / "conf/keys/s"
    assert settings.ca_file == tmp_path / "conf/ca.pem"


def test_relative_paths_of_flags_and_variables_start_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    by_flag = config.load(Overrides(data_dir=Path("state"), secret_file=Path("s")), HOME)
    by_variable = config.load(
        Overrides(), {"SIGNERD_DATA_DIR": "state", "SIGNERD_SECRET_FILE": "s", "GL_CA_CRT": "ca.pem", **HOME}
    )

    assert (by_flag.data_dir, by_flag.secret_file) == (tmp_path / "state", tmp_path / "s")
    assert (by_variable.data_dir, by_variable.secret_file) == (tmp_path / "state", tmp_path / "s")
    assert by_variable.ca_file == tmp_path / "ca.pem"


def test_a_tilde_in_the_file_is_the_home_directory(tmp_path):
    file = tmp_path / "signerd.toml"
    file.write_text('data_dir = "~/state"\n[secret]\nfile = "~"\n')

    settings = config.load(Overrides(config=file), HOME)

    assert settings.data_dir == Path("/home/nobody-here/state")
    assert settings.secret_file == Path("/home/nobody-here")


def test_every_path_in_the_settings_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {**HOME, "STATE_DIRECTORY": "state", "CONFIGURATION_DIRECTORY": "conf"}
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.toml").write_text("")

    settings = config.load(Overrides(), environ)

    assert settings.data_dir.is_absolute()
    assert settings.secret_file.is_absolute()
    assert settings.config_file is not None
    assert settings.config_file.is_absolute()


def test_credentials_and_store_live_in_the_data_directory():
    settings = config.load(Overrides(data_dir=Path("/d")), HOME)

    assert settings.credentials_file == Path("/d/credentials.gfs")
    assert settings.state_file == Path("/d/signerd.db")
    assert settings.secret_file == Path("/d/hsm_secret")


# systemd


def test_directories_of_systemd_are_used_before_those_of_the_user(tmp_path):
    (tmp_path / "config.toml").write_text('network = "signet"')
    environ = {
        "STATE_DIRECTORY": "/var/lib/signerd:/var/lib/other",
        "CONFIGURATION_DIRECTORY": str(tmp_path),
        "XDG_DATA_HOME": "/xdg/data",
        "XDG_CONFIG_HOME": "/xdg/config",
        **HOME,
    }

    settings = config.load(Overrides(), environ)

    assert settings.data_dir == Path("/var/lib/signerd")
    assert settings.config_file == tmp_path / "config.toml"
    assert settings.network == "signet"


def test_directories_of_xdg_are_used_before_those_in_home():
    assert config.default_data_dir({"XDG_DATA_HOME": "/xdg/data", **HOME}) == Path("/xdg/data/signerd")
    assert Path("/xdg/config/signerd/config.toml") == config.default_config_file(
        {"XDG_CONFIG_HOME": "/xdg/config", **HOME}
    )


def test_a_secret_that_systemd_hands_over_is_found(tmp_path):
    (tmp_path / "hsm_secret").write_bytes(bytes(32))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/signerd"}

    assert config.load(Overrides(), environ).secret_file == tmp_path / "hsm_secret"


def test_a_secret_that_systemd_hands_over_ranks_below_every_word_about_it(tmp_path, file):
    (tmp_path / "hsm_secret").write_bytes(bytes(32))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), **HOME}

    assert config.load(Overrides(config=file), environ).secret_file == Path("/from/file/secret")
    assert config.load(Overrides(), {"SIGNERD_SECRET_FILE": "/e", **environ}).secret_file == Path("/e")
    assert config.load(Overrides(secret_file=Path("/f")), environ).secret_file == Path("/f")


def test_credentials_of_systemd_without_a_secret_change_nothing(tmp_path):
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/signerd"}

    assert config.load(Overrides(), environ).secret_file == Path("/var/lib/signerd/hsm_secret")


def test_needs_no_home_where_it_is_told_the_data_directory():
    for environ in ({"STATE_DIRECTORY": "/var/lib/signerd"}, {"SIGNERD_DATA_DIR": "/var/lib/signerd"}):
        assert config.load(Overrides(), environ).data_dir == Path("/var/lib/signerd")
    assert config.load(Overrides(data_dir=Path("/d")), {}).data_dir == Path("/d")


def test_says_what_to_name_where_there_is_no_home():
    with pytest.raises(ConfigError, match="HOME is not set") as refused:
        config.load(Overrides(), {})

    assert "--data-dir" in (refused.value.hint or "")


# Unknown keys


@pytest.mark.parametrize(
    ("text", "unknown", "meant"),
    [
        ('netwrok = "regtest"', "key 'netwrok'", "'network'"),
        ('data-dir = "/d"', "key 'data-dir'", "'data_dir'"),
        ('policy = "deny"', "key 'policy'", "'pairing.policy'"),
        ('uri = "https://h"', "key 'uri'", "'scheduler.uri'"),
        (
            "max_message_bytes = 1",
            "key 'max_message_bytes'",
            "'scheduler.max_message_bytes' or 'node.max_message_bytes'",
        ),
        ('[secret]\nfiel = "/s"', "key 'secret.fiel'", "'secret.file'"),
        ('[pairing]\npolcy = "deny"', "key 'pairing.polcy'", "'pairing.policy'"),
        ('[paring]\npolicy = "deny"', "table 'paring'", "'pairing'"),
        ('[shceduler]\nuri = "https://h"', "table 'shceduler'", "'scheduler'"),
        ("[log.format]\ncolour = true", None, None),
    ],
)  # fmt: skip
def test_refuses_an_unknown_key_and_says_what_was_meant(text, unknown, meant):
    problem = refusal(text)

    if unknown is None:
        assert "log.format: expected" in problem.message
    else:
        assert problem.message == f"signerd.toml: unknown {unknown}"
        assert problem.hint == f"did you mean {meant}?"


def test_refuses_an_unknown_key_that_resembles_nothing():
    assert refusal("zzz = 1").hint == "config.example.toml shows every key"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_no_key_is_taken_that_is_not_known(key):
    if key in config.known_keys() or key in {name.partition(".")[0] for name in config.known_keys()}:
        return
    assert "unknown key" in refusal(f"{_quoted(key)} = 1").message


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'


# Values


@pytest.mark.parametrize(
    "text",
    [
        "network = 1",
        "data_dir = true",
        "scheduler = 3",
        '[[scheduler]]\nuri = "https://h"',
        "[scheduler.uri]\nx = 1",
        '[scheduler]\ndeadline_seconds = "30"',
        "[scheduler]\ndeadline_seconds = true",
        "[scheduler]\ncompression = 1",
        "[pairing]\nmax_age_seconds = 1.5",
        '[pairing]\nallow_widening = "yes"',
        "[secret]\nfile = 1979-05-27",
    ],
)
def test_refuses_a_value_of_another_type_and_names_the_key(text):
    problem = refusal(text)

    table = text.partition("]")[0].strip("[") if text.startswith("[") else ""
    key = text.splitlines()[-1].partition(" ")[0]
    assert (key in problem.message) or (table in problem.message)
    assert "expected" in problem.message


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ('network = "mainnet"', "bitcoin, testnet, signet, regtest"),
        ('[pairing]\npolicy = "allow"', "attested, confirm, deny"),
        ('[log]\nlevel = "INFO"', "debug, error, info, warning"),
        ('[log]\nformat = "xml"', "auto, json, text, journal"),
    ],
)
def test_refuses_a_choice_that_there_is_not_and_shows_those_that_there_are(text, choices):
    hint = refusal(text).hint or ""

    assert sorted(choices.split(", ")) == sorted(hint.removeprefix("use one of ").split(", "))


NUMBERS = [
    key
    for key, default in config.known_keys().items()
    if type(default) in (int, float) and key != "config_version"
]


def _document(key: str, value: str) -> str:
    table, _, name = key.rpartition(".")
    return f"[{table}]\n{name} = {value}\n"


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", "9999999999999999999999"])
def test_refuses_a_number_that_makes_no_sense(key, value):
    if value in ("nan", "inf", "-inf") and type(config.known_keys()[key]) is int:
        assert f"{key}: expected `int`" in refusal(_document(key, value)).message
        return
    problem = refusal(_document(key, value))

    assert f"signerd.toml: {key} = " in problem.message
    assert (problem.hint or "").startswith("it goes from ")


@pytest.mark.parametrize(
    "key", [k for k in NUMBERS if k not in {"pairing.max_ahead_seconds", "backoff.stable_seconds"}]
)
def test_refuses_zero_where_it_would_mean_never_or_nothing(key):
    assert f"{key} = 0" in refusal(_document(key, "0")).message


@pytest.mark.parametrize("key", NUMBERS)
def test_takes_the_least_and_the_most_that_the_hint_tells(key):
    hint = refusal(_document(key, "-1")).hint or ""
    least, most = hint.removeprefix("it goes from ").split(" to ")

    for value in (least, most):
        config.parse(_document(key, value), source="signerd.toml")


def test_a_float_may_be_written_without_a_point():
    assert config.parse("[scheduler]\ndeadline_seconds = 5", source="x").scheduler.deadline_seconds == 5.0


TEXTS = ["data_dir", "secret.file", "scheduler.uri", "scheduler.ca_file", "scheduler.nobody_cert_file",
         "scheduler.nobody_key_file", "node.version"]  # fmt: skip


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize("value", ['""', r'"a\u0000b"', r'"a\nb"'])
def test_refuses_an_empty_text_and_one_with_control_characters(key, value):
    table, _, name = key.rpartition(".")
    text = f"[{table}]\n{name} = {value}" if table else f"{name} = {value}"

    assert refusal(text).message == f"signerd.toml: {key} is empty or holds control characters"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ('name = "till-*"\nrestrictions = ""\ndaily_limit = 3', "pairing.auto[0].restrictions is empty"),
        (
            'name = "till-*"\nrestrictions = "method^list"\ndaily_limit = 0',
            "pairing.auto[0].daily_limit = 0 is out of range",
        ),
        ('name = "till-*"\nrestrictions = "method^list"', "daily_limit"),
        ('name = "till-*"\nrestrictions = "method^list"\ndaily_limit = 3\nlimit = 3', "limit"),
    ],
)
def test_refuses_a_pairing_rule_that_makes_no_sense(rule, problem):
    assert problem in refusal(f"[[pairing.auto]]\n{rule}\n").message


# The file itself


def test_refuses_broken_toml_and_says_where():
    problem = refusal('network = "regtest"\ndata_dir = \n')

    assert "is not valid TOML" in problem.message
    assert "line 2" in problem.message


def test_refuses_the_same_key_twice():
    assert "is not valid TOML" in refusal('network = "regtest"\nnetwork = "signet"').message


def test_refuses_a_file_that_is_not_utf8(tmp_path):
    path = tmp_path / "signerd.toml"
    path.write_bytes(b'data_dir = "/\xff"')

    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        config.load(Overrides(config=path), HOME)


def test_refuses_a_file_without_an_end():
    with pytest.raises(ConfigError, match="/dev/zero is longer than 1048576 bytes"):
        config.load(Overrides(config=Path("/dev/zero")), HOME)


def test_refuses_a_file_that_was_named_and_is_not_there(tmp_path):
    for overrides, environ in (
        (Overrides(config=tmp_path / "none.toml"), HOME),
        (Overrides(), {"SIGNERD_CONFIG": str(tmp_path / "none.toml"), **HOME}),
    ):
        with pytest.raises(ConfigError, match=r"no configuration file at .*none\.toml"):
            config.load(overrides, environ)


def test_refuses_a_directory_in_place_of_a_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(Overrides(config=tmp_path), HOME)


def test_refuses_to_go_on_without_a_usual_file_that_cannot_be_looked_at(tmp_path):
    circle = tmp_path / "signerd"
    circle.symlink_to(circle)

    with pytest.raises(ConfigError, match="cannot read"):
        config.load(Overrides(), {"XDG_CONFIG_HOME": str(tmp_path), **HOME})


def test_an_empty_file_means_the_defaults():
    assert config.parse("", source="x") == config.Config()


# config.example.toml


def test_example_shows_every_key_and_no_other():
    assert set(_flat(tomllib.loads(uncommented()))) == set(config.known_keys())


def test_example_as_it_stands_is_the_defaults():
    text = (ROOT / "config.example.toml").read_text()

    assert config.parse(text, source="config.example.toml") == config.Config()


def test_example_shows_the_default_of_every_key_that_has_one():
    shown = _flat(tomllib.loads(uncommented()))

    for key, default in config.known_keys().items():
        if default not in (None, ()):  # of a list, an example is shown
            assert (key, shown[key]) == (key, default)
            assert type(default) is type(shown[key]), key


def test_example_with_every_key_in_force_is_valid():
    config.parse(uncommented(), source="config.example.toml")


def test_example_explains_every_key():
    paragraphs = (ROOT / "config.example.toml").read_text().split("\n\n")
    for paragraph in paragraphs:
        lines = paragraph.splitlines()
        if any(line[:1] == "#" and line[1:2].strip() for line in lines):
            assert any(line.startswith("# ") for line in lines), paragraph


def test_every_network_is_known_to_the_file():
    for network in NETWORKS:
        assert config.parse(f'network = "{network}"', source="x").network == network


def _flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
