"""TLV streams: canonical, and typed where the type is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.wire import fields, session, tlv
from signerd.errors import MalformedMessage


@given(st.integers(0, 2**64 - 1))
def test_bigsize_round_trips_and_is_shortest(value):
    raw = tlv.write_bigsize(value)
    assert value == tlv.read_bigsize(fields.Reader(raw))


@pytest.mark.parametrize(
    "raw",
    # BOLT 1, appendix A: not minimal, or cut short.
    ["fd00fc", "fe0000ffff", "ff00000000ffffffff", "fd00", "feffff", "ffffffffff", "", "fd", "fe", "ff"],
)
def test_refuses_a_bigsize_that_is_not_minimal_or_cut_short(raw):
    with pytest.raises(MalformedMessage):
        tlv.read_bigsize(fields.Reader(bytes.fromhex(raw)))


@pytest.mark.parametrize(
    "raw",
    ["01000100", "02000100", "0105ff", "01ffffffffffffffffff"],
    ids=["same", "descending", "short", "huge"],
)
def test_refuses_a_tlv_stream_that_is_not_canonical(raw):
    with pytest.raises(MalformedMessage):
        tlv.STREAM.read(fields.Reader(bytes.fromhex(raw)))


def test_refuses_a_stream_of_very_many_records():
    records = [bytes([kind, 0]) for kind in range(tlv.MAX_RECORDS + 1)]
    assert len(tlv.STREAM.read(fields.Reader(b"".join(records[:-1])))) == tlv.MAX_RECORDS
    with pytest.raises(MalformedMessage, match="more than 64"):
        tlv.STREAM.read(fields.Reader(b"".join(records)))


def test_known_types_are_decoded_and_odd_strangers_left_out():
    stream = ((1, b"\x02"), (2, bytes(78)), (7, b"?"))
    assert tlv.values(stream, session.INIT_REPLY_TLVS) == {1: 2, 2: bytes(78)}
    assert tlv.values(((1, b"pass\xff\x00"),), session.INIT_TLVS) == {1: b"pass\xff"}


@pytest.mark.parametrize(
    "stream",
    [((2, b""),), ((1, b"no NUL"),), ((1, b"two\x00\x00"),), ((1, b"a tab\t\x00"),), ((1, b""),)],
    ids=["even stranger", "cut", "one byte too many", "control character", "empty"],
)
def test_refuses_even_strangers_and_values_that_are_not_of_their_type(stream):
    with pytest.raises(MalformedMessage):
        tlv.values(stream, session.INIT_TLVS)
