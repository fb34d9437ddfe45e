"""Bech32 of any length, against an independent implementation."""

from __future__ import annotations

import pytest
from embit import bech32 as oracle
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx import bech32
from signerd.errors import MalformedMessage

PREFIXES = st.sampled_from(["bc", "lnbc", "lnbcrt2500u", "lni", "a1b"])
SYMBOLS = st.lists(st.integers(0, 31), max_size=400).map(bytes)


@given(PREFIXES, SYMBOLS)
def test_writes_what_another_implementation_writes(prefix, symbols):
    assert oracle.bech32_encode(oracle.Encoding.BECH32, prefix, list(symbols)) == bech32.encode(
        prefix, symbols
    )


@given(PREFIXES, SYMBOLS, st.booleans())
def test_reads_what_it_writes_in_either_case(prefix, symbols, upper):
    text = bech32.encode(prefix, symbols)
    assert (prefix, symbols) == bech32.decode(text.upper() if upper else text)


@given(st.binary(max_size=200))
def test_bytes_come_back_from_their_symbols(data):
    symbols = bech32.unpack(data)
    assert data == bech32.octets(symbols)
    assert data == bech32.pack(symbols)[: len(data)]


@given(SYMBOLS)
def test_packing_fills_the_last_byte_with_zeros(symbols):
    bits = "".join(f"{symbol:05b}" for symbol in symbols)
    bits += "0" * (-len(bits) % 8)
    assert bits == "".join(f"{byte:08b}" for byte in bech32.pack(symbols))


@given(SYMBOLS.filter(len), st.data())
def test_refuses_any_one_symbol_that_changed(symbols, data):
    text = bech32.encode("lnbc", symbols)
    place = data.draw(st.integers(5, len(text) - 1))
    letter = data.draw(st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l").filter(lambda c: c != text[place]))
    with pytest.raises(MalformedMessage, match="check sum"):
        bech32.decode(text[:place] + letter + text[place + 1 :])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no prefix"),
        ("1qqqqqq", "no prefix"),
        ("lnbc", "no prefix"),
        ("lnbc1", "check sum"),
        ("lnbc1qqqqq", "check sum"),
        ("lnbc1bqqqqqq", "character"),
        ("LNbc1qqqqqq", "cases"),
        ("ln bc1qqqqqq", "cases"),
        ("lnbc1q\u0131qqqqq", "cases"),
        ("\u212a1qqqqqq", "cases"),
    ],
)
def test_refuses_what_is_no_bech32(text, problem):
    with pytest.raises(MalformedMessage, match=problem):
        bech32.decode(text)


@pytest.mark.parametrize("symbols", [b"\x01", b"\x00", b"\x00\x01", b"\x00\x00\x00", b"\x00\x00\x00\x01"])
def test_refuses_padding_that_is_not_zero_or_is_a_symbol_long(symbols):
    with pytest.raises(MalformedMessage, match="padded"):
        bech32.octets(symbols)


def test_a_number_that_does_not_fit_is_not_cut():
    with pytest.raises(OverflowError):
        bech32.symbols_of(32, 1)
