"""Events of which a test names the fields that it is about; the others are filled in."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, get_type_hints

from signerd.observe.event import Event

E = TypeVar("E", bound=Event)


def made(kind: type[E], **known: Any) -> E:
    """One of this kind: text is `text`, numbers are 7, where nothing else is said."""
    hints = get_type_hints(kind)
    rest = {
        item.name: 7 if hints[item.name] in (int, float) else "text"
        for item in dataclasses.fields(kind)
        if item.name not in known and item.default is dataclasses.MISSING
    }
    return kind(**(rest | known))
