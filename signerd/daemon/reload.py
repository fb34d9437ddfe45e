"""The settings in force, and how they change while signerd runs: first all is judged, then it is one step.

Whoever uses a setting asks for it when it uses it (`LiveSettings.now`). What has to be made from settings, as
a policy is, is prepared while the old ones are still in force, and put in place when nothing can fail any
more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from signerd import config
from signerd.config_change import ConfigChange
from signerd.errors import ConfigError, SignerdError
from signerd.observe import events

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.observe.bus import Bus

LIVE = frozenset(
    {
        "log.format",
        "log.level",
        "backoff.first_seconds",
        "backoff.max_seconds",
        "backoff.stable_seconds",
        "pairing.policy",
        "pairing.auto",
        "pairing.allow_widening",
        "pairing.answer_refusals",
        "pairing.max_age_seconds",
        "pairing.max_ahead_seconds",
        "scheduler.deadline_seconds",
        "scheduler.poll_seconds",
        "scheduler.keepalive_seconds",
        "scheduler.max_message_bytes",
        "scheduler.compression",
        "node.deadline_seconds",
        "node.max_message_bytes",
        "export.max_bytes",
        "export.stall_seconds",
    }
)
"""The keys that hold without a restart. Every other key waits for one, also a key that is new here."""

Commit = Callable[[], None]
Prepare = Callable[["Settings"], Commit]
"""Makes what follows from new settings, or refuses them; what it returns puts it in place and cannot fail."""


class LiveSettings:
    """The settings in force. `load` reads them again, with the flags and the environment of the start."""

    def __init__(self, settings: Settings, *, load: Callable[[], Settings], bus: Bus) -> None:
        self._settings = settings
        self._load = load
        self._bus = bus
        self._prepare: list[Prepare] = []
        self._one_at_a_time = asyncio.Lock()

    @property
    def now(self) -> Settings:
        """What holds at this moment; ask anew for every use."""
        return self._settings

    def on_change(self, prepare: Prepare) -> None:
        """Have something made from every new settings."""
        self._prepare.append(prepare)

    async def reload(self) -> ConfigChange:
        """Read the configuration again and let hold what can. Tells on the bus what became of it.

        Raises ConfigError when it is wrong; then everything is as it was.
        """
        async with self._one_at_a_time:
            try:
                new = await asyncio.to_thread(self._read)
                change = compare(self._settings, new)
                held = config.with_keys_of(self._settings, new, change.applied)
                commits = [prepare(held) for prepare in self._prepare]
            except SignerdError as error:
                raise self._failed(error.message, error.hint) from error
            except Exception as bug:
                # Whatever it is, a configuration that is read again must not end a signer that runs.
                raise self._failed(f"a bug in signerd: {type(bug).__name__}", "please report it") from bug
            self._settings = held
            for commit in commits:
                commit()
            self._bus.emit(
                events.ConfigReloaded(
                    applied=", ".join(change.applied) or "nothing",
                    needs_restart=", ".join(change.needs_restart) or "nothing",
                )
            )
            for warning in held.warnings:
                self._bus.emit(events.ConfigWarning(meaning=warning))
            return change

    def _read(self) -> Settings:
        file = self._settings.config_file
        if file is not None and file.exists() and not file.is_file():
            # A pipe gives its text once; what it gives now would be taken for an empty file.
            raise ConfigError(f"{file} is no regular file", hint="restart signerd to read it again")
        new = self._load()
        if file is not None and new.config_file is None:
            # An editor may be in the middle of replacing it; the defaults are not what was meant.
            raise ConfigError(
                f"the configuration file {file} is gone",
                hint="bring it back; an empty file means the defaults",
            )
        return new

    def _failed(self, reason: str, hint: str | None) -> ConfigError:
        self._bus.emit(events.ConfigReloadFailed(reason=reason, hint=hint))
        return ConfigError(reason, hint=hint)


def compare(old: Settings, new: Settings) -> ConfigChange:
    """Which keys differ, in the order of the file: those that can hold at once, and those that wait."""
    before, after = old.values, new.values
    changed = [key for key in before if before[key] != after[key]]
    return ConfigChange(
        applied=tuple(key for key in changed if key in LIVE),
        needs_restart=tuple(key for key in changed if key not in LIVE),
    )
