"""The TOML file, the environment and the flags as one frozen value; unknown keys are refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from signerd import addresses, places
from signerd.config_keys import LIMITS, MIGRATIONS, Config, PairingConfig
from signerd.errors import ConfigError, MalformedMessage, UsageError
from signerd.places import default_config_file, default_data_dir
from signerd.tables import keys, layers, migration
from signerd.tables.format import Format
from signerd.tables.layers import Layer, Origin
from signerd.units import Derivation, Network

__all__ = [
    "Config",
    "Overrides",
    "PairingConfig",
    "Settings",
    "default_config_file",
    "default_data_dir",
    "load",
    "parse",
]

DEFAULT_SCHEDULER_URI = "https://scheduler.gl.blckstrm.com"
SECRET_FILE_NAME = "hsm_secret"  # noqa: S105 - a name, and no secret
_MAX_FILE = 1024 * 1024


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line said; None where it said nothing. `assignments` are those of --set."""

    config: Path | None = None
    data_dir: Path | None = None
    secret_file: Path | None = None
    network: Network | None = None
    control_socket: Path | None = None
    passphrase_file: Path | None = None
    passphrase_fd: int | None = None
    derivation: Derivation | None = None
    assignments: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds after flags, environment, file and defaults: paths are absolute, also those in `config`."""

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
    origins: Mapping[str, Origin] = msgspec.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def credentials_file(self) -> Path:
        """The credentials blob, under the name that glcli uses."""
        return self.data_dir / "credentials.gfs"

    @property
    def state_file(self) -> Path:
        """The SQLite store of this signer's decisions."""
        return self.data_dir / "signerd.db"

    @property
    def values(self) -> dict[str, Any]:
        """Every key and its value in force, also where it follows from more than the key."""
        found = {
            "data_dir": str(self.data_dir),
            "secret.file": str(self.secret_file),
            "scheduler.uri": self.scheduler_uri,
            "control.socket": str(self.control_socket),
        }
        return keys.flat(self.config) | found


def load(overrides: Overrides, environ: Mapping[str, str]) -> Settings:
    """Read and check everything. Raises ConfigError naming the source, the key and the mend."""
    path = config_file(overrides, environ)
    warnings = _unknown_variables(environ)
    file = Layer()
    if path:
        base = path.parent
        file, version = FORMAT.file(
            read_file(path), source=str(path), path=lambda text: str(places.resolve(text, base, environ))
        )
        if version < FORMAT.version:
            warnings += (_outdated(path, version),)
    won = layers.merged(
        (
            _flags(overrides),
            FORMAT.environment(environ, VARIABLES, path=_from_here),
            file,
            FORMAT.environment(environ, GL_VARIABLES, path=_from_here),
        )
    )
    settings = _settings(FORMAT.together(won), won, environ, config_file=path, warnings=warnings)
    return msgspec.structs.replace(settings, passphrase_fd=overrides.passphrase_fd)


def parse(text: str, *, source: str) -> Config:
    """The file's text as a Config. Raises ConfigError."""
    return FORMAT.parse(text, source=source)


def with_keys_of(old: Settings, new: Settings, names: Iterable[str]) -> Settings:
    """The old settings, with the values of some keys from the new ones. Raises ConfigError."""
    held = keys.flat(old.config) | {name: keys.value_of(new.config, name) for name in names}
    said = {name: msgspec.to_builtins(value) for name, value in held.items() if value is not None}
    return msgspec.structs.replace(
        old,
        config=FORMAT.together(Layer(said)),
        origins={**old.origins, **{name: new.origins[name] for name in names}},
        warnings=new.warnings,
    )


def known_keys() -> dict[str, Any]:
    """Every key of the file → its default."""
    return {name: key.default for name, key in keys.keys(Config).items()}


def _settings(
    config: Config,
    won: Layer,
    environ: Mapping[str, str],
    *,
    config_file: Path | None,
    warnings: tuple[str, ...],
) -> Settings:
    data_dir, data_dir_origin = _data_dir(environ, config)
    secret_file, secret_origin = _secret_file(environ, config, data_dir)
    socket, socket_origin = _control_socket(environ, config, data_dir)
    scheduler, secret = config.scheduler, config.secret
    derived = {"data_dir": data_dir_origin, "secret.file": secret_origin, "control.socket": socket_origin}
    return Settings(
        config=config,
        config_file=config_file,
        network=config.network,
        data_dir=data_dir,
        secret_file=secret_file,
        scheduler_uri=scheduler.uri or DEFAULT_SCHEDULER_URI,
        ca_file=_path(scheduler.ca_file),
        nobody_cert_file=_path(scheduler.nobody_cert_file),
        nobody_key_file=_path(scheduler.nobody_key_file),
        control_socket=socket,
        passphrase_file=_path(secret.passphrase_file),
        derivation=secret.derivation,
        origins=dict.fromkeys(known_keys(), Origin("default")) | derived | dict(won.origins),
        warnings=warnings,
    )


