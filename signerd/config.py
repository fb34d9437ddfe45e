"""The TOML file, the environment and the flags as one frozen value; unknown keys are refused."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec

from signerd import addresses, places
from signerd.core import startup
from signerd.core.pairing_auto import read_rules
from signerd.core.secret_container import Derivation
from signerd.errors import ConfigError, MalformedMessage
from signerd.places import default_config_file, default_data_dir
from signerd.units import NETWORKS, Network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Config", "Overrides", "Settings", "default_config_file", "default_data_dir", "load", "parse"]

DEFAULT_SCHEDULER_URI = "https://scheduler.gl.blckstrm.com"
SECRET_FILE_NAME = "hsm_secret"  # noqa: S105 - a name, and no secret
_PASSPHRASE = "SIGNERD_SECRET_PASSPHRASE_FILE"  # noqa: S105 - another
MIB = 1024 * 1024
DAY = 86_400
_INT32 = 2**31 - 1  # gRPC keeps sizes in one
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. Every field has its line in config.example.toml (a test compares them)."""


class SecretConfig(_Table, frozen=True):
    """[secret]"""

    file: str | None = None
    passphrase_file: str | None = None
    passphrase_credential: str | None = None
    derivation: Derivation | None = None


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


class PairingAutoConfig(_Table, frozen=True):
    """[[pairing.auto]], as often as needed"""

    name: str
    restrictions: str
    daily_limit: int


class PairingConfig(_Table, frozen=True):
    """[pairing]"""

    policy: Literal["attested", "confirm", "deny"] = "attested"
    allow_widening: bool = False
    answer_refusals: bool = False
    max_age_seconds: int = 300
    max_ahead_seconds: int = 60
    auto: tuple[PairingAutoConfig, ...] = ()


class ExportConfig(_Table, frozen=True):
    """[export]"""

    max_bytes: int = 16 * 1024 * MIB
    stall_seconds: float = 60.0


class BackoffConfig(_Table, frozen=True):
    """[backoff]"""

    first_seconds: float = 0.5
    max_seconds: float = 30.0
    stable_seconds: float = 60.0


class ControlConfig(_Table, frozen=True):
    """[control]"""

    socket: str | None = None


class AuditConfig(_Table, frozen=True):
    """[audit]"""

    keep_records: int = 500_000
    keep_days: int = 3650


