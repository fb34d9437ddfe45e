"""Does one comparison hold for a value?

On a missing field only `!` and `#` hold. Numbers are signed 64-bit decimals; order is that of UTF-8 bytes.
Source: the rune specification.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from signerd.core.runes.restriction import Alternative

_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_I64_DIGITS = 19


def holds(alternative: Alternative, value: str | None) -> bool:
    """Whether the comparison holds for the field's value in a call; None is a missing field."""
    if alternative.op == "#":
        return True
    if alternative.op == "!":
        return not value
    return value is not None and _COMPARISONS[alternative.op](value, alternative.value)


def integer(text: str) -> int | None:
    """A signed 64-bit number: an optional sign and ASCII digits, nothing else; None for all other text."""
    match = _INTEGER.fullmatch(text)
    if match is None or len(match[2]) > _I64_DIGITS:
        return None
    number = int(match[1] + match[2])
    return number if -(2**63) <= number < 2**63 else None


def _below(left: str, right: str) -> bool:
    x, y = integer(left), integer(right)
    return x is not None and y is not None and x < y


_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda value, wanted: value == wanted,
    "/": lambda value, wanted: value != wanted,
    "^": lambda value, wanted: value.startswith(wanted),
    "$": lambda value, wanted: value.endswith(wanted),
    "~": lambda value, wanted: wanted in value,
    "<": _below,
    ">": lambda value, wanted: _below(wanted, value),
    "{": lambda value, wanted: value.encode() < wanted.encode(),
    "}": lambda value, wanted: value.encode() > wanted.encode(),
}
