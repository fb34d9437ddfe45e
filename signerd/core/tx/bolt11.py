"""BOLT 11 invoices, read strictly: what they say, and whose they are.

The names of fields are BOLT 11's. Symbols are 5-bit values, one per byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32
from signerd.core.tx.chains import PREFIXES
from signerd.errors import MalformedMessage
from signerd.units import Network, UnixTime

DEFAULT_EXPIRY = 3600
"""Seconds."""
DEFAULT_MIN_FINAL_CLTV = 18
"""Blocks."""
MAX_AMOUNT_MSAT = 21_000_000 * 100_000_000 * 1000
SIGNATURE_SYMBOLS = 104
"""64 bytes r || s and the recovery id."""
TIMESTAMP_SYMBOLS = 7

# Types of fields; as letters of bech32 they are BOLT 11's p, r, 9, x, f, d; s, n, h, c, m.
PAYMENT_HASH, ROUTE, FEATURES, EXPIRY, FALLBACK, DESCRIPTION = 1, 3, 5, 6, 9, 13
PAYMENT_SECRET, PAYEE, DESCRIPTION_HASH, MIN_FINAL_CLTV, METADATA = 16, 19, 23, 24, 27

PUBKEY_HASH, SCRIPT_HASH = 17, 18
"""Where a fallback address has its witness version."""

KNOWN_FEATURES = frozenset({8, 14, 16, 48, 56})
"""Even bits that may be demanded: var_onion_optin, payment_secret, basic_mpp, option_payment_metadata
(BOLT 9), and trampoline routing; those that the reference signer knows."""
_PAYMENT_SECRET_BITS = 1 << 14 | 1 << 15

TENTHS = {"": 10**12, "m": 10**9, "u": 10**6, "n": 10**3, "p": 1}
"""Multiplier → tenths of a millisatoshi, largest first: the smallest one counts in those."""

_PRICE = re.compile(r"ln(bcrt|tbs|bc|tb)(?:([1-9][0-9]{0,19})([munp]?))?")
_NETWORKS: dict[str, Network] = {prefix: network for network, prefix in PREFIXES.items()}
_HOP_SIZE: Final = 51
_WITNESS_SIZES = {0: (20, 32), PUBKEY_HASH: (20,), SCRIPT_HASH: (20,)}
# 60 bits hold every time and block height that there will be, and fit the store.
_MAX_NUMBER_SYMBOLS: Final = 12


@dataclass(frozen=True, slots=True)
class Hop:
    """One channel of a private route: from the node with this key (33 bytes), by its short channel id."""

    pubkey: bytes
    short_channel_id: int
    fee_base_msat: int
    fee_proportional_millionths: int
    cltv_expiry_delta: int


@dataclass(frozen=True, slots=True)
class Fallback:
    """An address on the chain: a witness version (0 to 16), 17 for P2PKH, 18 for P2SH; and its bytes."""

    version: int
    program: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What an invoice says, signed or not. `features` is a bit field; `payee` only where it is stated."""

    network: Network
    amount_msat: int | None
    timestamp: int
    payment_hash: bytes
    payment_secret: bytes
    description: str | None = None
    description_hash: bytes | None = None
    metadata: bytes | None = None
    expiry: int = DEFAULT_EXPIRY
    min_final_cltv: int = DEFAULT_MIN_FINAL_CLTV
    payee: bytes | None = None
    fallbacks: tuple[Fallback, ...] = ()
    routes: tuple[tuple[Hop, ...], ...] = ()
    features: int = 0

    @property
    def expires(self) -> UnixTime:
        """When it should no longer be paid."""
        return UnixTime(self.timestamp + self.expiry)


@dataclass(frozen=True, slots=True)
class SignedInvoice:
    """An invoice and whose it is: `payee` 33 bytes; `digest` (32 bytes) is what was signed."""

    invoice: Invoice
    payee: bytes
    digest: bytes


