"""What a reload of the configuration came to, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The keys that changed: those that hold from now on, and those that wait for a restart."""

    applied: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
