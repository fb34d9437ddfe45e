"""The TOML file, the environment and the flags as one frozen value; unknown keys are refused."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from signerd.core import startup
from signerd.errors import ConfigError
from signerd.units import NETWORKS, Network

DEFAULT_SCHEDULER_URI = "https://scheduler.gl.blckstrm.com"
SECRET_FILE_NAME = "hsm_secret"
MIB = 1024 * 1024


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. Every field has its line in config.example.toml (a test compares them)."""


class SecretConfig(_Table, frozen=True):
    """[secret]"""

    file: str | None = None


class SchedulerConfig(_Table, frozen=True):
    """[scheduler]"""

    uri: str | None = None
    ca_file: str | None = None
    nobody_cert_file: str | None = None
    nobody_key_file: str | None = None
    deadline_seconds: float = 30.0
    poll_seconds: float = 300.0
    keepalive_seconds: float = 330.0
    max_message_bytes: int = 4 * MIB
    compression: bool = False


class NodeConfig(_Table, frozen=True):
    """[node]"""

    version: str = startup.DEFAULT_VERSION
    max_message_bytes: int = 64 * MIB
    deadline_seconds: float = 30.0


class PairingConfig(_Table, frozen=True):
    """[pairing]"""

    policy: Literal["attested", "deny"] = "attested"
    allow_widening: bool = False
    answer_refusals: bool = False
    max_age_seconds: int = 300
    max_ahead_seconds: int = 60


class BackoffConfig(_Table, frozen=True):
    """[backoff]"""

    first_seconds: float = 0.5
    max_seconds: float = 30.0
    stable_seconds: float = 60.0


class LogConfig(_Table, frozen=True):
    """[log]"""

    format: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(_Table, frozen=True):
    """The whole file."""

    network: Network = "bitcoin"
    data_dir: str | None = None
    secret: SecretConfig = SecretConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    node: NodeConfig = NodeConfig()
    pairing: PairingConfig = PairingConfig()
    backoff: BackoffConfig = BackoffConfig()
    log: LogConfig = LogConfig()


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said; None where it said nothing."""

    config: Path | None = None
    data_dir: Path | None = None
    secret_file: Path | None = None
    network: Network | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds after flags, environment, file and defaults: paths are absolute."""

    config: Config
    config_file: Path | None
    network: Network
    data_dir: Path
    secret_file: Path
    scheduler_uri: str
    ca_file: Path | None
    nobody_cert_file: Path | None
    nobody_key_file: Path | None

    @property
    def credentials_file(self) -> Path:
        """The credentials blob, under the name that glcli uses."""
        return self.data_dir / "credentials.gfs"

    @property
    def state_file(self) -> Path:
        """The SQLite store of this signer's decisions."""
        return self.data_dir / "signerd.db"


def load(overrides: Overrides, environ: Mapping[str, str]) -> Settings:
    """Read and check everything. Raises ConfigError naming the file, the key and the mend."""
    path = _config_file(overrides, environ)
    config = parse(_read(path), source=str(path)) if path else Config()
    base = path.parent if path else Path.cwd()
    data_dir = _data_dir(overrides, environ, config, base)
    scheduler = config.scheduler
    network = overrides.network or environ.get("SIGNERD_NETWORK") or config.network
    if network not in NETWORKS:
        raise ConfigError(
            f"SIGNERD_NETWORK={network!r} is no network", hint=f"use one of {', '.join(NETWORKS)}"
        )
    return Settings(
        config=config,
        config_file=path,
        network=network,
        data_dir=data_dir,
        secret_file=_secret_file(overrides, environ, config, base, data_dir),
        scheduler_uri=_scheduler_uri(environ, config),
        ca_file=_own_or_gl(scheduler.ca_file, base, environ, "GL_CA_CRT"),
        nobody_cert_file=_own_or_gl(scheduler.nobody_cert_file, base, environ, "GL_NOBODY_CRT"),
        nobody_key_file=_own_or_gl(scheduler.nobody_key_file, base, environ, "GL_NOBODY_KEY"),
    )


def parse(text: str, *, source: str) -> Config:
    """The file's text as a Config. Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}", hint="mend that line") from error
    _refuse_unknown(table, source)
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_readable(error)}", hint="see config.example.toml") from error
    _check_ranges(config, source)
    return config


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """systemd's StateDirectory, else $XDG_DATA_HOME/signerd, else ~/.local/share/signerd."""
    if state := environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    if data_home := environ.get("XDG_DATA_HOME"):
        return Path(data_home) / "signerd"
    return _home(environ) / ".local" / "share" / "signerd"


