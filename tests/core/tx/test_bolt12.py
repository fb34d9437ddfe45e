"""BOLT 12 invoices that a real node paid, and what is no longer one once a byte of it changes."""

from __future__ import annotations

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32, bolt12
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.wire import codec
from signerd.errors import MalformedMessage

KEY = b"\x42" * 32
POINT = secp256k1.public_key(KEY)


def recorded() -> list[str]:
    runs = vectors.load("cln_messages")["messages"]["lightningd"]["runs"]
    asked = (
        codec.decode(bytes.fromhex(step["raw"])).invstring
        for run in runs
        for node in run["nodes"]
        for step in node["steps"]
        if step["type"] == 51
    )
    return sorted({text for text in asked if text.startswith("lni1")})


RECORDED = recorded()
FIELDS = {
    0: b"metadata",
    80: CHAIN_HASHES["regtest"],
    82: b"\x03\xe8",
    88: POINT,
    160: b"paths",
    162: b"pay",
    164: b"\x6b\x00\x00\x00",
    166: b"\x5a",
    168: b"\x07" * 32,
    170: b"\x03\xe8",
    174: b"\x03\x00\x00",
    176: POINT,
}


def bigsize(value: int) -> bytes:
    if value < 0xFD:
        return bytes([value])
    return b"\xfd" + value.to_bytes(2, "big")


def stream_of(fields: dict[int, bytes]) -> bytes:
    return b"".join(bigsize(kind) + bigsize(len(value)) + value for kind, value in sorted(fields.items()))


def text_of(fields: dict[int, bytes], key: bytes = KEY) -> str:
    """An invoice with these fields, signed."""
    root = bolt12.merkle_root(bolt12.records(stream_of(fields)))
    signature = secp256k1.sign_schnorr(
        key, secp256k1.tagged_hash(b"lightninginvoicesignature", root), bytes(32)
    )
    return bech32.encode_unchecked("lni", bech32.unpack(stream_of({240: signature} | fields)))


def test_reads_what_a_real_node_was_asked_to_pay():
    invoices = [bolt12.read(text) for text in RECORDED]
    assert len(invoices) == 4
    assert {CHAIN_HASHES["regtest"]} == {invoice.chain_hash for invoice in invoices}
    assert {(5000, 7200), (4000, 90)} == {(item.amount_msat, item.relative_expiry) for item in invoices}
    assert all(invoice.expires == invoice.created_at + invoice.relative_expiry for invoice in invoices)


def test_reads_upper_case_and_joined_parts():
    text = RECORDED[0]
    assert bolt12.read(text) == bolt12.read(text.upper())
    assert bolt12.read(text) == bolt12.read(f"{text[:2]}+{text[2:50]}+   {text[50:]}")


@pytest.mark.parametrize(
    "text", ["+" + RECORDED[0], RECORDED[0] + "+", RECORDED[0][:9] + "++" + RECORDED[0][9:]]
)
def test_refuses_a_plus_that_joins_nothing(text):
    with pytest.raises(MalformedMessage):
        bolt12.read(text)


@given(st.integers(4, len(RECORDED[0]) - 1), st.sampled_from("qpzry9x8"))
def test_refuses_any_letter_that_changed(place, letter):
    text = RECORDED[0]
    if text[place] != letter:
        with pytest.raises(MalformedMessage, match="not a BOLT 12 invoice"):
            bolt12.read(text[:place] + letter + text[place + 1 :])


def test_refuses_an_invoice_that_is_cut():
    text = text_of(FIELDS)
    for end in range(len(text)):
        with pytest.raises(MalformedMessage):
            bolt12.read(text[:end])


def test_the_signature_covers_unknown_odd_fields():
    invoice = bolt12.read(text_of(FIELDS | {1001: b"odd"}))
    assert invoice.digest != bolt12.read(text_of(FIELDS)).digest
    assert (b"\x07" * 32, 1000, POINT) == (invoice.payment_hash, invoice.amount_msat, invoice.node_id)


