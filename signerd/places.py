"""Where are things when nobody says so? systemd's directories first, then the user's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from signerd.errors import ConfigError


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """The StateDirectory of systemd, else $XDG_DATA_HOME/signerd, else ~/.local/share/signerd."""
    if state := environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0])
    if data_home := environ.get("XDG_DATA_HOME"):
        return Path(data_home) / "signerd"
    return _home(environ) / ".local" / "share" / "signerd"


def default_config_file(environ: Mapping[str, str]) -> Path:
    """The ConfigurationDirectory of systemd, else $XDG_CONFIG_HOME, else ~/.config/signerd/config.toml."""
    if directory := environ.get("CONFIGURATION_DIRECTORY"):
        return Path(directory.split(":")[0]) / "config.toml"
    if config_home := environ.get("XDG_CONFIG_HOME"):
        return Path(config_home) / "signerd" / "config.toml"
    return _home(environ) / ".config" / "signerd" / "config.toml"


def usual_config_file(environ: Mapping[str, str]) -> Path | None:
    """The default configuration file, if it is there, or if it cannot be told whether it is."""
    if not any(environ.get(name) for name in ("CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME", "HOME")):
        return None
    usual = default_config_file(environ).absolute()
    try:
        usual.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # It may be there: reading it says what is wrong, and going on without it would be a guess.
        return usual
    return usual


def resolve(text: str, base: Path, environ: Mapping[str, str]) -> Path:
    """A path of the file: `~` is the home directory, relative ones start at the file's own directory."""
    if text == "~" or text.startswith("~/"):
        return _home(environ) / text[2:]
    return Path(os.path.normpath(base / text))


def _home(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    if not home:
        raise ConfigError(
            "no home directory: HOME is not set", hint="name the directory with --data-dir and --config"
        )
    return Path(home)
