"""Field types one by one: what is accepted, what is refused, and what a huge length costs."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from helpers.wire_messages import POINTS
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.wire import composites, fields, records
from signerd.errors import MalformedMessage

ORDER = secp256k1.ORDER.to_bytes(32, "big")
ONE = (1).to_bytes(32, "big")


def read(field, raw):
    return field.read(fields.Reader(raw))


@pytest.mark.parametrize(
    ("field", "value", "raw"),
    [
        (fields.U8, 255, "ff"),
        (fields.U16, 1, "0001"),
        (fields.U32, 2, "00000002"),
        (fields.U64, 3, "0000000000000003"),
        (fields.BOOL, True, "01"),
        (fields.BOOL, False, "00"),
        (fields.OCTETS, b"ab", "00026162"),
        (fields.PSBT, b"ab", "000000026162"),
        (fields.CHANNEL_TYPE, b"\x40\x10\x00", "0003401000"),
        (fields.TEXT, "lnbcrt1", "6c6e62637274310" + "0"),
        (fields.TEXT, "", "00"),
        (fields.TEXT, "ä\x7f", "c3a47f00"),
        (fields.RAW_TEXT, b"\xff ", "ff2000"),
        (records.optional(fields.U16), None, "00"),
        (records.optional(fields.U16), 7, "010007"),
        (records.array(fields.U16), (1, 2), "000200010002"),
        (composites.SIDE, composites.Side.REMOTE, "01"),
    ],
)
def test_reads_and_writes(field, value, raw):
    raw = bytes.fromhex(raw)
    assert value == read(field, raw)
    assert raw == field.write(value)
    assert len(raw) >= field.least


@pytest.mark.parametrize(
    ("field", "raw", "problem"),
    [
        (fields.BOOL, b"\x02", "0 or 1"),
        (records.optional(fields.U8), b"\x02\x00", "0 or 1"),
        (fields.TEXT, b"lnbcrt1", "no NUL"),
        (fields.TEXT, b"\xff\xfe\x00", "not UTF-8"),
        (fields.TEXT, b"\xc0\x80\x00", "not UTF-8"),
        (fields.TEXT, b"\xed\xa0\x80\x00", "not UTF-8"),
        (fields.TEXT, b"a\tb\x00", "control character"),
        (fields.TEXT, b"a\x1f\x00", "control character"),
        (fields.RAW_TEXT, b"a\nb\x00", "control character"),
        (composites.SIDE, b"\x02", "a side is"),
        (composites.SIGHASH, b"\x02", "sighash type"),
        (composites.SIGHASH, b"\x00", "sighash type"),
        (composites.SIGHASH, b"\x81", "sighash type"),
        (fields.POINT, bytes(33), "not a compressed"),
        (fields.POINT, b"\x04" + POINTS[0][1:], "not a compressed"),
        (fields.POINT, b"\x05" + POINTS[0][1:], "not a compressed"),
        (fields.POINT, b"\x06" + POINTS[0][1:], "not a compressed"),
        (fields.POINT, b"\x02" + b"\xff" * 32, "not a compressed"),
        (fields.SIGNATURE, ORDER + ONE, "group order"),
        (fields.SIGNATURE, ONE + b"\xff" * 32, "group order"),
        (fields.RECOVERABLE_SIGNATURE, ONE + ONE + b"\x04", "recovery id"),
        (fields.RECOVERABLE_SIGNATURE, ONE + ORDER + b"\x00", "group order"),
    ],
)
def test_refuses(field, raw, problem):
    with pytest.raises(MalformedMessage, match=problem):
        read(field, raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (fields.SHA256, bytes(31)),
        (fields.POINT, bytes(34)),
        (fields.TEXT, "a\x00b"),
    ],
)
def test_does_not_write_what_would_shift_the_fields_behind_it(field, value):
    with pytest.raises(ValueError):
        field.write(value)


def test_a_node_id_is_a_name_that_need_not_be_a_point():
    assert bytes(33) == read(fields.NODE_ID, bytes(33))


def test_an_array_whose_shape_is_not_that_of_its_items_cannot_be_made():
    with pytest.raises(ValueError, match="has 4 bytes, not 2"):
        records.array(fields.U32, shape=struct.Struct(">H"), make=lambda value: value)


def test_an_array_of_what_takes_no_bytes_cannot_be_made():
    nothing = fields.Field(name="nothing", least=0, read=lambda _: None, write=lambda _: b"")
    with pytest.raises(ValueError):
        records.array(nothing)


@pytest.mark.parametrize(
    ("field", "raw"),
    [
        (records.array(fields.U32), b"\xff\xff"),
        (composites.HTLCS, b"\xff\xff"),
        (composites.UTXOS, b"\xff\xff"),
        (composites.BITCOIN_SIGNATURES, b"\xff\xff"),
        (fields.OCTETS, b"\xff\xff"),
        (fields.PSBT, b"\xff\xff\xff\xff"),
        (composites.TX, b"\xff\xff\xff\xff"),
        (composites.TX, b"\x00\x00\x00\x00\xff\xff\xff\xff"),
    ],
)
def test_a_huge_length_costs_nothing(field, raw):
    message = raw + bytes(40)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage):
            read(field, message)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000


def test_least_is_the_size_of_the_smallest_value():
    assert composites.HTLC.least == 45
    assert composites.BASEPOINTS.least == 132
    assert composites.BITCOIN_SIGNATURE.least == 65
    smallest = composites.Utxo(bytes(32), 0, 0, 0, False, b"", None, False)
    assert composites.UTXO.least == len(composites.UTXO.write(smallest))
    smallest = composites.CloseInfo(0, bytes(33), None, False, 0)
    assert composites.CLOSE_INFO.least == len(composites.CLOSE_INFO.write(smallest))


numbers = st.sampled_from([ORDER, (secp256k1.ORDER - 1).to_bytes(32, "big"), b"\xff" * 32, ONE])
QUICK = {
    "htlcs": (
        composites.HTLCS,
        composites.HTLC,
        st.tuples(st.sampled_from([b"\x00", b"\x01", b"\x02"]), st.binary(min_size=44, max_size=44)),
    ),
    "signatures": (
        composites.BITCOIN_SIGNATURES,
        composites.BITCOIN_SIGNATURE,
        st.tuples(numbers, numbers, st.sampled_from([b"\x01", b"\x83", b"\x02"])),
    ),
}


@pytest.mark.parametrize("name", QUICK)
@given(data=st.data())
def test_what_is_read_at_once_is_read_as_one_by_one(name, data):
    """Value for value, and where one is bad, word for word."""
    quick, item, parts = QUICK[name]
    items = [b"".join(each) for each in data.draw(st.lists(parts, max_size=4))]
    count = max(0, len(items) + data.draw(st.sampled_from([0, 0, 0, 1, -1])))
    body = b"".join(items)[: data.draw(st.sampled_from([None, None, -1]))]
    outcomes: list[object] = []
    for field in (quick, records.array(item)):
        reader = fields.Reader(count.to_bytes(2, "big") + body)
        try:
            outcomes.append((field.read(reader), reader.left))
        except MalformedMessage as problem:
            outcomes.append(problem.message)
    assert outcomes[0] == outcomes[1]