def test_without_chain_and_expiry_it_is_bitcoin_for_two_hours():
    invoice = bolt12.read(text_of({kind: value for kind, value in FIELDS.items() if kind not in (80, 166)}))
    assert (CHAIN_HASHES["bitcoin"], 7200) == (invoice.chain_hash, invoice.relative_expiry)


@pytest.mark.parametrize("kind", [160, 162, 164, 168, 170, 176])
def test_refuses_an_invoice_without_a_field_that_it_needs(kind):
    fields = {other: value for other, value in FIELDS.items() if other != kind}
    with pytest.raises(MalformedMessage, match=f"TLV type {kind} is missing"):
        bolt12.read(text_of(fields))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({160: b""}, "type 160 is missing or empty"),
        ({168: bytes(31)}, "type 168 has 32 bytes, not 31"),
        ({176: b"\x02" + b"\xff" * 32}, "node id"),
        ({176: secp256k1.public_key(b"\x01" * 32)}, "signature"),
        ({80: bytes(31)}, "type 80 has 32 bytes"),
        ({170: b"\x00\x03\xe8"}, "shortest form"),
        ({170: b"\x01" + bytes(8)}, "shortest form"),
        ({164: b"\x01" + bytes(7)}, "shortest form"),
        ({166: b"\x01" + bytes(4)}, "shortest form"),
        ({82: b"\x03\xe9"}, "not the one that was requested"),
        ({174: b"\x01"}, "feature 0"),
        ({174: b"\x04\x00\x00"}, "feature 18"),
        ({254: b""}, "type 254 is even"),
        ({178: b""}, "type 178 is even"),
    ],
    ids=str,
)
def test_refuses_an_invoice_with_a_wrong_field(change, problem):
    with pytest.raises(MalformedMessage, match=problem):
        bolt12.read(text_of(FIELDS | change))


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b"\x01", "inside of a record"),
        (b"\x01\x02\x00", "1 bytes after the stream"),
        (b"\x01\x00\x01\x00", "ascend"),
        (b"\x02\x00\x01\x00", "ascend"),
        (b"\xfd\x00\x01\x00", "shortest form"),
        (b"\xfd\x01", "cut short"),
        (b"\xff" + bytes(8) + b"\x00", "shortest form"),
        (b"\x01\xff" + b"\xff" * 8, "after the stream"),
        (bytes(65536), "over 65535"),
    ],
    ids=lambda value: value[:8].hex() if isinstance(value, bytes) else "",
)
def test_refuses_a_stream_that_is_not_canonical(stream, problem):
    with pytest.raises(MalformedMessage, match=problem):
        bolt12.records(stream)


# Records and root of the specification's own examples (BOLT 12, signature calculation).
@pytest.mark.parametrize(
    ("records", "root"),
    [
        (["010203e8"], "b013756c8fee86503a0b4abdab4cddeb1af5d344ca6fc2fa8b6c08938caa6f93"),
        (
            ["010203e8", "02080000010000020003"],
            "c3774abbf4815aa54ccaa026bff6581f01f3be5fe814c620a252534f434bc0d1",
        ),
        (
            [
                "010203e8",
                "02080000010000020003",
                "0331"
                "0266e4598d1d3c415f572a8488830b60f7e744ed9235eb0b1ba93283b315c03518"
                + "00" * 7
                + "01"
                + "00" * 7
                + "02",
            ],
            "ab2e79b1283b0b31e0b035258de23782df6b89a38cfa7237bde69aed1a658c5d",
        ),
    ],
    ids=["one", "two", "three"],
)
def test_merkle_roots_are_those_of_the_specification(records, root):
    stream = bolt12.records(bytes.fromhex("".join(records)))
    assert root == bolt12.merkle_root(stream).hex()


def test_an_offer_is_no_invoice():
    with pytest.raises(MalformedMessage, match="prefix is not lni"):
        bolt12.read(text_of(FIELDS).replace("lni", "lno", 1))
