"""What an event is: a name, a level, and fields of which none can hold a secret."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

Level = Literal["debug", "info", "warning", "error"]

_MAY_BE_TOLD = re.compile(r"(str|int|float|bool|UnixTime|tuple\[str, \.\.\.\]|Literal\[[^]]*\])( \| None)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything in `events.py`. Fields are plain text and numbers: no class can have one for anything else."""

    NAME: ClassVar[str]
    LEVEL: ClassVar[Level] = "info"

    def __init_subclass__(cls) -> None:
        # Bytes and Secret are how secrets are held: neither is plain, so neither can be told.
        for name, kind in inspect.get_annotations(cls).items():
            if not (str(kind).startswith("ClassVar") or _MAY_BE_TOLD.fullmatch(str(kind))):
                raise TypeError(f"{cls.__name__}.{name}: an event cannot tell a {kind}")
