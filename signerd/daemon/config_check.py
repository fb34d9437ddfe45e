"""Are the files that the configuration names as they should be? Asked offline, before anything starts."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from signerd.core import certificates
from signerd.errors import SignerdError
from signerd.greenlight import endpoint
from signerd.store import files
from signerd.tables import keys, values

if TYPE_CHECKING:
    from signerd.config import Settings

MAX_INPUT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend. An error keeps signerd from starting; a warning may, or is a risk."""

    level: Literal["error", "warning"]
    key: str
    message: str
    hint: str


def findings(settings: Settings) -> list[Finding]:
    """Everything that is not as it should be, errors first."""
    found = [
        *(Finding("warning", "", warning, "mend it, or remove it") for warning in settings.warnings),
        *_config_file(settings.config_file),
        *_scheduler(settings),
        *_input_files(settings),
        *_secret(settings),
        *_data_dir(settings.data_dir),
    ]
    return sorted(found, key=lambda finding: finding.level)


def _config_file(path: Path | None) -> Iterator[Finding]:
    if path is not None:
        yield from _changeable_by_others("", path)


def _scheduler(settings: Settings) -> Iterator[Finding]:
    try:
        endpoint.parse(settings.scheduler_uri)
    except SignerdError as error:
        yield Finding("error", "scheduler.uri", error.message, error.hint or "see config.example.toml")
    if (settings.nobody_cert_file is None) != (settings.nobody_key_file is None):
        yield Finding(
            "error",
            "scheduler.nobody_cert_file",
            "only one of the nobody certificate and its key is configured",
            "set both `scheduler.nobody_cert_file` and `scheduler.nobody_key_file`, or neither",
        )
    if settings.ca_file is not None and settings.ca_file.is_file():
        try:
            pem = files.read_bounded(settings.ca_file, MAX_INPUT)
            certificates.load_chain(pem, what=f"the CA file {settings.ca_file}")
        except SignerdError as error:
            yield Finding("error", "scheduler.ca_file", error.message, error.hint or "it has to be PEM")


def _input_files(settings: Settings) -> Iterator[Finding]:
    """Every file that has to be there: that it is, can be read, and cannot be changed by others."""
    known = keys.keys(type(settings.config), inside_lists=True)
    for name, shown, value in values.every_value(settings.config):
        if known[name].marks.get("path") != "input" or not isinstance(value, str):
            continue
        path = Path(value)
        try:
            files.read_bounded(path, MAX_INPUT)
        except SignerdError as error:
            yield Finding("error", shown, error.message, error.hint or "check the path")
            continue
        yield from _changeable_by_others(shown, path)


def _secret(settings: Settings) -> Iterator[Finding]:
    path = settings.secret_file
    status = _status(path)
    if status is None:
        yield Finding(
            "warning",
            "secret.file",
            f"there is no secret at {path}",
            "`signerd init` makes, imports or adopts one; `signerd run` does not start without",
        )
        return
    # A service manager's directory is closed to others, and group bits there are the mask of an access list.
    handed_over = os.environ.get("CREDENTIALS_DIRECTORY") == str(path.parent)
    if not stat.S_ISREG(status.st_mode):
        yield Finding("warning", "secret.file", f"{path} is no regular file", "name the file of the secret")
    elif status.st_mode & 0o077 and not handed_over:
        yield Finding(
            "warning",
            "secret.file",
            f"others can read the secret {path}: `signerd run` refuses it",
            f"chmod 600 {shlex.quote(str(path))}",
        )


def _data_dir(path: Path) -> Iterator[Finding]:
    status = _status(path)
    if status is None:
        return  # `init`, `register` and `run` make it
    if not stat.S_ISDIR(status.st_mode):
        yield Finding("error", "data_dir", f"{path} is no directory", "name a directory")
    elif not os.access(path, os.W_OK | os.X_OK):
        yield Finding("warning", "data_dir", f"this user cannot write into {path}", "check owner and mode")
    elif status.st_mode & 0o022:
        yield Finding(
            "warning",
            "data_dir",
            f"others can change what is in {path}",
            f"chmod 700 {shlex.quote(str(path))}",
        )


def _changeable_by_others(key: str, path: Path) -> Iterator[Finding]:
    status = _status(path)
    if status is None:
        return
    if status.st_mode & 0o022:
        yield Finding("warning", key, f"others can change {path}", f"chmod go-w {shlex.quote(str(path))}")
    elif status.st_uid not in (0, os.geteuid()):
        yield Finding(
            "warning",
            key,
            f"{path} belongs to user {status.st_uid}, who can change it",
            "let it belong to root, or to the user that runs signerd",
        )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
