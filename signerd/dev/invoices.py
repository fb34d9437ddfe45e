"""Invoices that our node makes and pays (hsmd 8 and 38), and payments without one (39)."""

from __future__ import annotations

import hashlib

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32, bolt11_writer
from signerd.core.tx.bolt11 import Invoice
from signerd.core.wire import payments as wire
from signerd.dev.peer import Peer
from signerd.dev.steps import Steps, ask, require
from signerd.dev.verify import WrongAnswer
from signerd.dev.world import World
from signerd.errors import MalformedMessage

_EXPIRY = 604_800
_FEATURES = 1 << 8 | 1 << 14 | 1 << 17
"""var_onion_optin and payment_secret demanded, basic_mpp offered (BOLT 9)."""


def issue(world: World, preimage: bytes, amount_msat: int | None) -> Steps[str]:
    """hsmd 8: an invoice of our own, for whoever wants to pay us."""
    return (yield from issue_as(world, usual(world, preimage, amount_msat)))


def issue_as(world: World, invoice: Invoice) -> Steps[str]:
    """hsmd 8, for any invoice."""
    prefix, symbols = bolt11_writer.write_unsigned(invoice)
    hrp = prefix.encode("ascii")

    def of_invoice(reply: wire.SignInvoiceReply) -> str:
        digest = hashlib.sha256(hrp + bech32.pack(symbols)).digest()
        try:
            signer = secp256k1.recover(reply.signature, digest)
        except MalformedMessage as problem:
            raise WrongAnswer(problem.message) from problem
        require(signer == world.account.node_id, f"the invoice is signed by {signer.hex()}")
        return bolt11_writer.write(prefix, symbols, reply.signature)

    text: str = yield from ask(wire.SignInvoice(symbols, hrp), of_invoice)
    return text


def approve(world: World, peer: Peer, preimage: bytes, amount_msat: int | None) -> Steps[None]:
    """hsmd 38: may this invoice of the peer be paid?"""
    yield from approve_as(peer, usual(world, preimage, amount_msat))


def approve_as(peer: Peer, invoice: Invoice) -> Steps[None]:
    """hsmd 38, for any invoice of the peer."""
    yield from ask(wire.PreapproveInvoice(peer.sign_invoice(invoice)), _approved)


def approve_keysend(peer: Peer, preimage: bytes, amount_msat: int) -> Steps[None]:
    """hsmd 39: may this node be paid, without an invoice?"""
    payment_hash = hashlib.sha256(preimage).digest()
    yield from ask(wire.PreapproveKeysend(peer.node_id, payment_hash, amount_msat), _approved)


def usual(world: World, preimage: bytes, amount_msat: int | None) -> Invoice:
    """As Core Lightning makes them, with little in it."""
    return Invoice(
        network=world.account.network,
        amount_msat=amount_msat,
        timestamp=world.now,
        payment_hash=hashlib.sha256(preimage).digest(),
        payment_secret=world.dice.fresh(),
        description="a cup of tea",
        expiry=_EXPIRY,
        min_final_cltv=18,
        features=_FEATURES,
    )


def _approved(reply: wire.PreapproveInvoiceReply | wire.PreapproveKeysendReply) -> None:
    require(reply.approved, "the payment is not approved")
