"""The language of restrictions: `field operator value`, alternatives joined by `|`, restrictions by `&`.

A value runs to the next unescaped `|` or `&`; a backslash takes the next character as it is. Writing
escapes exactly backslash, `|` and `&`, so that every value has one written form, over which a rune's
authcode is computed. Source: the rune specification, as Core Lightning's `commando` uses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signerd.errors import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

OPERATORS = "!=/^$~<>{}#"

# A field ends at the first ASCII punctuation; an underscore is not punctuation here.
_FIELD = re.compile(r"[^!-/:-@\[-^`{-~]*")
_ALTERNATIVE = re.compile(rf"({_FIELD.pattern})([{re.escape(OPERATORS)}])((?:[^\\|&]++|\\.)*+)\\?", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r"[\\|&]")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Alternative:
    """One comparison. `field` holds no ASCII punctuation but `_`; `value` is unescaped and may be anything.

    The empty field is the rune's unique id. Raises ValueError if the field or the operator cannot be written.
    """

    field: str
    op: str
    value: str

    def __post_init__(self) -> None:
        if len(self.op) != 1 or self.op not in OPERATORS or not _FIELD.fullmatch(self.field):
            raise ValueError(f"{self.field!r} and {self.op!r} do not make an alternative")

    @property
    def text(self) -> str:
        """The written form."""
        return self.field + self.op + _TO_ESCAPE.sub(r"\\\g<0>", self.value)


@dataclass(frozen=True, slots=True)
class Restriction:
    """Holds when one of its alternatives holds; there is at least one, else ValueError."""

    alternatives: tuple[Alternative, ...]

    def __post_init__(self) -> None:
        if not self.alternatives:
            raise ValueError("a restriction has at least one alternative")

    @property
    def text(self) -> str:
        """The written form."""
        return "|".join(alternative.text for alternative in self.alternatives)

    def encode(self) -> bytes:
        """The written form as UTF-8: what an authcode covers."""
        return self.text.encode()

    @property
    def only(self) -> Alternative | None:
        """The alternative, if there is just one."""
        return self.alternatives[0] if len(self.alternatives) == 1 else None


def to_text(restrictions: Iterable[Restriction]) -> str:
    """The written form of all of them."""
    return "&".join(restriction.text for restriction in restrictions)


def parse_restriction(text: str) -> Restriction:
    """One restriction; a trailing `|` or `&` is tolerated. Raises MalformedMessage for anything else."""
    _require_utf8(text)
    restriction, end = _read(text, 0, with_id=False)
    if end < len(text):
        raise MalformedMessage(
            f"{shown(text)} holds more than one restriction",
            hint=r"give each restriction on its own, or write \& for an ampersand inside a value",
        )
    return restriction


def parse_restrictions(text: str, *, with_id: bool = False) -> tuple[Restriction, ...]:
    """Any number of restrictions; none for the empty text. Raises MalformedMessage.

    `with_id` allows the unique id in the first one: true for a whole rune, never for an addition to one.
    """
    _require_utf8(text)
    restrictions: list[Restriction] = []
    position = 0
    while position < len(text):
        restriction, position = _read(text, position, with_id=with_id and not restrictions)
        restrictions.append(restriction)
    return tuple(restrictions)


def shown(text: str) -> str:
    """`text` as an error message may show it: quoted, without control characters, and not too long."""
    return ascii(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!a}… ({len(text)} characters)"


def _read(text: str, position: int, *, with_id: bool) -> tuple[Restriction, int]:
    """The restriction that starts at `position`, and where the one after it starts."""
    alternatives = []
    while position < len(text) and text[position] != "&":
        match = _ALTERNATIVE.match(text, position)
        if match is None:
            raise MalformedMessage(
                f"{shown(text[position:])} does not have the form field, operator, value",
                hint=f"the operators are {' '.join(OPERATORS)}; a field holds no punctuation but _",
            )
        field, op, value = match.groups()
        if not field and not (with_id and op == "="):
            raise MalformedMessage(
                f"{shown(text[position:])} has no field name",
                hint="only the first restriction of a rune may be its unique id, and only with =",
            )
        alternatives.append(Alternative(field, op, _ESCAPED.sub(r"\1", value) if "\\" in value else value))
        position = match.end()
        if position < len(text) and text[position] == "|":
            position += 1
    if not alternatives:
        raise MalformedMessage(
            "a restriction is empty", hint="a restriction is made of alternatives such as method=getinfo"
        )
    if len(alternatives) > 1 and not alternatives[0].field:
        raise MalformedMessage("a rune's unique id has alternatives", hint="get a new rune")
    return Restriction(tuple(alternatives)), position + 1


def _require_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MalformedMessage("a restriction is not valid UTF-8") from error
