"""Passphrases: bytes as they are, one newline that is none of them, and what a new one may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import passphrase
from signerd.errors import SecretError
from signerd.units import Secret


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"words\n", b"words"),
        (b"words", b"words"),
        (b"words\n\n", b"words\n"),
        (b"words\r\n", b"words\r"),
        (b" words \n", b" words "),
        (b"\n", b""),
        (b"", b""),
        (b"\xff\xfe\n", b"\xff\xfe"),
    ],
)
def test_of_a_line_one_newline_is_left_away_and_nothing_else(content, expected):
    assert passphrase.of_line(content).expose() == expected


@given(st.binary(max_size=50))
def test_what_follows_a_newline_is_never_lost(content):
    assert passphrase.of_line(content + b"\n").expose() == content


@pytest.mark.parametrize("new", ["x", " ", "é" * 2000, "e\u0301", "\x7f", "a" * 4000])
def test_takes_what_can_be_typed(new):
    passphrase.require_usable(Secret(new.encode()))


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (b"", "empty"),
        (b"a" * 4001, "4000"),
        (b"two\nlines", "line break"),
        (b"tab\t", "control"),
        (b"nul\x00", "control"),
        (b"\x1f", "control"),
        (b"windows\r", "control"),
    ],
)
def test_refuses_what_core_lightning_could_not_be_given(new, says):
    with pytest.raises(SecretError, match=says) as caught:
        passphrase.require_usable(Secret(new))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("short", "fewer than 16"),
        (" six random words are long enough", "blank"),
        ("long enough to be one ", "blank"),
    ],
)
def test_gives_advice(new, says):
    assert says in (passphrase.weakness(Secret(new.encode())) or "")


@pytest.mark.parametrize("new", ["correct horse battery", "ü" * 16])
def test_has_nothing_to_say_about_a_long_one(new):
    assert passphrase.weakness(Secret(new.encode())) is None