def read(text: str) -> SignedInvoice:
    """An invoice in either case. Raises MalformedMessage for anything that BOLT 11 has a reader fail for."""
    try:
        return _read(*bech32.decode(text))
    except MalformedMessage as problem:
        raise MalformedMessage(f"not a BOLT 11 invoice: {problem.message}") from None


def read_unsigned(prefix: str, symbols: bytes) -> Invoice:
    """From the human-readable part and the symbols without signature. Raises MalformedMessage."""
    network, amount = _read_prefix(prefix)
    if len(symbols) < TIMESTAMP_SYMBOLS:
        raise MalformedMessage("the data ends inside of its time stamp")
    if max(symbols) > 31:
        raise MalformedMessage(f"a symbol has 5 bits, and one of these is {max(symbols)}")
    found: dict[str, Any] = {}
    position = TIMESTAMP_SYMBOLS
    while position < len(symbols):
        kind, start = symbols[position], position + 3
        end = start + bech32.number(symbols[position + 1 : start])
        if max(start, end) > len(symbols):
            raise MalformedMessage(f"field {kind} ends after the data")
        _add(found, kind, symbols[start:end])
        position = end
    _require_whole(found)
    timestamp = bech32.number(symbols[:TIMESTAMP_SYMBOLS])
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
    }
    return Invoice(network=network, amount_msat=amount, timestamp=timestamp, **fields)


def digest(prefix: str, symbols: bytes) -> bytes:
    """32 bytes: what an invoice's signature signs; `symbols` without the signature."""
    return hashlib.sha256(prefix.encode("ascii") + bech32.pack(symbols)).digest()


def _read(prefix: str, symbols: bytes) -> SignedInvoice:
    if len(symbols) < TIMESTAMP_SYMBOLS + SIGNATURE_SYMBOLS:
        raise MalformedMessage("the data has no room for a time stamp and a signature")
    data, signature = symbols[:-SIGNATURE_SYMBOLS], bech32.octets(symbols[-SIGNATURE_SYMBOLS:])
    invoice = read_unsigned(prefix, data)
    signed = digest(prefix, data)
    return SignedInvoice(invoice, _payee(invoice, signature, signed), signed)


def _read_prefix(prefix: str) -> tuple[Network, int | None]:
    found = _PRICE.fullmatch(prefix)
    if found is None:
        raise MalformedMessage(f"the prefix {prefix[:32]!r} is not that of a network and an amount")
    network, number, multiplier = found.groups()
    if number is None:
        return _NETWORKS[network], None
    amount, rest = divmod(int(number) * TENTHS[multiplier], 10)
    if rest:
        raise MalformedMessage("the amount is not a whole number of millisatoshi")
    if amount > MAX_AMOUNT_MSAT:
        raise MalformedMessage("the amount is more than there will ever be")
    return _NETWORKS[network], amount


def _payee(invoice: Invoice, signature: bytes, signed: bytes) -> bytes:
    """Whose signature it is. Where the payee is stated, only its low-S signature will do."""
    if invoice.payee is None:
        return secp256k1.recover(signature, signed)
    if signature[64] > 3 or not secp256k1.verify_compact(invoice.payee, signature[:64], signed):
        raise MalformedMessage("the signature is not that of the stated payee")
    return invoice.payee


# Fields: each reads its symbols


def _hash(symbols: bytes) -> bytes:
    if len(symbols) != 52:
        raise MalformedMessage(f"it has 52 symbols, not {len(symbols)}")
    return bech32.octets(symbols)


def _pubkey(symbols: bytes) -> bytes:
    if len(symbols) != 53:
        raise MalformedMessage(f"it has 53 symbols, not {len(symbols)}")
    return secp256k1.require_point(bech32.octets(symbols), what="the payee")


def _text(symbols: bytes) -> str:
    try:
        return bech32.octets(symbols).decode()
    except UnicodeDecodeError:
        raise MalformedMessage("it is not UTF-8") from None


