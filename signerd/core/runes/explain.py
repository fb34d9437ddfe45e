"""A restriction in words, for the person who is asked to agree to it.

Values come from strangers: control characters are shown as escapes, and long values are cut.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from signerd.core.runes.compare import integer

if TYPE_CHECKING:
    from signerd.core.runes.restriction import Alternative, Restriction

_SHOWN = 200
_BRIEF = 400
_DEVICE_KEY = re.compile(r"04[0-9a-f]{128}")
_LAST_DATE = 253_402_300_799  # 9999-12-31: beyond it, a number says more than a date

_NAMES = {"method": "the method", "pubkey": "the caller's key", "time": "the time"}
_VERBS = {
    "=": "is {}",
    "/": "is anything but {}",
    "^": "starts with {}",
    "$": "ends with {}",
    "~": "contains {}",
    "<": "is a number below {}",
    ">": "is a number above {}",
    "{": "sorts before {}",
    "}": "sorts after {}",
}


def explain(restriction: Restriction) -> str:
    """One clause that can follow "demands that". Says so where a comparison always or never holds."""
    return ", or ".join(_comparison(alternative) for alternative in restriction.alternatives)


def briefly(restriction: Restriction) -> str:
    """The same, cut to a length that a log line can bear."""
    clause = explain(restriction)
    return clause if len(clause) <= _BRIEF else f"{clause[:_BRIEF]}…"


def _comparison(alternative: Alternative) -> str:
    name, op, value = alternative.field, alternative.op, alternative.value
    if op == "#":
        return f"anything at all (a comment: {_quoted(value)})"
    if not name:
        return _unique_id(value)
    if name not in _NAMES:
        return _unknown(alternative)
    if op == "!":
        return f"{_NAMES[name]} is absent (never so)"
    if op in "<>" and name == "time" and (seconds := integer(value)) is not None:
        return f"the time is {'before' if op == '<' else 'after'} {_utc(seconds)}"
    clause = f"{_NAMES[name]} {_VERBS[op].format(_quoted(value))}"
    return f"{clause} (never so: {reason})" if (reason := _impossible(alternative)) else clause


def _unique_id(value: str) -> str:
    number, dash, version = value.partition("-")
    made_for = f", made for version {_quoted(version)}" if dash else " (never so: it lacks a version)"
    return f"its own id is {_quoted(number)}{made_for}"


def _unknown(alternative: Alternative) -> str:
    name = f"the field {_quoted(alternative.field)}"
    if alternative.op == "!":
        return f"{name} is absent (always so: signers do not know this field)"
    clause = _VERBS[alternative.op].format(_quoted(alternative.value))
    return f"{name} {clause} (never so: signers do not know this field)"


def _impossible(alternative: Alternative) -> str | None:
    name, op, value = alternative.field, alternative.op, alternative.value
    if name == "method" and op in "=^$~" and value != value.lower():
        return "methods are compared in lower case"
    if name == "pubkey" and op == "=" and not _DEVICE_KEY.fullmatch(value):
        return "a device key is 04 and 128 lower-case hex digits"
    if op in "<>":
        return "not a number"
    return None


def _quoted(value: str) -> str:
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value[:_SHOWN])
    if len(value) > _SHOWN:
        return f'"{text}…" ({len(value)} characters)'
    return text if re.fullmatch(r"\w+", text) else f'"{text}"'


def _utc(seconds: int) -> str:
    """A date, counted in 400-year cycles that begin on 1 March (the core imports no calendar)."""
    if not 0 <= seconds <= _LAST_DATE:
        return f"second {seconds} of Unix time"
    days, rest = divmod(seconds, 86_400)
    cycle, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    year += 400 * cycle + (month <= 2)
    clock = f"{rest // 3_600:02}:{rest % 3_600 // 60:02}:{rest % 60:02}"
    return f"{year:04}-{month:02}-{day + 1:02} {clock} UTC ({seconds})"
