"""Bitcoin's numbers and lengths: read back as written, and in their shortest form only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx.reader import Reader, compact_size, octets
from signerd.errors import MalformedMessage


@given(
    value=st.one_of(
        st.integers(0, 2**64 - 1), st.sampled_from([0xFC, 0xFD, 0xFFFF, 0x10000, 2**32 - 1, 2**32])
    )
)
def test_reads_the_compact_size_that_it_writes(value):
    raw = compact_size(value)
    assert len(raw) == (1 if value < 0xFD else 3 if value < 0x10000 else 5 if value < 2**32 else 9)
    reader = Reader(raw, "the number")
    assert reader.compact_size() == value
    reader.finish()


def test_writes_no_compact_size_beyond_eight_bytes():
    with pytest.raises(ValueError, match="2\\^64"):
        compact_size(2**64)


@pytest.mark.parametrize("raw", ["fdfc00", "fe0000ffff"[:2] + "ffff0000", "ff" + "ffffffff00000000"])
def test_refuses_a_compact_size_that_could_be_shorter(raw):
    with pytest.raises(MalformedMessage, match="the number has a compact size"):
        Reader(bytes.fromhex(raw), "the number").compact_size()


@given(data=st.binary(max_size=300), rest=st.binary(max_size=3))
def test_reads_octets_and_says_what_is_left(data, rest):
    reader = Reader(octets(data) + rest, "the thing")
    assert reader.octets() == data
    assert reader.left == len(rest)
    if rest:
        with pytest.raises(MalformedMessage, match=f"the thing has {len(rest)} bytes too many"):
            reader.finish()


def test_refuses_a_count_before_it_reads_any_item():
    with pytest.raises(MalformedMessage, match="announces 3 items in 8 bytes"):
        Reader(b"\x03" + bytes(8), "the list").count(smallest=3)
    assert Reader(b"\x03" + bytes(9), "the list").count(smallest=3) == 3


def test_says_how_much_is_missing():
    with pytest.raises(MalformedMessage, match="the thing ends 2 bytes too early"):
        Reader(b"\x01", "the thing").take(3)