class LogConfig(_Table, frozen=True):
    """[log]"""

    format: Literal["auto", "json", "text", "journal"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class MetricsConfig(_Table, frozen=True):
    """[metrics]"""

    listen: str | None = None


class Config(_Table, frozen=True):
    """The whole file."""

    network: Network = "bitcoin"
    data_dir: str | None = None
    secret: SecretConfig = SecretConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    node: NodeConfig = NodeConfig()
    pairing: PairingConfig = PairingConfig()
    export: ExportConfig = ExportConfig()
    backoff: BackoffConfig = BackoffConfig()
    control: ControlConfig = ControlConfig()
    audit: AuditConfig = AuditConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said; None where it said nothing."""

    config: Path | None = None
    data_dir: Path | None = None
    secret_file: Path | None = None
    network: Network | None = None
    control_socket: Path | None = None
    passphrase_file: Path | None = None
    passphrase_fd: int | None = None
    derivation: Derivation | None = None


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
    control_socket: Path
    passphrase_file: Path | None = None
    passphrase_fd: int | None = None
    derivation: Derivation | None = None

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
    base = path.parent if path else Path()  # without a file there is nothing to resolve
    data_dir = _data_dir(overrides, environ, config, base)
    secret, scheduler = config.secret, config.scheduler
    return Settings(
        config=config,
        config_file=path,
        network=_network(overrides, environ, config),
        data_dir=data_dir,
        secret_file=_secret_file(overrides, environ, config, base, data_dir),
        scheduler_uri=_scheduler_uri(environ, config),
        ca_file=_own_or_gl(scheduler.ca_file, base, environ, "GL_CA_CRT"),
        nobody_cert_file=_own_or_gl(scheduler.nobody_cert_file, base, environ, "GL_NOBODY_CRT"),
        nobody_key_file=_own_or_gl(scheduler.nobody_key_file, base, environ, "GL_NOBODY_KEY"),
        control_socket=_socket(overrides, environ, config, base, data_dir),
        passphrase_file=_named(overrides.passphrase_file, environ, _PASSPHRASE, secret.passphrase_file, base),
        passphrase_fd=overrides.passphrase_fd,
        derivation=overrides.derivation or secret.derivation,
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
        what, key = _readable(error)
        raise ConfigError(f"{source}: {what}", hint=_allowed(key)) from error
    _check_values(config, source)
    if config.metrics.listen:
        addresses.parse(config.metrics.listen, key=f"{source}: metrics.listen")
    return config


def _config_file(overrides: Overrides, environ: Mapping[str, str]) -> Path | None:
    named = overrides.config or (Path(c) if (c := environ.get("SIGNERD_CONFIG")) else None)
    if named:
        return named.absolute()
    return places.usual_config_file(environ)


def _network(overrides: Overrides, environ: Mapping[str, str], config: Config) -> Network:
    if overrides.network:
        return overrides.network
    named = environ.get("SIGNERD_NETWORK")
    for network in NETWORKS:
        if named == network:
            return network
    if named:
        raise ConfigError(
            f"SIGNERD_NETWORK={named!r} is no network", hint=f"use one of {', '.join(NETWORKS)}"
        )
    return config.network


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
    named = _named(overrides.data_dir, environ, "SIGNERD_DATA_DIR", config.data_dir, base)
    return named or default_data_dir(environ).absolute()


def _secret_file(
    overrides: Overrides, environ: Mapping[str, str], config: Config, base: Path, data_dir: Path
) -> Path:
    if named := _named(overrides.secret_file, environ, "SIGNERD_SECRET_FILE", config.secret.file, base):
        return named
    # systemd hands secrets over in a directory of its own (LoadCredential=).
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        handed_over = Path(credentials) / SECRET_FILE_NAME
        if os.path.lexists(handed_over):
            return handed_over
    return data_dir / SECRET_FILE_NAME


def _socket(over: Overrides, environ: Mapping[str, str], config: Config, base: Path, data_dir: Path) -> Path:
    if named := over.control_socket or environ.get("SIGNERD_SOCKET"):
        return Path(named).absolute()
    if config.control.socket:
        return places.resolve(config.control.socket, base, environ)
    systemd, xdg = environ.get("RUNTIME_DIRECTORY"), environ.get("XDG_RUNTIME_DIR")
    private = Path(systemd.split(":")[0]) if systemd else Path(xdg) / "signerd" if xdg else data_dir
    return private.absolute() / "signerd.sock"


def _named(
    flag: Path | None, environ: Mapping[str, str], variable: str, written: str | None, base: Path
) -> Path | None:
    if named := flag or environ.get(variable):
        return Path(named).absolute()
    return places.resolve(written, base, environ) if written else None


def _scheduler_uri(environ: Mapping[str, str], config: Config) -> str:
    return config.scheduler.uri or environ.get("GL_SCHEDULER_GRPC_URI") or DEFAULT_SCHEDULER_URI


def _own_or_gl(own: str | None, base: Path, environ: Mapping[str, str], variable: str) -> Path | None:
    if own:
        return places.resolve(own, base, environ)
    named = environ.get(variable)
    return Path(named).absolute() if named else None


def _refuse_unknown(table: Mapping[str, Any], source: str) -> None:
    known = known_keys()
    for key, is_table in _dotted(table):
        if key in known or key in _TABLES:
            continue
        name = key.rpartition(".")[2]
        # First the same name in another place, then the likeliest slip of a finger.
        close = [candidate for candidate in known if candidate.rpartition(".")[2] == name]
        if not close:
            close = difflib.get_close_matches(key, _TABLES if is_table else known, n=1, cutoff=0.6)
        meant = " or ".join(map(repr, close))
        raise ConfigError(
            f"{source}: unknown {'table' if is_table else 'key'} {key!r}",
            hint=f"did you mean {meant}?" if close else "config.example.toml shows every key",
        )


def _dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every key with the names of its tables before it, and whether it is a table of its own."""
    for key, value in table.items():
        if isinstance(value, dict) and prefix + key in _TABLES:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, isinstance(value, dict)


def _keys(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, msgspec.structs.FieldInfo]]:
    """Every key of the file, tables as `table.key`."""
    for item in msgspec.structs.fields(kind):
        if isinstance(item.type, type) and issubclass(item.type, _Table):
            yield from _keys(item.type, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item


_TABLES = frozenset(
    item.name
    for item in msgspec.structs.fields(Config)
    if isinstance(item.type, type) and issubclass(item.type, _Table)
)


def known_keys() -> dict[str, Any]:
    """Every key of the file → its default."""
    return {key: item.default for key, item in _keys(Config)}


_MOMENT = (0.001, DAY)
_LIMITS: Mapping[str, tuple[float, float]] = {
    "scheduler.deadline_seconds": _MOMENT,
    "scheduler.poll_seconds": _MOMENT,
    "scheduler.keepalive_seconds": _MOMENT,
    "scheduler.max_message_bytes": (1, _INT32),
    "node.max_message_bytes": (1, _INT32),
    "node.deadline_seconds": _MOMENT,
    "pairing.max_age_seconds": (1, 366 * DAY),
    "pairing.max_ahead_seconds": (0, 366 * DAY),
    "export.max_bytes": (1, 2**38),
    "export.stall_seconds": _MOMENT,
    "backoff.first_seconds": _MOMENT,
    "backoff.max_seconds": _MOMENT,
    "backoff.stable_seconds": (0, DAY),
    "audit.keep_records": (1, 10**9),
    "audit.keep_days": (1, 36_600),
}
"""Least and most of every number in the file (a test finds one that is missing)."""


def _check_values(config: Config, source: str) -> None:
    for key in known_keys():
        value = _value(config, key)
        if isinstance(value, str) and (not value or _CONTROL.search(value)):
            what = f"{source}: {key} is empty or holds control characters"
            raise ConfigError(what, hint="leave the key out to have its default")
        if key in _LIMITS:
            least, most = _LIMITS[key]
            # Written so that not-a-number does not pass.
            if not least <= value <= most:
                raise ConfigError(
                    f"{source}: {key} = {value} is out of range",
                    hint=f"it goes from {least:g} to {most:.15g}",
                )
    try:
        read_rules((rule.name, rule.restrictions, rule.daily_limit) for rule in config.pairing.auto)
    except MalformedMessage as problem:
        raise ConfigError(f"{source}: pairing.auto, {problem.message}", hint=problem.hint) from problem


def _value(config: Config, key: str) -> Any:
    table, _, name = key.rpartition(".")
    return getattr(getattr(config, table) if table else config, name)


def _readable(error: msgspec.ValidationError) -> tuple[str, str]:
    """What is wrong, in the words of TOML, and the key."""
    what, _, where = str(error).partition(" - at `$.")
    key = where.rstrip("`")
    what = what.replace(" | null", "").replace("`object`", "a table").replace("`array`", "an array")
    what = what.replace("enum value", "value")
    return f"{key}: {what[:1].lower()}{what[1:]}", key


def _allowed(key: str) -> str:
    for name, item in _keys(Config):
        if name == key and get_origin(item.type) is Literal:
            return f"use one of {', '.join(get_args(item.type))}"
    return "see config.example.toml"