def default_config_file(environ: Mapping[str, str]) -> Path:
    """systemd's ConfigurationDirectory, else $XDG_CONFIG_HOME, else ~/.config/signerd/config.toml."""
    if directory := environ.get("CONFIGURATION_DIRECTORY"):
        return Path(directory.split(":")[0]) / "config.toml"
    if config_home := environ.get("XDG_CONFIG_HOME"):
        return Path(config_home) / "signerd" / "config.toml"
    return _home(environ) / ".config" / "signerd" / "config.toml"


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    if not home:
        raise ConfigError(
            "no home directory: HOME is not set", hint="name the directory with --data-dir and --config"
        )
    return Path(home)


def _config_file(overrides: Overrides, environ: Mapping[str, str]) -> Path | None:
    named = overrides.config or (Path(c) if (c := environ.get("SIGNERD_CONFIG")) else None)
    if named:
        return named.absolute()
    if overrides.data_dir and not environ.get("HOME"):
        return None
    usual = default_config_file(environ)
    return usual if usual.exists() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file at {path}", hint="check --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check its permissions") from error


def _data_dir(overrides: Overrides, environ: Mapping[str, str], config: Config, base: Path) -> Path:
    if overrides.data_dir:
        return overrides.data_dir.absolute()
    if named := environ.get("SIGNERD_DATA_DIR"):
        return Path(named).absolute()
    if config.data_dir:
        return _resolve(config.data_dir, base, environ)
    return default_data_dir(environ).absolute()


def _secret_file(
    overrides: Overrides, environ: Mapping[str, str], config: Config, base: Path, data_dir: Path
) -> Path:
    if overrides.secret_file:
        return overrides.secret_file.absolute()
    if named := environ.get("SIGNERD_SECRET_FILE"):
        return Path(named).absolute()
    if config.secret.file:
        return _resolve(config.secret.file, base, environ)
    # systemd hands secrets over in a directory of its own (LoadCredential=).
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        handed_over = Path(credentials) / SECRET_FILE_NAME
        if handed_over.exists():
            return handed_over
    return data_dir / SECRET_FILE_NAME


def _scheduler_uri(environ: Mapping[str, str], config: Config) -> str:
    return config.scheduler.uri or environ.get("GL_SCHEDULER_GRPC_URI") or DEFAULT_SCHEDULER_URI


def _own_or_gl(own: str | None, base: Path, environ: Mapping[str, str], variable: str) -> Path | None:
    if own:
        return _resolve(own, base, environ)
    named = environ.get(variable)
    return Path(named).absolute() if named else None


def _resolve(text: str, base: Path, environ: Mapping[str, str]) -> Path:
    """A path of the file: `~` is the home directory, relative ones start at the file's own directory."""
    if text == "~" or text.startswith("~/"):
        return _home(environ) / text[2:]
    return Path(os.path.normpath(base / text))


def _refuse_unknown(table: Mapping[str, Any], source: str) -> None:
    known = known_keys()
    for key in _dotted(table):
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.6) or [
                candidate for candidate in known if candidate.endswith("." + key.rpartition(".")[2])
            ]
            raise ConfigError(
                f"{source}: unknown key {key!r}",
                hint=f"did you mean {close[0]!r}?" if close else "config.example.toml shows every key",
            )


def _dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict) and f"{prefix}{key}" in _TABLES:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _keys(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the file with its default, tables as `table.key`."""
    for item in msgspec.structs.fields(kind):
        if isinstance(item.type, type) and issubclass(item.type, _Table):
            yield from _keys(item.type, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item.default


_TABLES = frozenset(
    item.name
    for item in msgspec.structs.fields(Config)
    if isinstance(item.type, type) and issubclass(item.type, _Table)
)


def known_keys() -> dict[str, Any]:
    """Every key of the file → its default."""
    return dict(_keys(Config))


def _check_ranges(config: Config, source: str) -> None:
    positive = {
        "scheduler.deadline_seconds": config.scheduler.deadline_seconds,
        "scheduler.poll_seconds": config.scheduler.poll_seconds,
        "scheduler.keepalive_seconds": config.scheduler.keepalive_seconds,
        "scheduler.max_message_bytes": config.scheduler.max_message_bytes,
        "node.max_message_bytes": config.node.max_message_bytes,
        "node.deadline_seconds": config.node.deadline_seconds,
        "pairing.max_age_seconds": config.pairing.max_age_seconds,
        "backoff.first_seconds": config.backoff.first_seconds,
        "backoff.max_seconds": config.backoff.max_seconds,
    }
    for key, value in positive.items():
        if value <= 0:
            raise ConfigError(f"{source}: {key} must be above zero, not {value}")
    if config.pairing.max_ahead_seconds < 0:
        raise ConfigError(f"{source}: pairing.max_ahead_seconds must not be negative")
    if not config.node.version:
        raise ConfigError(f"{source}: node.version must not be empty")


def _readable(error: msgspec.ValidationError) -> str:
    text = str(error)
    what, _, where = text.partition(" - at `$.")
    return f"{where.rstrip('`')}: {what[:1].lower()}{what[1:]}" if where else text
