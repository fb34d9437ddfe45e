"""When restrictions are at least as narrow as another: never a wrong yes, and few needless noes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.runes.compare import holds
from signerd.core.runes.implies import first_not_implied, implies
from signerd.core.runes.restriction import (
    OPERATORS,
    Alternative,
    Restriction,
    parse_restriction,
    parse_restrictions,
)

VALUES = ["", "a", "ab", "b", "ba", "é", "0", "1", "9", "10", "+1", "-1", "01", str(2**63)]
CONTEXT_VALUES = [None, *VALUES, "aba", "abc", "5", "\U0001f4a1"]


def test_one_comparison_never_implies_another_that_can_fail_beside_it():
    """All pairs of operators over values that meet in every way: each yes is checked on every value."""
    alternatives = [Alternative("f", op, value) for op, value in itertools.product(OPERATORS, VALUES)]
    truth = {item: [holds(item, value) for value in CONTEXT_VALUES] for item in alternatives}
    wrong = [
        (a.text, b.text)
        for a, b in itertools.product(alternatives, repeat=2)
        if implies([Restriction((a,))], Restriction((b,)))
        and any(x and not y for x, y in zip(truth[a], truth[b], strict=True))
    ]
    assert [] == wrong


SMALL = st.text("ab01-é", max_size=3)
ALTERNATIVES = st.builds(Alternative, st.sampled_from("fgh"), st.sampled_from(OPERATORS), SMALL)
RESTRICTIONS = st.builds(Restriction, st.lists(ALTERNATIVES, min_size=1, max_size=3).map(tuple))
CONTEXTS = st.fixed_dictionaries({}, optional={"f": SMALL, "g": SMALL, "h": SMALL})


def holds_in(restriction: Restriction, context: dict[str, str], missing: str | None) -> bool:
    return any(holds(item, context.get(item.field, missing)) for item in restriction.alternatives)


@given(
    st.lists(RESTRICTIONS, max_size=4), RESTRICTIONS, st.lists(CONTEXTS, min_size=1, max_size=8), st.data()
)
def test_what_is_implied_holds_wherever_the_given_holds(given_list, wanted, contexts, data):
    """Both for signers that take an unknown field as missing and for those that take it as empty."""
    if given_list and data.draw(st.booleans()):
        # Half of the time, something that has a chance to be implied.
        extra = data.draw(st.lists(ALTERNATIVES, max_size=2))
        wanted = Restriction((*data.draw(st.sampled_from(given_list)).alternatives, *extra))
    if not implies(given_list, wanted):
        return
    for context, missing in itertools.product(contexts, (None, "")):
        if all(holds_in(item, context, missing) for item in given_list):
            assert holds_in(wanted, context, missing)


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("method=getinfo", "method^get|method^list"),
        ("method^getinfo|method=listpeers", "method^get|method^list"),
        ("method=pay", "method/approvepairing"),
        ("method^get", "method/pay"),
        ("method^get", "method~et"),
        ("method$info", "method~inf"),
        ("method$info", "method/pay"),
        ("method^get", "method{h"),
        ("method^get", "method}a"),
        ("method{b", "method{c"),
        ("method}c", "method}b"),
        ("method=pay", "method^"),
        ("method/pay", "method~"),
        ("time<100", "time<200"),
        ("time<+100", "time<0200"),
        ("time>200", "time>100"),
        ("time<100", "time/100"),
        ("time=5", "time<100"),
        ("a=1&time<100&b=2", "time<200"),
        ("pubkey=00", "pubkey/11"),
        ("foo!", "foo!|bar=1"),
        ("foo=", "foo!"),
        ("a=1", "b=2|note#anything"),
    ],
)
def test_sees_that_it_is_implied(given_text, wanted):
    assert implies(parse_restrictions(given_text), parse_restriction(wanted))


@pytest.mark.parametrize(
    ("given_text", "wanted"),
    [
        ("method^get", "method=getinfo"),
        ("method^g", "method^get"),
        ("method=getinfo|method=pay", "method^get"),
        ("method=getinfo|note#x", "method^get"),
        ("note#x", "method^get"),
        ("other=getinfo", "method=getinfo"),
        ("time<200", "time<100"),
        ("time<x", "time<5"),
        ("time<100", "time<x"),
        ("method}a", "method{z"),
        ("foo/bar", "foo!"),
        ("foo!", "foo/bar"),
        ("", "method=getinfo"),
    ],
)
def test_does_not_claim_what_is_not_implied(given_text, wanted):
    assert not implies(parse_restrictions(given_text), parse_restriction(wanted))


def test_names_the_first_that_is_not_implied():
    wanted = parse_restrictions("method^get&time<200&foo!&rate=3")
    assert wanted[2] == first_not_implied(parse_restrictions("time<100&method=getinfo"), wanted)
    assert first_not_implied(parse_restrictions("time<100&method=getinfo&rate=3&foo!"), wanted) is None


def test_equal_lists_are_implied_however_long():
    many = parse_restrictions("&".join(f"k{n}=v" for n in range(5_000)))
    assert first_not_implied(many, many) is None


def test_gives_up_where_an_answer_would_take_seconds():
    ours = parse_restrictions("&".join(f"k=v{n}" for n in range(5_000)))
    theirs = parse_restrictions("&".join(f"k^v{n}" for n in range(5_000)))
    assert theirs[0] == first_not_implied(ours, theirs)
    assert first_not_implied(ours, theirs[:10]) is None
