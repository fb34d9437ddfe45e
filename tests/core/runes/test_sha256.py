"""The compression function, against hashlib."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.runes import sha256

# FIPS 180-4, 5.3.3
INITIAL = bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19")


@given(st.binary(max_size=300))
def test_a_padded_message_yields_its_digest(message):
    assert hashlib.sha256(message).digest() == sha256.extend(INITIAL, message + sha256.padding(len(message)))


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_goes_on_where_a_digest_left_off(message, more):
    padded = message + sha256.padding(len(message))
    tail = more + sha256.padding(len(padded) + len(more))
    expected = hashlib.sha256(padded + more).digest()
    assert expected == sha256.extend(hashlib.sha256(message).digest(), tail)


@pytest.mark.parametrize("length", range(200))
def test_padding_fills_the_last_block(length):
    padding = sha256.padding(length)
    assert 0 == (length + len(padding)) % 64
    assert 9 <= len(padding) <= 72
    assert padding[0] == 0x80
    assert 8 * length == int.from_bytes(padding[1:], "big")


@pytest.mark.parametrize(("state", "data"), [(bytes(31), bytes(64)), (bytes(32), bytes(63))])
def test_refuses_half_a_block_or_state(state, data):
    with pytest.raises(ValueError, match="blocks of 64"):
        sha256.extend(state, data)
