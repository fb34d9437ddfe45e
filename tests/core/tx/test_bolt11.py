"""BOLT 11's own examples, written again from their descriptions and read back; and everything it refuses.

The digests are SHA-256 of the specification's strings: they say that ours are the same to the letter.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from helpers import vectors
from helpers.bolt11_examples import (
    BASE,
    BEANS,
    COFFEE,
    DONATION,
    EXAMPLES,
    KEY,
    PAYEE,
    signed,
    text_of,
    without,
)
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32, bolt11, bolt11_writer
from signerd.core.tx.bolt11 import Fallback, Hop, Invoice
from signerd.core.tx.bolt11_writer import field, shortest
from signerd.core.wire import codec
from signerd.errors import MalformedMessage
from signerd.units import NETWORKS


def in_order(symbols: bytes, letters: str) -> bytes:
    """The same fields in another order."""
    fields, rest = {}, symbols[bolt11.TIMESTAMP_SYMBOLS :]
    while rest:
        size = 3 + (rest[1] << 5 | rest[2])
        fields[rest[0]] = rest[:size]
        rest = rest[size:]
    kinds = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(letter) for letter in letters]
    assert set(kinds) == set(fields)
    return symbols[: bolt11.TIMESTAMP_SYMBOLS] + b"".join(fields[kind] for kind in kinds)


@pytest.mark.parametrize(("order", "invoice", "digest"), EXAMPLES.values(), ids=EXAMPLES)
def test_writes_and_reads_the_specifications_examples(order, invoice, digest):
    prefix, symbols = bolt11_writer.write_unsigned(invoice)
    text = signed(prefix, in_order(symbols, order))
    assert digest == hashlib.sha256(text.encode()).hexdigest()

    found = bolt11.read(text)
    assert invoice == found.invoice
    assert PAYEE == found.payee


def test_reads_an_invoice_in_upper_case():
    text = text_of(BEANS)
    assert bolt11.read(text) == bolt11.read(text.upper())


def test_a_high_s_signature_recovers_a_key_where_no_payee_is_stated():
    """The specification's example: accepted, and the payee is another key's owner."""
    prefix, symbols = bolt11_writer.write_unsigned(DONATION)
    low = secp256k1.sign_recoverable(KEY, bolt11.digest(prefix, symbols))
    s = secp256k1.ORDER - int.from_bytes(low[32:64], "big")
    text = bolt11_writer.write(prefix, symbols, low[:32] + s.to_bytes(32, "big") + low[64:])
    assert hashlib.sha256(text.encode()).hexdigest().startswith("01f78e48b7152a52fd5275cd6840e1e9")
    assert PAYEE != bolt11.read(text).payee


def test_a_stated_payee_is_verified_not_recovered():
    stated = replace(BEANS, payee=PAYEE)
    assert PAYEE == bolt11.read(text_of(stated)).payee
    with pytest.raises(MalformedMessage, match="stated payee"):
        bolt11.read(text_of(stated, key=b"\x01" * 32))

    prefix, symbols = bolt11_writer.write_unsigned(stated)
    low = secp256k1.sign_recoverable(KEY, bolt11.digest(prefix, symbols))
    s = secp256k1.ORDER - int.from_bytes(low[32:64], "big")
    high = bolt11_writer.write(prefix, symbols, low[:32] + s.to_bytes(32, "big") + low[64:])
    with pytest.raises(MalformedMessage, match="stated payee"):
        bolt11.read(high)


@pytest.mark.parametrize("bits", [[14], [15], [9, 15], [14, 16, 48, 56], [8, 14, 25, 37, 99]])
def test_reads_an_invoice_with_any_features_that_have_a_payment_secret(bits):
    invoice = replace(BEANS, features=sum(1 << bit for bit in bits))
    assert invoice == bolt11.read(text_of(invoice)).invoice


def test_ignores_unknown_fields_and_versions_of_fallbacks():
    more = field(10, b"\x00\x00\x00") + field(bolt11.FALLBACK, b"\x13" + bytes(32)) + field(31, b"")
    assert BEANS == bolt11.read(text_of(BEANS, more=more)).invoice


HASH = bech32.unpack(bytes(32))
MALFORMED = {
    "unknown feature 100": (text_of(replace(BEANS, features=1 << 100)), "feature 100"),
    "unknown feature 0": (text_of(replace(BEANS, features=1)), "feature 0"),
    "unknown feature 24": (text_of(replace(BEANS, features=BEANS.features | 1 << 24)), "feature 24"),
    "unknown feature 36": (text_of(replace(BEANS, features=BEANS.features | 1 << 36)), "feature 36"),
    "no features": (text_of(replace(BEANS, features=0)), "payment_secret is not among"),
    "no feature of a secret": (text_of(replace(BEANS, features=1 << 8 | 1 << 17)), "not among"),
    "check sum": (text_of(COFFEE)[:-1] + "q", "check sum"),
    "no separator": (text_of(COFFEE).partition("1")[2].replace("1", ""), "no prefix"),
    "mixed case": ("LNBC" + text_of(COFFEE)[4:], "cases"),
    "not recoverable": (
        bolt11_writer.write(*bolt11_writer.write_unsigned(COFFEE), b"\xff" * 64 + b"\x01"),
        "recovered",
    ),
    "zero signature": (bolt11_writer.write(*bolt11_writer.write_unsigned(COFFEE), bytes(65)), "recovered"),
    "recovery id 4": (
        bolt11_writer.write(*bolt11_writer.write_unsigned(COFFEE), b"\x01" * 64 + b"\x04"),
        "recovered",
    ),
    "too short": (bech32.encode("lnbc", bytes(110)), "no room"),
    "no data": (bech32.encode("lnbc", b""), "no room"),
    "multiplier": (signed("lnbc2500x", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "two multipliers": (signed("lnbc2500mm", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "leading zero": (signed("lnbc02500u", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "amount of zero": (signed("lnbc0u", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "negative amount": (signed("lnbc-1u", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "21 digits": (signed("lnbc" + 21 * "9" + "p", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "multiplier alone": (signed("lnbcu", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "unknown network": (signed("lnxy2500u", bolt11_writer.write_unsigned(COFFEE)[1]), "prefix"),
    "below a millisatoshi": (
        signed("lnbc2500000001p", bolt11_writer.write_unsigned(COFFEE)[1]),
        "whole number",
    ),
    "more than all coins": (signed("lnbc21000001", bolt11_writer.write_unsigned(COFFEE)[1]), "ever be"),
    "no secret": (without(COFFEE, "s"), "payment_secret is missing"),
    "no hash": (without(COFFEE, "p"), "payment_hash is missing"),
    "no description": (without(COFFEE, "d"), "either"),
    "both descriptions": (text_of(COFFEE, more=field(bolt11.DESCRIPTION_HASH, HASH)), "either"),
    "two hashes": (text_of(COFFEE, more=field(bolt11.PAYMENT_HASH, HASH)), "payment_hash is there twice"),
    "two secrets": (
        text_of(COFFEE, more=field(bolt11.PAYMENT_SECRET, HASH)),
        "payment_secret is there twice",
    ),
    "two expiries": (text_of(COFFEE, more=field(bolt11.EXPIRY, b"\x01")), "expiry is there twice"),
    "hash of 51": (text_of(COFFEE, more=field(bolt11.PAYMENT_HASH, bytes(51))), "52 symbols, not 51"),
    "hash of 53": (text_of(COFFEE, more=field(bolt11.DESCRIPTION_HASH, bytes(53))), "52 symbols, not 53"),
    "payee of 52": (text_of(COFFEE, more=field(bolt11.PAYEE, bytes(52))), "53 symbols, not 52"),
    "payee no point": (text_of(COFFEE, more=field(bolt11.PAYEE, bytes(53))), "not a compressed"),
    "hash padded with ones": (
        signed(
            "lnbc",
            bytes(7) + field(bolt11.PAYMENT_HASH, bytes(51) + b"\x01") + field(bolt11.DESCRIPTION, b""),
        ),
        "padded",
    ),
    "description not UTF-8": (
        signed("lnbc", bytes(7) + field(bolt11.DESCRIPTION, bech32.unpack(b"\xff\xfe"))),
        "not UTF-8",
    ),
    "expiry not shortest": (text_of(BEANS, more=field(bolt11.EXPIRY, b"\x00\x01")), "shortest"),
    "expiry of ages": (text_of(BEANS, more=field(bolt11.EXPIRY, b"\x01" + bytes(12))), "no time"),
    "cltv not shortest": (text_of(BEANS, more=field(bolt11.MIN_FINAL_CLTV, b"\x00")), "shortest"),
    "features not shortest": (
        text_of(replace(BEANS, features=0), more=field(bolt11.FEATURES, b"\x00\x08\x00")),
        "shortest",
    ),
    "empty route": (text_of(BEANS, more=field(bolt11.ROUTE, b"")), "51 bytes for each"),
    "half a hop": (text_of(BEANS, more=field(bolt11.ROUTE, bech32.unpack(bytes(50)))), "51 bytes for each"),
    "hop of no node": (
        text_of(BEANS, more=field(bolt11.ROUTE, bech32.unpack(bytes(51)))),
        "not a compressed",
    ),
    "fallback without version": (text_of(BEANS, more=field(bolt11.FALLBACK, b"")), "no version"),
    "fallback of 21 bytes": (
        text_of(BEANS, more=field(bolt11.FALLBACK, b"\x11" + bech32.unpack(bytes(21)))),
        "does not have 21",
    ),
    "fallback of 41 bytes": (
        text_of(BEANS, more=field(bolt11.FALLBACK, b"\x01" + bech32.unpack(bytes(41)))),
        "does not have 41",
    ),
    "unknown fallback badly padded": (text_of(BEANS, more=field(bolt11.FALLBACK, b"\x1e\x01")), "padded"),
    "field beyond the end": (text_of(BEANS, more=b"\x0a\x00\x02\x00"), "ends after the data"),
    "length cut": (text_of(BEANS, more=b"\x0a\x00"), "ends after the data"),
    "type alone": (text_of(BEANS, more=b"\x0a"), "ends after the data"),
}


@pytest.mark.parametrize(("text", "problem"), MALFORMED.values(), ids=MALFORMED)
def test_refuses_what_a_reader_must_fail_for(text, problem):
    with pytest.raises(MalformedMessage, match=problem) as caught:
        bolt11.read(text)
    assert caught.value.message.startswith("not a BOLT 11 invoice: ")


def test_refuses_every_invoice_that_is_cut_or_has_a_letter_more():
    text = text_of(COFFEE)
    for end in range(len(text)):
        with pytest.raises(MalformedMessage):
            bolt11.read(text[:end])
    with pytest.raises(MalformedMessage):
        bolt11.read(text + "q")


@given(st.integers(0, 11), st.binary(max_size=60).map(lambda raw: bytes(symbol & 31 for symbol in raw)))
def test_refuses_or_reads_whatever_is_signed(cut, symbols):
    """No symbols make the reader fail in another way."""
    prefix, start = bolt11_writer.write_unsigned(COFFEE)
    text = signed(prefix, start[: len(start) - cut] + symbols)
    try:
        payee = bolt11.read(text).payee
    except MalformedMessage:
        return
    assert PAYEE == payee


@pytest.mark.parametrize(
    ("amount", "prefix"),
    [
        (None, "lnbc"),
        (100_000_000_000, "lnbc1"),
        (100_000_000, "lnbc1m"),
        (100_000, "lnbc1u"),
        (100, "lnbc1n"),
        (10, "lnbc100p"),
        (1, "lnbc10p"),
        (250_000_000, "lnbc2500u"),
    ],
)
def test_writes_the_shortest_amount(amount, prefix):
    assert prefix == bolt11_writer.write_prefix("bitcoin", amount)
    assert amount == bolt11.read_unsigned(prefix, bolt11_writer.write_unsigned(BASE)[1]).amount_msat


@pytest.mark.parametrize("neither_or_both", [{"description": None}, {"description_hash": bytes(32)}])
def test_does_not_write_an_invoice_that_it_would_not_read(neither_or_both):
    with pytest.raises(ValueError, match="either"):
        bolt11_writer.write_unsigned(replace(COFFEE, **neither_or_both))


POINTS = st.integers(1, 9).map(lambda n: secp256k1.public_key(bytes([n]) * 32))
U32 = st.integers(0, 2**32 - 1)
HOPS = st.builds(Hop, POINTS, st.integers(0, 2**64 - 1), U32, U32, st.integers(0, 2**16 - 1))
FALLBACKS = st.one_of(
    st.builds(Fallback, st.sampled_from([0, 17, 18]), st.binary(min_size=20, max_size=20)),
    st.builds(Fallback, st.integers(1, 16), st.binary(min_size=2, max_size=40)),
)
INVOICES = st.builds(
    Invoice,
    network=st.sampled_from(NETWORKS),
    amount_msat=st.none() | st.integers(1, bolt11.MAX_AMOUNT_MSAT),
    timestamp=st.integers(0, 2**35 - 1),
    payment_hash=st.binary(min_size=32, max_size=32),
    payment_secret=st.binary(min_size=32, max_size=32),
    description=st.text(max_size=60),
    metadata=st.none() | st.binary(max_size=60),
    expiry=st.integers(0, 2**60 - 1),
    min_final_cltv=st.integers(0, 2**60 - 1),
    payee=st.none() | st.just(PAYEE),
    fallbacks=st.lists(FALLBACKS, max_size=2).map(tuple),
    routes=st.lists(st.lists(HOPS, min_size=1, max_size=3).map(tuple), max_size=2).map(tuple),
    features=st.lists(st.sampled_from([8, 9, 14, 15, 16, 17, 25, 48, 101]), max_size=4).map(
        lambda bits: sum(1 << bit for bit in {15, *bits})
    ),
)


@given(INVOICES)
def test_reads_back_whatever_it_writes(invoice):
    found = bolt11.read(text_of(invoice))
    assert (invoice, PAYEE) == (found.invoice, found.payee)
    assert invoice.timestamp + invoice.expiry == found.invoice.expires


def test_a_number_has_the_fewest_symbols():
    assert [b"", b"\x01", b"\x1f", b"\x01\x00"] == [shortest(value) for value in (0, 1, 31, 32)]


def test_reads_and_writes_again_every_recorded_invoice():
    texts = {
        message.invstring
        for case in vectors.load("hsm")["cases"]
        for step in case["steps"]
        if step["type"] == 38 and step["outcome"] == "reply"
        for message in [codec.decode(bytes.fromhex(step["raw"]))]
    }
    assert len(texts) > 80
    for text in texts:
        found = bolt11.read(text)
        prefix, symbols = bech32.decode(text)
        assert found.digest == bolt11.digest(prefix, symbols[: -bolt11.SIGNATURE_SYMBOLS])
        assert found.invoice == bolt11.read_unsigned(*bolt11_writer.write_unsigned(found.invoice))


def test_many_fields_cost_no_more_than_they_do():
    # 8 symbols each. Reading 200,000 of them took minutes where each was put behind a copy of those before.
    prefix, symbols = bolt11_writer.write_unsigned(COFFEE)
    fallback = bytes([9, 0, 5, 1, 0, 0, 0, 0])
    assert len(bolt11.read_unsigned(prefix, symbols + fallback * 200_000).fallbacks) == 200_000