def config_file(overrides: Overrides, environ: Mapping[str, str]) -> Path | None:
    """The file in use: the one that is named, else the usual one, if it is there."""
    named = overrides.config or _path(environ.get("SIGNERD_CONFIG"))
    return named.absolute() if named else places.usual_config_file(environ)


def read_file(path: Path) -> str:
    """Its text. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
        if len(content) > _MAX_FILE:
            raise ConfigError(f"{path} is longer than {_MAX_FILE} bytes", hint="is this the right file?")
        return content.decode("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file at {path}", hint="check --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check its permissions") from error


def _flags(overrides: Overrides) -> Layer:
    named = {
        "data_dir": ("--data-dir", overrides.data_dir),
        "secret.file": ("--secret-file", overrides.secret_file),
        "network": ("--network", overrides.network),
        "control.socket": ("--socket", overrides.control_socket),
        "secret.passphrase_file": ("--passphrase-file", overrides.passphrase_file),
        "secret.derivation": ("--derivation", overrides.derivation),
    }
    said = {name: (flag, str(value)) for name, (flag, value) in named.items() if value is not None}
    try:
        return FORMAT.flags(said, overrides.assignments, flag="--set", path=_from_here)
    except ConfigError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _from_here(text: str) -> str:
    """Paths of flags and variables start at the working directory."""
    return str(Path(text).absolute())


def _outdated(path: Path, version: int) -> str:
    return (
        f"{path} has the format of an earlier signerd ({migration.VERSION_KEY} = {version}); it is read as "
        "if it were new, and `signerd config migrate` rewrites it"
    )


def _unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    ours = {name: text for name, text in environ.items() if not _SERVICE_LINK.fullmatch(name)}
    unknown = layers.unknown_variables(ours, [*VARIABLES, *OTHER_VARIABLES], prefix=PREFIX)
    return tuple(
        f"the environment holds {variable}, which is no setting"
        + (f"; did you mean {' or '.join(meant)}?" if meant else "")
        for variable, meant in unknown.items()
    )


def _data_dir(environ: Mapping[str, str], config: Config) -> tuple[Path, Origin]:
    if config.data_dir:
        return Path(config.data_dir), Origin("default")
    source = next((name for name in ("STATE_DIRECTORY", "XDG_DATA_HOME") if environ.get(name)), "HOME")
    return default_data_dir(environ).absolute(), Origin("default", source)


def _secret_file(environ: Mapping[str, str], config: Config, data_dir: Path) -> tuple[Path, Origin]:
    if config.secret.file:
        return Path(config.secret.file), Origin("default")
    # systemd hands secrets over in a directory of its own (LoadCredential=).
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        handed_over = Path(credentials) / SECRET_FILE_NAME
        if os.path.lexists(handed_over):
            return handed_over, Origin("default", "CREDENTIALS_DIRECTORY")
    return data_dir / SECRET_FILE_NAME, Origin("default", "data_dir")


def _control_socket(environ: Mapping[str, str], config: Config, data_dir: Path) -> tuple[Path, Origin]:
    if config.control.socket:
        return Path(config.control.socket), Origin("default")
    if systemd := environ.get("RUNTIME_DIRECTORY"):
        private, origin = Path(systemd.split(":")[0]), Origin("default", "RUNTIME_DIRECTORY")
    elif xdg := environ.get("XDG_RUNTIME_DIR"):
        private, origin = Path(xdg) / "signerd", Origin("default", "XDG_RUNTIME_DIR")
    else:
        private, origin = data_dir, Origin("default", "data_dir")
    return private.absolute() / "signerd.sock", origin


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _check(config: Config, source: str) -> None:
    """What is more than a type and a limit, of each source by itself and of all together."""
    if config.metrics.listen:
        addresses.parse(config.metrics.listen, key=f"{source}: metrics.listen")
    if not config.pairing.auto:
        return
    from signerd.core.pairing_auto import read_rules  # noqa: PLC0415 (runes need the curve, `status` does not)

    try:
        read_rules((rule.name, rule.restrictions, rule.daily_limit) for rule in config.pairing.auto)
    except MalformedMessage as problem:
        raise ConfigError(f"{source}: pairing.auto, {problem.message}", hint=problem.hint) from problem


FORMAT = Format(Config, LIMITS, MIGRATIONS, _check)

PREFIX = "SIGNERD_"
VARIABLES: Mapping[str, str] = {layers.variable_of(PREFIX, name): name for name in FORMAT.settable}
"""Every variable that is stronger than the file → its key."""

GL_VARIABLES: Mapping[str, str] = {
    "GL_SCHEDULER_GRPC_URI": "scheduler.uri",
    "GL_CA_CRT": "scheduler.ca_file",
    "GL_NOBODY_CRT": "scheduler.nobody_cert_file",
    "GL_NOBODY_KEY": "scheduler.nobody_key_file",
}
"""Greenlight's own variables → the keys that they stand in for, weaker than the file."""

OTHER_VARIABLES = frozenset({"SIGNERD_CONFIG"})
"""Variables of ours that are no key."""

_SERVICE_LINK = re.compile(r"SIGNERD_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)")
"""What Kubernetes and Docker give to every container beside a service that is named signerd."""
