"""Restrictions in words."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.runes.explain import briefly, explain
from signerd.core.runes.restriction import OPERATORS, Alternative, Restriction, parse_restrictions

KEY = "04" + "ab" * 64


def words(text: str) -> str:
    (restriction,) = parse_restrictions(text, with_id=True)
    return explain(restriction)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=0-gl0", "its own id is 0, made for version gl0"),
        ("=7", "its own id is 7 (never so: it lacks a version)"),
        (f"pubkey={KEY}", f"the caller's key is {KEY}"),
        ("pubkey=", 'the caller\'s key is "" (never so: a device key is 04 and 128 lower-case hex digits)'),
        ("method=pay", "the method is pay"),
        ("method^list|method^get", "the method starts with list, or the method starts with get"),
        ("method/pay", "the method is anything but pay"),
        ("method$invoice", "the method ends with invoice"),
        ("method~a b", 'the method contains "a b"'),
        ("method{b", "the method sorts before b"),
        ("method}b", "the method sorts after b"),
        ("method^Get", "the method starts with Get (never so: methods are compared in lower case)"),
        ("method<5", "the method is a number below 5 (never so: not a number)"),
        ("method!", "the method is absent (never so)"),
        ("time<1893456000", "the time is before 2030-01-01 00:00:00 UTC (1893456000)"),
        ("time>+1700000000", "the time is after 2023-11-14 22:13:20 UTC (1700000000)"),
        ("time<abc", "the time is a number below abc (never so: not a number)"),
        ("time<-5", "the time is before second -5 of Unix time"),
        ("time<9223372036854775807", "the time is before second 9223372036854775807 of Unix time"),
        ("rate=3", "the field rate is 3 (never so: signers do not know this field)"),
        ("foo!", "the field foo is absent (always so: signers do not know this field)"),
        ("method=pay|note#hi", "the method is pay, or anything at all (a comment: hi)"),
    ],
)
def test_says_what_a_restriction_means(text, expected):
    assert expected == words(text)


@given(st.integers(0, 253_402_300_799))
def test_dates_are_those_of_the_calendar(seconds):
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    assert f"{moment:%Y-%m-%d %H:%M:%S} UTC" in words(f"time<{seconds}")


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from(OPERATORS))
def test_never_passes_on_control_characters(value, op):
    for field in ("method", "time", "x\x1b"):
        assert explain(Restriction((Alternative(field, op, value),))).isprintable()


def test_shows_characters_that_reverse_the_line_as_escapes():
    assert r'the method is "a\u202eb"' == words("method=a\u202eb")


def test_long_values_are_cut_and_counted():
    text = words("x=" + "y" * 100_000)
    assert '…" (100000 characters)' in text
    assert len(text) < 400


def test_a_brief_explanation_fits_a_log_line():
    (restriction,) = parse_restrictions("|".join(f"method={n}" for n in range(1_000)))
    assert len(briefly(restriction)) < 410
    assert explain(restriction).startswith(briefly(restriction)[:-1])
