"""The hsmd codec: strict, symmetric, and a row for every message."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.wire import codec, fields, tlv
from signerd.errors import MalformedMessage

POINTS = [secp256k1.public_key(bytes([n]) * 32) for n in (1, 2, 3)]
U32 = st.integers(0, 2**32 - 1)
SECRET = st.binary(min_size=32, max_size=32)
RECORDS = st.dictionaries(st.integers(0, 2**64 - 1), st.binary(max_size=20), max_size=4).map(
    lambda d: tuple(sorted(d.items()))
)
STRATEGIES = {
    fields.U32: U32,
    fields.BOOL: st.booleans(),
    fields.SECRET: SECRET,
    fields.SHA256: SECRET,
    fields.CHAIN_HASH: SECRET,
    fields.POINT: st.sampled_from(POINTS),
    fields.OCTETS: st.binary(max_size=300),
    fields.EXT_KEY: st.binary(min_size=78, max_size=78),
    tlv.STREAM: RECORDS,
}


def values(kind, name, field):
    if field in STRATEGIES:
        return STRATEGIES[field]
    if name == "capabilities":
        return st.lists(U32, max_size=9).map(tuple)
    return st.none() | SECRET  # every other field of these classes is an optional 32-byte value


def messages():
    return st.sampled_from(sorted(codec.classes().values(), key=lambda k: k.TYPE)).flatmap(
        lambda kind: st.builds(kind, **{n: values(kind, n, f) for n, f in codec.layout(kind)})
    )


@given(messages())
def test_decoding_gives_back_what_was_encoded(message):
    raw = codec.encode(message)
    assert message == codec.decode(raw)
    assert message.TYPE == codec.message_type(raw)


@given(messages(), st.data())
def test_refuses_every_truncation_and_every_extra_byte(message, data):
    raw = codec.encode(message)
    cut = data.draw(st.integers(0, len(raw) - 1))
    ends_in_tlvs = any(item.name == "tlvs" for item in dataclasses.fields(message))
    if ends_in_tlvs:
        # Cut between two records, a stream of records is a shorter stream.
        cut = min(cut, len(codec.encode(dataclasses.replace(message, tlvs=()))) - 1)
    with pytest.raises(MalformedMessage):
        codec.decode(raw[:cut])
    if not ends_in_tlvs:
        with pytest.raises(MalformedMessage, match="too many"):
            codec.decode(raw + b"\x00")


@given(st.binary(max_size=100))
def test_what_decodes_encodes_to_the_same_bytes(raw):
    try:
        message = codec.decode(raw)
    except MalformedMessage:
        return
    assert raw == codec.encode(message)


@pytest.mark.parametrize("raw", [b"", b"\x00", bytes(codec.MAX_MESSAGE + 1)], ids=len)
def test_refuses_what_is_too_short_or_too_long(raw):
    with pytest.raises(MalformedMessage):
        codec.message_type(raw)


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


@pytest.mark.parametrize("raw", ["01000100", "02000100", "0105ff"], ids=["same", "descending", "short"])
def test_refuses_a_tlv_stream_that_is_not_canonical(raw):
    with pytest.raises(MalformedMessage):
        tlv.STREAM.read(fields.Reader(bytes.fromhex(raw)))
