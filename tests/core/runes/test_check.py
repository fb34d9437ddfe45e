"""Whether a rune allows a call: authcode, restrictions, unique id, binding."""

from __future__ import annotations

import pytest

from signerd.core.runes import check, rune
from signerd.core.runes.check import CallContext, RuneRule
from signerd.core.runes.rune import Rune
from signerd.errors import Refused
from signerd.units import Secret, UnixTime

SECRET = Secret(bytes(range(32)))
KEY = "04" + "ab" * 64
NOW = UnixTime(1_700_000_000)
CALL = CallContext(method="listpeers", pubkey=KEY, time=NOW)


def made(*restrictions: str) -> Rune:
    return rune.create(SECRET, [f"pubkey={KEY}", *restrictions])


def with_text(text: str) -> Rune:
    """A rune with a valid authcode over restrictions that `create` would not prepend an id to."""
    restrictions = rune.parse_restrictions(text, with_id=True)
    return Rune(rune.authcode(SECRET, restrictions), restrictions)


def refusal_of(checked: Rune, call: CallContext = CALL) -> RuneRule:
    with pytest.raises(Refused) as caught:
        check.check(checked, SECRET, call)
    return RuneRule(caught.value.rule)


@pytest.mark.parametrize(
    "restriction",
    [
        "method^list|method^get",
        "method=listpeers",
        "method/pay",
        "method~peer",
        "method{m",
        "method}a",
        "x!",
        "x#y",
        "time<1700000001",
        "time>1699999999",
        "time=1700000000",
        f"pubkey^04&pubkey/{KEY}00",
    ],
)
def test_allows_what_its_restrictions_allow(restriction):
    check.check(made(*restriction.split("&")), SECRET, CALL)


@pytest.mark.parametrize(
    ("restriction", "rule"),
    [
        ("method=pay", RuneRule.METHOD),
        ("method^get|method^pay", RuneRule.METHOD),
        ("method^List", RuneRule.METHOD),
        ("method!", RuneRule.METHOD),
        ("time<1700000000", RuneRule.TIME),
        ("time>1700000000", RuneRule.TIME),
        ("time<soon", RuneRule.TIME),
        ("pubkey=00", RuneRule.PUBKEY),
        ("method=pay|time<5", RuneRule.RESTRICTION),
        ("rate=3", RuneRule.UNKNOWN_FIELD),
        ("rate=3|per=1", RuneRule.UNKNOWN_FIELD),
        ("foo/bar", RuneRule.UNKNOWN_FIELD),
        ("foo=", RuneRule.UNKNOWN_FIELD),
        ("foo^", RuneRule.UNKNOWN_FIELD),
        ("foo~", RuneRule.UNKNOWN_FIELD),
        ("foo{a", RuneRule.UNKNOWN_FIELD),
    ],
)
def test_refuses_and_names_the_rule(restriction, rule):
    assert rule is refusal_of(made(restriction))


def test_every_restriction_counts():
    assert RuneRule.METHOD is refusal_of(made("method^list", "method=pay"))


def test_refuses_a_rune_with_a_flipped_authcode():
    good = made()
    for position in (0, 31):
        flipped = bytearray(good.authcode)
        flipped[position] ^= 1
        assert RuneRule.AUTHCODE is refusal_of(Rune(bytes(flipped), good.restrictions))


def test_refuses_a_rune_with_a_restriction_removed_added_or_swapped():
    good = made("method^list", "time<1800000000")
    for restrictions in (
        good.restrictions[:-1],
        (*good.restrictions, *rune.parse_restrictions("x!")),
        good.restrictions[:2] + good.restrictions[:1:-1],
        (),
    ):
        assert RuneRule.AUTHCODE is refusal_of(Rune(good.authcode, restrictions))


def test_refuses_a_rune_of_another_node():
    other = rune.create(Secret(bytes(32)), [f"pubkey={KEY}"])
    assert RuneRule.AUTHCODE is refusal_of(other)


def test_the_bare_master_rune_is_not_enough():
    assert RuneRule.UNBOUND is refusal_of(with_text(""))


@pytest.mark.parametrize("text", ["=0-gl0", "=7-gl0", "=-gl0", "x!"])
def test_accepts_any_unique_id_of_our_version_and_none(text):
    check.check(with_text(f"{text}&pubkey={KEY}"), SECRET, CALL)


@pytest.mark.parametrize("text", ["=0", "=0-gl1", "=0-1-gl0", "=", "=gl0"])
def test_refuses_a_unique_id_of_another_form(text):
    assert RuneRule.ID is refusal_of(with_text(f"{text}&pubkey={KEY}"))


@pytest.mark.parametrize(
    "text",
    [
        f"pubkey={KEY}|method^",
        f"pubkey={KEY}|x#",
        f"x#pubkey={KEY}",
        "pubkey/00",
        "pubkey^04",
        f"xpubkey={KEY}|x!",
        f"pubkey#{KEY}",
        f"method^list|pubkey={KEY}",
        r"x#\&pubkey=" + KEY,
    ],
)
def test_refuses_a_rune_that_another_key_could_use_as_well(text):
    """The reference looks for the text `pubkey=` and accepts all of these but two."""
    assert RuneRule.UNBOUND is refusal_of(with_text(f"=0-gl0&{text}"))


def test_compares_keys_exactly():
    assert RuneRule.PUBKEY is refusal_of(with_text(f"=0-gl0&pubkey={KEY.upper()}"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"pubkey={KEY}", KEY),
        (f"a=1&pubkey={KEY}&pubkey=00", KEY),
        (f"pubkey={KEY}|a=1", None),
        ("pubkey/00", None),
    ],
)
def test_knows_the_key_that_a_rune_is_bound_to(text, key):
    assert key == check.bound_key(rune.parse_restrictions(text))


def test_a_refusal_says_what_the_rune_demands_and_stays_short():
    with pytest.raises(Refused) as caught:
        check.check(made("|".join(["method=pay"] * 1_000)), SECRET, CALL)
    assert caught.value.message.startswith("the rune demands that the method is pay, or ")
    assert len(caught.value.message) < 500
