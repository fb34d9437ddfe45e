"""HANDLERS: message class → what we do. A message without a row is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from signerd.core.handlers import (
    channel,
    closing,
    commitment,
    gossip,
    identity,
    onchain,
    payments,
    session,
    sweep,
)
from signerd.core.handlers.call import Handler

FAMILIES: tuple[ModuleType, ...] = (
    session,
    identity,
    gossip,
    payments,
    channel,
    commitment,
    closing,
    onchain,
    sweep,
)

HANDLERS: Mapping[type[Any], Handler] = {
    kind: handler for family in FAMILIES for kind, handler in family.HANDLERS.items()
}

ANSWERED = frozenset(kind.TYPE for kind in HANDLERS)
"""Type numbers that are answered."""
