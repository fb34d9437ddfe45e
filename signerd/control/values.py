"""What the control socket and the daemon hand each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from signerd.config_change import ConfigChange

Reload = Callable[[], Awaitable[ConfigChange]]
"""Read the configuration again and apply what can be. Raises ConfigError; then nothing has changed."""
