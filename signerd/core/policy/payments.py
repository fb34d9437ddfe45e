"""May this be paid? Each payment hash once, for one amount, in its time. May this invoice be ours?"""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.keys import secp256k1
from signerd.core.policy.limits import Limits
from signerd.core.state.node import ApprovedPayment
from signerd.core.tx import bolt11, bolt12
from signerd.core.tx.bolt11 import Invoice, SignedInvoice
from signerd.core.tx.bolt12 import Bolt12Invoice
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.errors import MalformedMessage, Refused
from signerd.units import Network, UnixTime

KEYSEND_EXPIRY = 60
"""Seconds in which a payment without an invoice has to be made."""
REMEMBERED = 24 * 3600
"""Seconds after an invoice's end in which its hash is still taken: its HTLCs may be on their way."""

LONGEST_INVOICE = 65_536
"""Characters. Those that people use have some hundreds."""

_SCHEME = "lightning:"


@dataclass(frozen=True, slots=True)
class Payment:
    """What is to be paid, from an invoice of either kind or from none. Times in Unix seconds.

    `invoice_hash` is 32 bytes: of what the invoice says, without its signature. `amount_msat` is 0 where
    the payer chooses.
    """

    payment_hash: bytes
    invoice_hash: bytes
    amount_msat: int
    created: UnixTime
    expires: UnixTime

    @property
    def approval(self) -> ApprovedPayment:
        """As it is remembered."""
        return ApprovedPayment(self.invoice_hash, self.amount_msat, self.expires)


def invoice_payment(invstring: str, network: Network) -> Payment:
    """What an invoice of BOLT 11 or BOLT 12 asks for.

    Raises MalformedMessage if it cannot be read, Refused if it is for another network.
    """
    found = require_invoice(invstring)
    if isinstance(found, Bolt12Invoice):
        if found.chain_hash != CHAIN_HASHES[network]:
            raise Refused("invoice-network", f"the invoice is for another chain than {network}")
        created = UnixTime(found.created_at)
        return Payment(found.payment_hash, found.digest, found.amount_msat, created, found.expires)
    invoice = found.invoice
    require_network(invoice, network)
    created = UnixTime(invoice.timestamp)
    return Payment(invoice.payment_hash, found.digest, invoice.amount_msat or 0, created, invoice.expires)


def require_invoice(invstring: str) -> SignedInvoice | Bolt12Invoice:
    """An invoice of either kind, and nothing before it. Raises MalformedMessage for anything else."""
    if len(invstring) > LONGEST_INVOICE:
        raise MalformedMessage(f"an invoice of {len(invstring)} characters is over {LONGEST_INVOICE}")
    if invstring[: len(bolt12.PREFIX)].lower() == bolt12.PREFIX:
        return bolt12.read(invstring)
    return bolt11.read(invstring)


def without_scheme(text: str) -> str:
    """As a client may give an invoice, without `lightning:` in any case; a node has taken it off already."""
    return text[len(_SCHEME) :] if text[: len(_SCHEME)].lower() == _SCHEME else text


def keysend_payment(destination: bytes, payment_hash: bytes, amount_msat: int, now: UnixTime) -> Payment:
    """A payment without an invoice. Raises MalformedMessage if the destination is no node id."""
    secp256k1.require_point(destination, what="the destination")
    return Payment(
        payment_hash=payment_hash,
        invoice_hash=payment_hash,
        amount_msat=amount_msat,
        created=now,
        expires=UnixTime(now + KEYSEND_EXPIRY),
    )


def approve(
    payment: Payment, known: ApprovedPayment | None, now: UnixTime, limits: Limits
) -> ApprovedPayment | None:
    """What has to be remembered, None if it is remembered already.

    Raises Refused for another payment with the hash of one that may still be under way, and for an invoice
    whose time is over or has not come.
    """
    if known is not None and not _over(known, payment.payment_hash, now):
        if (known.invoice_hash, known.amount_msat) != (payment.invoice_hash, payment.amount_msat):
            raise Refused(
                "payment-hash-reused",
                f"another payment with the hash {payment.payment_hash.hex()} was approved before",
            )
        return None
    # The minute that a payment takes, and the one by which the payee's clock may be behind, are even.
    if now > payment.expires:
        raise Refused("invoice-expired", f"the invoice expired {now - payment.expires} seconds ago")
    if payment.created > now + limits.clock_skew:
        raise Refused("invoice-future", f"the invoice is from {payment.created - now} seconds ahead of now")
    return payment.approval


def require_room(remembered: int, limits: Limits) -> None:
    """Raises Refused where so many approvals are remembered that one more is too many."""
    if remembered >= limits.max_invoices:
        raise Refused("payments-too-many", f"{remembered} payments are approved, and that is the limit")


def require_ours(invoice: Invoice, network: Network, node_id: bytes) -> None:
    """Raises Refused for an invoice of another network, or one that states another payee."""
    require_network(invoice, network)
    if invoice.payee not in (None, node_id):
        raise Refused("invoice-payee", "the invoice to be signed states another payee than this node")


def require_network(invoice: Invoice, network: Network) -> None:
    """Raises Refused for an invoice of another network."""
    if invoice.network != network:
        raise Refused("invoice-network", f"the invoice is for {invoice.network}, this node is on {network}")


def _over(known: ApprovedPayment, payment_hash: bytes, now: UnixTime) -> bool:
    """Whether nothing of an approved payment can be under way any more."""
    keysend = known.invoice_hash == payment_hash
    return now > known.expires + (0 if keysend else REMEMBERED)
