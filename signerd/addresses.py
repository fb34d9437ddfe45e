"""Where signerd may listen: at addresses of this machine alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from signerd.errors import ConfigError

_FORM = re.compile(r"(?:(127(?:\.[0-9]{1,3}){3})|\[(::1)\]):([0-9]{1,5})|unix:(/.*)")
_MAX_PART, _MAX_PORT = 255, 65535


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An IP address with a port, or a path. Port 0 is any that is free."""

    host: str = ""
    port: int = 0
    path: Path | None = None


def parse(text: str, *, key: str) -> ListenAddress:
    """What the setting `key` says. Raises ConfigError for what other machines could reach."""
    found = _FORM.fullmatch(text)
    parts = [int(part) for part in found[1].split(".")] if found and found[1] else []
    if not found or any(part > _MAX_PART for part in parts) or int(found[3] or 0) > _MAX_PORT:
        raise ConfigError(
            f"{key} = {text!r} is no address of this machine alone",
            hint='use "127.0.0.1:PORT", "[::1]:PORT" or "unix:/path"; a tunnel or a proxy can pass it on',
        )
    if found[4]:
        return ListenAddress(path=Path(found[4]))
    return ListenAddress(host=found[1] or found[2], port=int(found[3]))
