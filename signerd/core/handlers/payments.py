"""Signatures under invoices, offers and leases; and approvals of what the node is about to pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.policy import payments as policy
from signerd.core.policy.limits import LIMITS
from signerd.core.policy.payments import Payment
from signerd.core.state.book import Changes
from signerd.core.tx import bech32, bolt11
from signerd.core.wire import payments as wire
from signerd.errors import MalformedMessage
from signerd.units import UnixTime


def sign_invoice(message: wire.SignInvoice, call: Call) -> Answer:
    """hsmd type 108: a BOLT 11 invoice of ours, once it reads as one."""
    try:
        prefix = message.hrp.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedMessage("hrp: the prefix of an invoice is ASCII") from None
    invoice = bolt11.read_unsigned(prefix, message.u5bytes)
    policy.require_ours(invoice, call.network, call.keys.node_id)
    return Answer(wire.SignInvoiceReply(call.keys.sign_invoice(message.hrp, bech32.pack(message.u5bytes))))


def sign_bolt12(message: wire.SignBolt12, call: Call) -> Answer:
    """hsmd type 125. The names are hashed along, and keep it apart from all else that the key signs."""
    signature = call.keys.sign_bolt12(
        message.message_name, message.field_name, message.merkle_root, message.public_tweak
    )
    return Answer(wire.SignBolt12Reply(signature))


def sign_bolt12_2(message: wire.SignBolt12V2, call: Call) -> Answer:
    """hsmd type 141: as `sign_bolt12`, for a payer's key that hangs on the node's."""
    signature = call.keys.sign_bolt12_as_node(
        message.message_name,
        message.field_name,
        message.merkle_root,
        label=message.info,
        tweak=message.public_tweak,
    )
    return Answer(wire.SignBolt12V2Reply(signature))


def sign_lease(message: wire.SignOptionWillFundOffer, call: Call) -> Answer:
    """hsmd type 126: what we promise to whom we lend liquidity."""
    signature = call.keys.sign_lease(
        message.funding_pubkey,
        message.blockheight,
        message.channel_fee_base_max_msat,
        message.channel_fee_proportional_basis_max,
    )
    return Answer(wire.SignOptionWillFundOfferReply(signature))


def preapprove_invoice(message: wire.PreapproveInvoice, call: Call) -> Answer:
    """hsmd type 138."""
    payment = policy.invoice_payment(message.invstring, call.network)
    return Answer(wire.PreapproveInvoiceReply(True), _approve(payment, call))


def preapprove_invoice_check(message: wire.PreapproveInvoiceCheck, call: Call) -> Answer:
    """hsmd type 138 to type 51, as Core Lightning's own hsmd has it. Who only asks changes nothing."""
    payment = policy.invoice_payment(message.invstring, call.network)
    changes = _approve(payment, call)
    return Answer(wire.PreapproveInvoiceReply(True), Changes() if message.check_only else changes)


def preapprove_keysend(message: wire.PreapproveKeysend, call: Call) -> Answer:
    """hsmd type 139."""
    return Answer(wire.PreapproveKeysendReply(True), _approve(_keysend(message, call), call))


def preapprove_keysend_check(message: wire.PreapproveKeysendCheck, call: Call) -> Answer:
    """hsmd type 139 to type 52. Who only asks changes nothing."""
    changes = _approve(_keysend(message, call), call)
    return Answer(wire.PreapproveKeysendReply(True), Changes() if message.check_only else changes)


def _keysend(message: wire.PreapproveKeysend | wire.PreapproveKeysendCheck, call: Call) -> Payment:
    return policy.keysend_payment(message.destination, message.payment_hash, message.amount_msat, call.now)


def _approve(payment: Payment, call: Call) -> Changes:
    known = call.book.payment(payment.payment_hash)
    limits = LIMITS[call.network]
    approved = policy.approve(payment, known, call.now, limits)
    if approved is None:
        return Changes()
    policy.require_room(call.book.payments_since(UnixTime(call.now - policy.REMEMBERED)), limits)
    return Changes(payments={payment.payment_hash: approved})


HANDLERS: Mapping[type[Any], Handler] = {
    wire.SignInvoice: sign_invoice,
    wire.SignBolt12: sign_bolt12,
    wire.SignBolt12V2: sign_bolt12_2,
    wire.SignOptionWillFundOffer: sign_lease,
    wire.PreapproveInvoice: preapprove_invoice,
    wire.PreapproveInvoiceCheck: preapprove_invoice_check,
    wire.PreapproveKeysend: preapprove_keysend,
    wire.PreapproveKeysendCheck: preapprove_keysend_check,
}
