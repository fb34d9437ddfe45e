"""What a running daemon makes of a configuration that has changed: so far, it says what a restart would."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from signerd import config
from signerd.config import Overrides, Settings
from signerd.control.values import ReloadOutcome


@dataclass(frozen=True, slots=True)
class Unapplied:
    """Checks the file again, and names the keys that differ from those in use."""

    settings: Settings

    async def reload(self) -> ReloadOutcome:
        """Raises ConfigError; nothing changes, either way."""
        fresh = config.load(Overrides(config=self.settings.config_file), os.environ)
        old, new = self.settings.config, fresh.config
        return ReloadOutcome(
            needs_restart=tuple(key for key in config.known_keys() if _value(old, key) != _value(new, key))
        )


def _value(found: object, key: str) -> object:
    return functools.reduce(getattr, key.split("."), found)
