"""BOLT 11 invoices, written: first without signature, as hsmd is asked to sign them, then with it."""

from __future__ import annotations

from signerd.core.tx import bech32, bolt11
from signerd.core.tx.bolt11 import Hop, Invoice
from signerd.core.tx.chains import PREFIXES
from signerd.units import Network


def write_unsigned(invoice: Invoice) -> tuple[str, bytes]:
    """The human-readable part and the symbols without signature (hsmd type 8).

    Raises ValueError or OverflowError for values that an invoice cannot hold.
    """
    if (invoice.description is None) == (invoice.description_hash is None):
        raise ValueError("an invoice has either a description or the hash of one")
    parts = [
        bech32.symbols_of(invoice.timestamp, bolt11.TIMESTAMP_SYMBOLS),
        field(bolt11.PAYMENT_SECRET, bech32.unpack(invoice.payment_secret)),
        field(bolt11.PAYMENT_HASH, bech32.unpack(invoice.payment_hash)),
    ]
    if invoice.description is not None:
        parts.append(field(bolt11.DESCRIPTION, bech32.unpack(invoice.description.encode())))
    if invoice.description_hash is not None:
        parts.append(field(bolt11.DESCRIPTION_HASH, bech32.unpack(invoice.description_hash)))
    if invoice.metadata is not None:
        parts.append(field(bolt11.METADATA, bech32.unpack(invoice.metadata)))
    if invoice.expiry != bolt11.DEFAULT_EXPIRY:
        parts.append(field(bolt11.EXPIRY, shortest(invoice.expiry)))
    if invoice.min_final_cltv != bolt11.DEFAULT_MIN_FINAL_CLTV:
        parts.append(field(bolt11.MIN_FINAL_CLTV, shortest(invoice.min_final_cltv)))
    if invoice.payee is not None:
        parts.append(field(bolt11.PAYEE, bech32.unpack(invoice.payee)))
    parts += [
        field(bolt11.FALLBACK, bytes([item.version]) + bech32.unpack(item.program))
        for item in invoice.fallbacks
    ]
    parts += [field(bolt11.ROUTE, bech32.unpack(b"".join(map(_hop, route)))) for route in invoice.routes]
    if invoice.features:
        parts.append(field(bolt11.FEATURES, shortest(invoice.features)))
    return write_prefix(invoice.network, invoice.amount_msat), b"".join(parts)


def write(prefix: str, symbols: bytes, signature: bytes) -> str:
    """The invoice's text with its signature: 65 bytes r || s || recovery id (hsmd type 108)."""
    return bech32.encode(prefix, symbols + bech32.unpack(signature))


def write_prefix(network: Network, amount_msat: int | None) -> str:
    """The human-readable part; the amount with the largest multiplier that gives a whole number."""
    prefix = "ln" + PREFIXES[network]
    if amount_msat is None:
        return prefix
    # One millisatoshi is ten of the smallest, so one of them always divides.
    multiplier = next(unit for unit, tenths in bolt11.TENTHS.items() if amount_msat * 10 % tenths == 0)
    return f"{prefix}{amount_msat * 10 // bolt11.TENTHS[multiplier]}{multiplier}"


def field(kind: int, symbols: bytes) -> bytes:
    """A tagged field. Raises OverflowError for more than 1023 symbols."""
    return bytes([kind]) + bech32.symbols_of(len(symbols), 2) + symbols


def shortest(value: int) -> bytes:
    """A number in as few symbols as it needs; none for 0."""
    return bech32.symbols_of(value, (value.bit_length() + 4) // 5)


def _hop(hop: Hop) -> bytes:
    return (
        hop.pubkey
        + hop.short_channel_id.to_bytes(8, "big")
        + hop.fee_base_msat.to_bytes(4, "big")
        + hop.fee_proportional_millionths.to_bytes(4, "big")
        + hop.cltv_expiry_delta.to_bytes(2, "big")
    )
