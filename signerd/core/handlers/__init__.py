"""HANDLERS: message class → what we do. A message without a row is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from signerd.core.handlers import identity, session
from signerd.core.handlers.call import Handler

FAMILIES: tuple[ModuleType, ...] = (session, identity)

HANDLERS: Mapping[type[Any], Handler] = {
    kind: handler for family in FAMILIES for kind, handler in family.HANDLERS.items()
}

ANSWERED = frozenset(kind.TYPE for kind in HANDLERS)
"""Type numbers that are answered."""
