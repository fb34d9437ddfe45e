"""Client calls that cannot be read, one flaw at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.policy import pending
from signerd.core.requests import PendingRequest
from signerd.core.tx import bolt11, bolt11_writer
from signerd.core.tx.bolt11 import Invoice
from signerd.errors import MalformedMessage

INVOICE = Invoice(
    network="regtest",
    amount_msat=1000,
    timestamp=1_800_000_000,
    payment_hash=bytes(32),
    payment_secret=bytes(32),
    description="",
    features=1 << 14,
)
PREFIX, SYMBOLS = bolt11_writer.write_unsigned(INVOICE)
TEXT = bolt11_writer.write(
    PREFIX, SYMBOLS, secp256k1.sign_recoverable(b"\x01" * 32, bolt11.digest(PREFIX, SYMBOLS))
).encode()


def varint(value: int) -> bytes:
    head = b""
    while value > 0x7F:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def text_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def call(uri: str, message: bytes, flag: int = 0) -> PendingRequest:
    frame = bytes([flag]) + len(message).to_bytes(4, "big") + message
    return PendingRequest(uri, frame, b"", b"", 0, b"")


OTHER_FIELDS = (
    varint(3 << 3) + varint(2**64 - 1) + varint(7 << 3 | 5) + bytes(4) + varint(8 << 3 | 1) + bytes(8)
)


@pytest.mark.parametrize(
    "readable",
    [
        call("/cln.Node/Pay", text_field(1, TEXT)),
        call("/cln.Node/Pay", OTHER_FIELDS + text_field(1, TEXT) + OTHER_FIELDS),
        call("/cln.Node/Pay", text_field(1, b"lightning:" + TEXT)),
        call("/cln.Node/Pay", text_field(1, b"LIGHTNING:" + TEXT.upper())),
        call("/cln.Node/PreApproveInvoice", text_field(1, TEXT)),
        call("/greenlight.Node/TrampolinePay", text_field(1, TEXT)),
        call("/cln.Node/SendPay", text_field(5, TEXT)),
        call("/cln.Node/SendPay", b""),
        call("/cln.Node/SendPay", text_field(1, b"no invoice")),
        call("/cln.Node/Getinfo", b""),
        call("/cln.Node/Getinfo", text_field(1, b"no invoice")),
    ],
)
def test_reads_calls_with_an_invoice_or_without(readable):
    pending.require_readable([readable])


@pytest.mark.parametrize(
    "unreadable",
    [
        PendingRequest("/cln.Node/Getinfo", b"", b"", b"", 0, b""),
        PendingRequest("/cln.Node/Getinfo", bytes(4), b"", b"", 0, b""),
        call("/cln.Node/Getinfo", b"", flag=1),
        call("/cln.Node/Pay", b""),
        call("/cln.Node/Pay", text_field(1, b"lnbcrt1nonsense")),
        call("/cln.Node/Pay", text_field(1, TEXT) + text_field(1, TEXT[:-1])),
        call("/cln.Node/Pay", text_field(2, TEXT)),
        call("/cln.Node/Pay", text_field(1, b"\xff")),
        call("/cln.Node/SendPay", text_field(5, b"")),
    ],
)
def test_refuses_calls_that_cannot_be_read(unreadable):
    good = call("/cln.Node/Pay", text_field(1, TEXT))
    with pytest.raises(MalformedMessage, match="the pending call of"):
        pending.require_readable([good, unreadable])


@given(st.sampled_from(["/cln.Node/Pay", "/cln.Node/SendPay", "/cln.Node/Getinfo"]), st.binary(max_size=40))
def test_no_bytes_hold_an_invoice_by_chance(uri, message):
    try:
        pending.require_readable([call(uri, message)])
    except MalformedMessage:
        readable = False
    else:
        readable = True
    if uri != "/cln.Node/SendPay":
        assert readable is (uri == "/cln.Node/Getinfo")
