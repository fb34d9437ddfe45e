"""Are these restrictions at least as narrow as those? Sound, and deliberately not complete.

"Yes" means: in every call in which all of `given` hold, `wanted` holds too. That is true for signers that
take an unknown field as missing, and for those that take it as empty. "No" may mean that it is hard to see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signerd.core.runes.compare import holds, integer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from signerd.core.runes.restriction import Alternative, Restriction

_COST_LIMIT = 200_000_000  # nanoseconds, roughly: 1 µs for a comparison and 1 ns for each byte in it


def first_not_implied(given: Sequence[Restriction], wanted: Sequence[Restriction]) -> Restriction | None:
    """The first of `wanted` that `given` does not visibly imply; None if it implies them all."""
    present = set(given)
    unclear = [restriction for restriction in wanted if restriction not in present]
    if unclear and _cost(given, unclear) > _COST_LIMIT:
        return unclear[0]  # whoever sends so much is not owed an answer that takes seconds
    for restriction in unclear:
        if not implies(given, restriction):
            return restriction
    return None


def implies(given: Sequence[Restriction], wanted: Restriction) -> bool:
    """Whether one of `given` is at least as narrow, each of its alternatives as one of `wanted`."""
    if any(item.op == "#" for item in wanted.alternatives):
        return True
    return any(
        all(any(_narrower(a, b) for b in wanted.alternatives) for a in restriction.alternatives)
        for restriction in given
    )


def _cost(given: Sequence[Restriction], wanted: Sequence[Restriction]) -> int:
    ours = [len(item.value) for restriction in given for item in restriction.alternatives]
    theirs = [len(item.value) for restriction in wanted for item in restriction.alternatives]
    return 1_000 * len(ours) * len(theirs) + len(ours) * sum(theirs) + len(theirs) * sum(ours)


def _narrower(a: Alternative, b: Alternative) -> bool:
    """Whether `a` holding always means that `b` holds."""
    if a.field != b.field or a.op == "#":
        return False
    if a.op == "=":
        return holds(b, a.value)
    if "!" in (a.op, b.op):
        return a.op == b.op
    # From here on `a` says that there is a value, and something about its form.
    if b.op == "/":
        return not holds(a, b.value)
    if b.op in "^$~" and not b.value:
        return True
    form = _FORMS.get(a.op + b.op)
    return form is not None and form(a.value, b.value)


def _number_at_most(left: str, right: str) -> bool:
    x, y = integer(left), integer(right)
    return x is not None and y is not None and x <= y


# By the two operators; r is the value of the narrower comparison, s that of the wider one.
_FORMS: Mapping[str, Callable[[str, str], bool]] = {
    "^^": lambda r, s: r.startswith(s),
    "$$": lambda r, s: r.endswith(s),
    "^~": lambda r, s: s in r,
    "$~": lambda r, s: s in r,
    "~~": lambda r, s: s in r,
    "<<": _number_at_most,
    ">>": lambda r, s: _number_at_most(s, r),
    "{{": lambda r, s: r.encode() <= s.encode(),
    "}}": lambda r, s: r.encode() >= s.encode(),
    "^}": lambda r, s: r.encode() > s.encode(),
    # Nothing that starts with r reaches s once r is smaller and is not the beginning of s.
    "^{": lambda r, s: r.encode() < s.encode() and not s.startswith(r),
}
