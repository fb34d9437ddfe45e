"""May this approval be answered without a person?

A rule fits when the device's name matches its pattern, and the new rune allows nothing that the rule's
restrictions forbid. A rune that may approve further devices fits no rule: else one device could let in more
than the rule lets in on a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signerd.core.runes.implies import first_not_implied, implies
from signerd.core.runes.restriction import Alternative, Restriction, parse_restrictions
from signerd.errors import MalformedMessage

if TYPE_CHECKING:
    from signerd.core.runes.rune import Rune

DAY_SECONDS = 86_400
"""A rule's day: the last 24 hours."""
MAX_DAILY_LIMIT = 1000

_NO_APPROVALS = Restriction((Alternative("method", "/", "approvepairing"),))


@dataclass(frozen=True, slots=True)
class AutoRule:
    """`pattern`: * is any text, ? any character. `restrictions`: what a rune must be as narrow as."""

    pattern: str
    restrictions: tuple[Restriction, ...]
    daily_limit: int


def read_rules(rules: Iterable[tuple[str, str, int]]) -> tuple[AutoRule, ...]:
    """Pattern, restrictions and daily limit, as the configuration has them. Raises MalformedMessage."""
    read: list[AutoRule] = []
    for number, (pattern, restrictions, daily_limit) in enumerate(rules, start=1):
        try:
            read.append(_read(pattern, restrictions, daily_limit))
        except MalformedMessage as problem:
            raise MalformedMessage(f"rule {number}: {problem.message}", hint=problem.hint) from problem
        if pattern in [earlier.pattern for earlier in read[:-1]]:
            # What it let through today is counted by its name.
            raise MalformedMessage(f"rule {number}: another rule has its name", hint="make one of them")
    return tuple(read)


def fitting_rule(
    rules: Sequence[AutoRule], name: str, granted: Rune, used: Callable[[str], int]
) -> AutoRule | None:
    """The first rule that fits and has something left today. `used`: how often a pattern's rule was used."""
    if not rules or may_approve(granted.restrictions):
        return None
    for rule in rules:
        if (
            matches(rule.pattern, name)
            and first_not_implied(granted.restrictions, rule.restrictions) is None
            and used(rule.pattern) < rule.daily_limit
        ):
            return rule
    return None


def may_approve(restrictions: Sequence[Restriction]) -> bool:
    """Whether a rune may let in further devices, or one cannot see that it may not."""
    return not implies(restrictions, _NO_APPROVALS)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits. Takes no more than len(pattern) * len(text) steps, whatever they hold."""
    p = t = 0
    star, resume = -1, 0
    while t < len(text):
        if p < len(pattern) and pattern[p] == "*":
            star, resume = p, t
            p += 1
        elif p < len(pattern) and pattern[p] in ("?", text[t]):
            p += 1
            t += 1
        elif star >= 0:
            resume += 1
            p, t = star + 1, resume
        else:
            return False
    return all(rest == "*" for rest in pattern[p:])


def _read(pattern: str, restrictions: str, daily_limit: int) -> AutoRule:
    if not pattern or not pattern.isprintable():
        raise MalformedMessage("the name is empty or holds control characters", hint='for example "till-*"')
    if not 1 <= daily_limit <= MAX_DAILY_LIMIT:
        raise MalformedMessage(
            f"daily_limit = {daily_limit} is out of range", hint=f"it goes from 1 to {MAX_DAILY_LIMIT}"
        )
    parsed = parse_restrictions(restrictions)
    if not parsed:
        raise MalformedMessage(
            "the restrictions are empty",
            hint="say what such a device may do at most; one without limits is for a person to approve",
        )
    return AutoRule(pattern, parsed, daily_limit)
