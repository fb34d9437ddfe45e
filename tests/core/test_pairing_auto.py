"""Rules that need nobody: what fits, what never does, and that no name takes for ever."""

from __future__ import annotations

import fnmatch
import re

import pytest
from helpers.phones import KEYS, public_key
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.pairing_auto import fitting_rule, matches, read_rules
from signerd.core.runes import compare, rune
from signerd.core.runes.rune import Rune
from signerd.errors import MalformedMessage

LISTS = "method^list|method^get"


def granted(*restrictions: str) -> Rune:
    return rune.create(KEYS.rune_secret, [f"pubkey={public_key(2).hex()}", *restrictions])


def fits(given: Rune, ceiling: str, *, name: str = "till-1", used: int = 0) -> bool:
    return fitting_rule(read_rules([("till-*", ceiling, 3)]), name, given, lambda _: used) is not None


@pytest.mark.parametrize(
    "restriction", [LISTS, "method=listpeers", "method^list", "method^getinfo|method=getroute"]
)
def test_what_is_as_narrow_as_the_rule_fits(restriction):
    assert fits(granted(restriction), LISTS)
    assert fits(granted(restriction, "time<99"), LISTS)


@pytest.mark.parametrize(
    "restriction", ["method^l", "method^pay", "method^list|method=pay", "method^list|x#", "x=1"]
)
def test_what_may_do_more_does_not_fit(restriction):
    assert not fits(granted(restriction), LISTS)
    assert not fits(granted(), LISTS)
    assert not fits(granted(LISTS), LISTS + "&time<100")
    assert fits(granted(LISTS, "time<99"), LISTS + "&time<100")


@pytest.mark.parametrize("ceiling", ["time<100", "method^", "method~pair", "method/pay", "x#anything"])
def test_what_may_approve_others_fits_no_rule_however_wide_it_is(ceiling):
    assert not fits(granted(ceiling), ceiling)
    assert fits(granted(ceiling, "method=approve"), ceiling)


def test_the_first_rule_that_has_something_left_is_the_one():
    rules = read_rules([("till-*", LISTS, 1), ("*", LISTS, 5), ("phone", LISTS, 5)])
    used = {"till-*": 0, "*": 0, "phone": 0}

    def pattern(name: str) -> str | None:
        rule = fitting_rule(rules, name, granted(LISTS), used.__getitem__)
        return rule and rule.pattern

    assert [pattern("till-9"), pattern("phone")] == ["till-*", "*"]
    used |= {"till-*": 1}
    assert [pattern("till-9"), pattern("phone")] == ["*", "*"]
    used |= {"*": 5}
    assert [pattern("till-9"), pattern("phone")] == [None, "phone"]


@given(st.text("ab*?", max_size=8), st.text("abc*", max_size=8))
def test_patterns_match_as_those_of_the_shell(pattern, text):
    # Its classes in brackets are not in the alphabet.
    assert matches(pattern, text) == bool(re.match(fnmatch.translate(pattern), text))


def test_no_pattern_takes_for_ever():
    assert not matches("*a" * 100 + "b", "a" * 200)


@given(st.sampled_from([LISTS, "method=pay", "method^a|time<9", "method/x&time<9"]), st.data())
def test_what_fits_allows_no_call_that_the_rule_forbids(ceiling, data):
    texts = ["method^list", "method=pay", "method=x", "time<8", "method^ab", "method/approvepairing", LISTS]
    chosen = data.draw(st.lists(st.sampled_from(texts), max_size=3))
    given = granted(*chosen)
    call = {
        "method": data.draw(st.sampled_from(["pay", "list", "listpeers", "x", "ab", "approvepairing"])),
        "time": data.draw(st.sampled_from(["7", "8", "9", "10"])),
    }
    if fits(given, ceiling):
        allowed = _allows(given.restrictions[2:], call)
        assert not allowed or _allows(rune.parse_restrictions(ceiling), call)
        assert not allowed or call["method"] != "approvepairing"


def _allows(restrictions, call) -> bool:
    return all(any(compare.holds(a, call.get(a.field)) for a in r.alternatives) for r in restrictions)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([("", LISTS, 1)], "rule 1: the name is empty"),
        ([("a\n", LISTS, 1)], "control characters"),
        ([("a", "", 1)], "the restrictions are empty"),
        ([("a", "nonsense", 1)], "does not have the form"),
        ([("a", LISTS, 0)], "daily_limit = 0"),
        ([("a", LISTS, 1001)], "out of range"),
        ([("a", LISTS, 1), ("b", LISTS, 1), ("a", "method=x", 1)], "rule 3: another rule has its name"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rules, problem):
    with pytest.raises(MalformedMessage, match=problem) as refused:
        read_rules(rules)
    assert refused.value.hint
