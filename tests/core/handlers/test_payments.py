"""Invoices that are ours are signed; what may be paid is remembered, once for each payment hash."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.family_player import Player

from signerd.core.keys import secp256k1
from signerd.core.policy import payments as policy
from signerd.core.policy.limits import LIMITS
from signerd.core.state.node import ApprovedPayment
from signerd.core.tx import bolt11, bolt11_writer
from signerd.core.tx.bolt11 import Invoice
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire import payments as wire
from signerd.errors import MalformedMessage, Refused

SECRET = "04" * 32
PAYEE_KEY = b"\x21" * 32
PAYEE = secp256k1.public_key(PAYEE_KEY)
NOW = 1_800_000_000
HASH = b"\x77" * 32
DAY = 24 * 3600
INVOICE = Invoice(
    network="regtest",
    amount_msat=250_000_000,
    timestamp=NOW - 100,
    payment_hash=HASH,
    payment_secret=b"\x66" * 32,
    description="1 cup coffee",
    expiry=600,
    features=1 << 14,
)
EXPIRES = NOW + 500
KEYSEND = wire.PreapproveKeysend(PAYEE, HASH, 10_000)


def signed(invoice: Invoice, key: bytes = PAYEE_KEY) -> str:
    prefix, symbols = bolt11_writer.write_unsigned(invoice)
    return bolt11_writer.write(
        prefix, symbols, secp256k1.sign_recoverable(key, bolt11.digest(prefix, symbols))
    )


def player(dialect: Dialect = Dialect.CORE_LIGHTNING) -> Player:
    return Player(SECRET, "regtest", dialect)


def ask(asked: Player, message, now: int = NOW):
    return codec.decode_reply(message, asked.answer(codec.encode(message), None, now))


def refusal_of(asked: Player, message, now: int = NOW) -> str:
    before = dict(asked.book.payments)
    with pytest.raises(Refused) as caught:
        ask(asked, message, now)
    assert before == asked.book.payments
    return caught.value.rule


# Our own invoices


def request_for(invoice: Invoice) -> wire.SignInvoice:
    prefix, symbols = bolt11_writer.write_unsigned(invoice)
    return wire.SignInvoice(symbols, prefix.encode())


@pytest.mark.parametrize("dialect", Dialect)
def test_signs_an_invoice_that_others_read_as_ours(dialect):
    asked = player(dialect)
    for payee in (None, asked.keys.node_id):
        message = request_for(replace(INVOICE, payee=payee))
        reply = ask(asked, message)
        text = bolt11_writer.write(message.hrp.decode(), message.u5bytes, reply.signature)
        assert asked.keys.node_id == bolt11.read(text).payee


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    ("change", "rule"), [({"network": "bitcoin"}, "invoice-network"), ({"payee": PAYEE}, "invoice-payee")]
)
def test_refuses_to_sign_an_invoice_of_another_node_or_network(change, rule, dialect):
    assert rule == refusal_of(player(dialect), request_for(replace(INVOICE, **change)))


@pytest.mark.parametrize(
    ("u5bytes", "hrp"),
    [
        (b"", b"lnbcrt"),
        (b"", b""),
        (bytes(6), b"lnbcrt"),
        (bytes(7), b"lnbcrt"),
        (request_for(INVOICE).u5bytes + b"\x20", b"lnbcrt"),
        (request_for(INVOICE).u5bytes[:-1], b"lnbcrt"),
        (request_for(INVOICE).u5bytes, b"\xff\xfe"),
        (request_for(INVOICE).u5bytes, b"lnbcrt\x00"),
        (request_for(INVOICE).u5bytes, b"LNBCRT"),
        (request_for(INVOICE).u5bytes, b"bcrt"),
    ],
    ids=lambda value: value[:9].hex(),
)
def test_refuses_to_sign_what_is_no_invoice(u5bytes, hrp):
    with pytest.raises(MalformedMessage):
        ask(player(), wire.SignInvoice(u5bytes, hrp))


# What may be paid


def approve(invoice: Invoice) -> wire.PreapproveInvoice:
    return wire.PreapproveInvoice(signed(invoice))


@pytest.mark.parametrize("dialect", Dialect)
def test_an_approved_invoice_is_remembered(dialect):
    asked = player(dialect)
    assert ask(asked, approve(INVOICE)) == wire.PreapproveInvoiceReply(approved=True)
    digest = bolt11.read(signed(INVOICE)).digest
    assert {HASH: ApprovedPayment(digest, 250_000_000, EXPIRES)} == asked.book.payments


def test_the_same_invoice_is_approved_again_in_either_case_and_after_its_end():
    asked = player()
    text = signed(INVOICE)
    for spelling in (text, text.upper()):
        ask(asked, wire.PreapproveInvoice(spelling))
    ask(asked, wire.PreapproveInvoice(text), EXPIRES + DAY)
    assert len(asked.book.payments) == 1


@pytest.mark.parametrize("spelling", ["lightning:{}", "LIGHTNING:{}", "{} ", " {}", "bitcoin:{}", "{}\u00a0"])
def test_refuses_other_spellings(spelling):
    """Also with a scheme, as the reference signer: a node has taken it off."""
    with pytest.raises(MalformedMessage):
        ask(player(), wire.PreapproveInvoice(spelling.format(signed(INVOICE))))


@pytest.mark.parametrize(
    "change", [{"amount_msat": 1000}, {"payment_secret": bytes(32)}, {"expiry": 601}, {"description": "tea"}]
)
def test_refuses_another_invoice_for_the_same_hash(change):
    asked = player()
    ask(asked, approve(INVOICE))
    assert refusal_of(asked, approve(replace(INVOICE, **change))) == "payment-hash-reused"


def test_a_hash_is_free_again_a_day_after_its_invoice_ended():
    asked = player()
    ask(asked, approve(INVOICE))
    later = replace(INVOICE, timestamp=EXPIRES + DAY, amount_msat=1000)
    assert refusal_of(asked, approve(later), EXPIRES + DAY) == "payment-hash-reused"
    ask(asked, approve(later), EXPIRES + DAY + 1)
    assert asked.book.payments[HASH].amount_msat == 1000


@pytest.mark.parametrize(
    ("now", "rule"),
    [(EXPIRES, None), (EXPIRES + 1, "invoice-expired"), (NOW - 160, None), (NOW - 161, "invoice-future")],
)
def test_an_invoice_is_approved_in_its_time(now, rule):
    if rule is None:
        assert ask(player(), approve(INVOICE), now).approved
    else:
        assert rule == refusal_of(player(), approve(INVOICE), now)


def test_an_invoice_without_an_amount_is_remembered_with_none():
    asked = player()
    ask(asked, approve(replace(INVOICE, amount_msat=None)))
    assert asked.book.payments[HASH].amount_msat == 0


def test_refuses_to_pay_an_invoice_of_another_network():
    assert refusal_of(player(), approve(replace(INVOICE, network="signet"))) == "invoice-network"


def test_who_only_asks_changes_nothing_and_hears_the_same():
    asked = player()
    text = signed(INVOICE)
    assert ask(asked, wire.PreapproveInvoiceCheck(text, check_only=True)).approved
    assert ask(asked, wire.PreapproveKeysendCheck(PAYEE, HASH, 1, check_only=True)).approved
    assert {} == asked.book.payments

    reply = ask(asked, wire.PreapproveInvoiceCheck(text, check_only=False))
    assert wire.PreapproveInvoiceReply(approved=True) == reply
    assert {HASH} == set(asked.book.payments)
    other = wire.PreapproveInvoiceCheck(signed(replace(INVOICE, amount_msat=1)), check_only=True)
    assert refusal_of(asked, other) == "payment-hash-reused"


def test_a_keysend_is_remembered_for_a_minute():
    asked = player()
    assert ask(asked, KEYSEND) == wire.PreapproveKeysendReply(approved=True)
    assert {HASH: ApprovedPayment(HASH, 10_000, NOW + 60)} == asked.book.payments
    ask(asked, KEYSEND, NOW + 60)
    assert refusal_of(asked, replace(KEYSEND, amount_msat=10_001), NOW + 60) == "payment-hash-reused"
    assert refusal_of(asked, approve(INVOICE), NOW + 60) == "payment-hash-reused"
    ask(asked, replace(KEYSEND, amount_msat=10_001), NOW + 61)
    assert {HASH: ApprovedPayment(HASH, 10_001, NOW + 121)} == asked.book.payments


def test_a_keysend_does_not_follow_an_invoice_with_its_hash():
    asked = player()
    ask(asked, approve(INVOICE))
    assert refusal_of(asked, KEYSEND) == "payment-hash-reused"
    checked = wire.PreapproveKeysendCheck(PAYEE, HASH, 10_000, check_only=True)
    assert refusal_of(asked, checked) == "payment-hash-reused"


@pytest.mark.parametrize("destination", [bytes(33), b"\x02" + b"\xff" * 32], ids=bytes.hex)
def test_refuses_to_pay_what_is_no_node(destination):
    with pytest.raises(MalformedMessage):
        ask(player(), replace(KEYSEND, destination=destination))


def test_there_is_a_limit_to_what_is_under_way():
    asked, limit = player(), LIMITS["regtest"].max_invoices
    known = {number.to_bytes(32, "big"): ApprovedPayment(HASH, 1, NOW) for number in range(limit)}
    asked.book.payments.update(known)
    other = replace(KEYSEND, payment_hash=b"\x78" * 32)
    assert refusal_of(asked, other) == "payments-too-many"
    # What is known already takes no room, and what is long over gives it back.
    ask(asked, other, NOW + DAY + 1)
    ask(asked, other, NOW + DAY + 1)


def test_refuses_to_read_what_no_invoice_is_as_long_as():
    with pytest.raises(MalformedMessage, match="characters is over"):
        ask(player(), wire.PreapproveInvoice(signed(INVOICE) + "q" * policy.LONGEST_INVOICE))