def _number(symbols: bytes) -> int:
    if len(symbols) > _MAX_NUMBER_SYMBOLS:
        raise MalformedMessage(f"it has {len(symbols)} symbols: that is no time")
    return _shortest(symbols)


def _shortest(symbols: bytes) -> int:
    if symbols[:1] == b"\x00":
        raise MalformedMessage("it is not in its shortest form")
    return bech32.number(symbols)


def _features(symbols: bytes) -> int:
    features = _shortest(symbols)
    for bit in range(0, features.bit_length(), 2):
        if features >> bit & 1 and bit not in KNOWN_FEATURES:
            raise MalformedMessage(f"it demands feature {bit}, which is unknown")
    return features


def _route(symbols: bytes) -> tuple[Hop, ...]:
    data = bech32.octets(symbols)
    if not data or len(data) % _HOP_SIZE:
        raise MalformedMessage(f"a route has {_HOP_SIZE} bytes for each channel, and this one {len(data)}")
    return tuple(_hop(data[start : start + _HOP_SIZE]) for start in range(0, len(data), _HOP_SIZE))


def _hop(data: bytes) -> Hop:
    return Hop(
        pubkey=secp256k1.require_point(data[:33], what="a node of a route"),
        short_channel_id=int.from_bytes(data[33:41], "big"),
        fee_base_msat=int.from_bytes(data[41:45], "big"),
        fee_proportional_millionths=int.from_bytes(data[45:49], "big"),
        cltv_expiry_delta=int.from_bytes(data[49:51], "big"),
    )


def _fallback(symbols: bytes) -> Fallback | None:
    if not symbols:
        raise MalformedMessage("it has no version")
    version, program = symbols[0], bech32.octets(symbols[1:])
    if version > SCRIPT_HASH:
        return None
    if len(program) not in _WITNESS_SIZES.get(version, range(2, 41)):
        raise MalformedMessage(f"an address of version {version} does not have {len(program)} bytes")
    return Fallback(version, program)


_ONCE: dict[int, tuple[str, Callable[[bytes], Any]]] = {
    PAYMENT_HASH: ("payment_hash", _hash),
    PAYMENT_SECRET: ("payment_secret", _hash),
    DESCRIPTION: ("description", _text),
    DESCRIPTION_HASH: ("description_hash", _hash),
    METADATA: ("metadata", bech32.octets),
    EXPIRY: ("expiry", _number),
    MIN_FINAL_CLTV: ("min_final_cltv", _number),
    PAYEE: ("payee", _pubkey),
    FEATURES: ("features", _features),
}
_REPEATED: dict[int, tuple[str, Callable[[bytes], Any]]] = {
    FALLBACK: ("fallbacks", _fallback),
    ROUTE: ("routes", _route),
}


def _add(found: dict[str, Any], kind: int, symbols: bytes) -> None:
    """Notes one field; of unknown types, nothing."""
    name, read_field = _ONCE.get(kind) or _REPEATED.get(kind) or ("", None)
    if read_field is None:
        return
    try:
        value = read_field(symbols)
    except MalformedMessage as problem:
        raise MalformedMessage(f"{name}: {problem.message}") from None
    if kind in _REPEATED:
        if value is not None:
            found.setdefault(name, []).append(value)
    elif name in found:
        # Who reads the first and who reads the last would see two invoices.
        raise MalformedMessage(f"{name} is there twice")
    else:
        found[name] = value


def _require_whole(found: dict[str, Any]) -> None:
    for name in ("payment_hash", "payment_secret"):
        if name not in found:
            raise MalformedMessage(f"{name} is missing")
    if not found.get("features", 0) & _PAYMENT_SECRET_BITS:
        raise MalformedMessage("features: payment_secret is not among them")
    if ("description" in found) == ("description_hash" in found):
        raise MalformedMessage("there is either a description or the hash of one")
