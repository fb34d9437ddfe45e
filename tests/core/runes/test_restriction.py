"""The language of restrictions: what is read, how it is written, what is refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.runes.restriction import (
    OPERATORS,
    Alternative,
    Restriction,
    parse_restriction,
    parse_restrictions,
    to_text,
)
from signerd.errors import MalformedMessage

PUNCTUATION = set(string.punctuation) - {"_"}
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FIELDS = st.text(st.characters(codec="utf-8", exclude_characters=PUNCTUATION), min_size=1, max_size=6)
ALTERNATIVES = st.builds(Alternative, FIELDS, st.sampled_from(OPERATORS), TEXT)
RESTRICTIONS = st.builds(Restriction, st.lists(ALTERNATIVES, min_size=1, max_size=4).map(tuple))


@given(st.lists(RESTRICTIONS, max_size=4).map(tuple))
def test_reads_what_it_wrote(restrictions):
    assert restrictions == parse_restrictions(to_text(restrictions))


@given(st.text(st.sampled_from("ab=^|&\\é_- ")))
def test_writing_what_was_read_is_canonical(text):
    try:
        restrictions = parse_restrictions(text)
    except MalformedMessage:
        return
    assert restrictions == parse_restrictions(to_text(restrictions))
    assert len(to_text(restrictions)) <= len(text)


# The left column is given, the right one is what the reference signer reads and writes again.
@pytest.mark.parametrize(
    ("given_text", "written"),
    [
        ("a=1", "a=1"),
        ("a=1|", "a=1"),
        ("a=1&", "a=1"),
        ("a=1|&", "a=1"),
        ("a=1|&b=2", "a=1&b=2"),
        ("a=1|b=2|", "a=1|b=2"),
        ("a=1\\", "a=1"),
        (r"a=\x\&\|\\", r"a=x\&\|\\"),
        (r"a=1\\&b=2", r"a=1\\&b=2"),
        ("a!", "a!"),
        ("a=b=c", "a=b=c"),
        ("a_b=1", "a_b=1"),
        (" a b\t= 1", " a b\t= 1"),
        ("", ""),
    ],
)
def test_reads_as_the_reference_reads(given_text, written):
    assert written == to_text(parse_restrictions(given_text))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "&a=1",
        "a=1&&",
        "a=1&&b=2",
        "a=1||",
        "|a=1",
        "a=1||b=2",
        "a=1&|b=2",
        "a-b=1",
        "a.b=1",
        "a?b",
        "x\\=1",
        "=1",
        "a=1&=1",
        "a=1|=1",
        "!",
        "^x",
        "#c",
    ],
)
def test_refuses_what_the_reference_refuses(text):
    with pytest.raises(MalformedMessage):
        parse_restrictions(text)


@pytest.mark.parametrize("text", ["", "&", "|", "a=1&b=2", "a=1&&"])
def test_one_restriction_is_exactly_one(text):
    with pytest.raises(MalformedMessage):
        parse_restriction(text)


def test_an_escaped_ampersand_stays_in_its_value():
    assert Restriction((Alternative("a", "=", "1&b=2"),)) == parse_restriction(r"a=1\&b=2")


def test_counts_characters_and_not_bytes():
    """The reference shifts what follows by one character for each extra byte."""
    expected = (Alternative("é", "=", "ü"), Alternative("name", "=", "💡é"), Alternative("z", "^", ""))
    assert Restriction(expected) == parse_restriction("é=ü|name=💡é|z^")


@pytest.mark.parametrize("character", sorted(PUNCTUATION))
def test_a_field_ends_at_each_punctuation_character(character):
    text = f"field{character}value"
    if character in OPERATORS:
        assert Alternative("field", character, "value") == parse_restriction(text).only
    else:
        with pytest.raises(MalformedMessage):
            parse_restriction(text)


def test_a_unique_id_stands_only_in_the_first_restriction_of_a_rune():
    (restriction,) = parse_restrictions("=0-gl0", with_id=True)
    assert Alternative("", "=", "0-gl0") == restriction.only
    assert 2 == len(parse_restrictions("a=b|=0", with_id=True)[0].alternatives)
    for text in ("=0|a=b", "a=b&=0", "=0&=1", "!", "#c"):
        with pytest.raises(MalformedMessage):
            parse_restrictions(text, with_id=True)


def test_refuses_text_that_is_not_utf8():
    with pytest.raises(MalformedMessage, match="UTF-8"):
        parse_restriction("a=\udcff")


def test_an_error_shows_no_control_characters_and_is_short():
    with pytest.raises(MalformedMessage) as caught:
        parse_restriction("\x1b[2J" + "x" * 100_000)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(("field", "op"), [("a-b", "="), ("a", "=="), ("a", ""), ("a", "?"), ("a=", "=")])
def test_no_alternative_exists_that_cannot_be_written(field, op):
    with pytest.raises(ValueError, match="do not make"):
        Alternative(field, op, "x")


def test_no_restriction_exists_without_an_alternative():
    with pytest.raises(ValueError, match="at least one"):
        Restriction(())
    assert parse_restriction("a=1|b=2").only is None
