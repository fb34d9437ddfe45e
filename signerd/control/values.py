"""What the control socket and the daemon hand each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What became of a new configuration, by its keys (`table.key`)."""

    applied: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


Reload = Callable[[], Awaitable[ReloadOutcome]]
"""Read the configuration again and apply what can be. Raises ConfigError; then nothing has changed."""
