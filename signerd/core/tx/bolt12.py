"""BOLT 12 invoices, read as far as approving a payment needs: hash, amount, time, chain, payee."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.errors import MalformedMessage
from signerd.units import UnixTime

PREFIX = "lni"
DEFAULT_EXPIRY = 7200
"""Seconds."""
MAX_SIZE = 65535
"""Bytes of a TLV stream: it comes in an onion message, which is a Lightning message."""

INVREQ_CHAIN, INVREQ_AMOUNT, PATHS, BLINDEDPAY, CREATED_AT, RELATIVE_EXPIRY = 80, 82, 160, 162, 164, 166
PAYMENT_HASH, AMOUNT, FEATURES, NODE_ID, SIGNATURE = 168, 170, 174, 176, 240

_KNOWN = frozenset(
    {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 88, 90, 172, INVREQ_CHAIN, INVREQ_AMOUNT, 84, 86}
    | {PATHS, BLINDEDPAY, CREATED_AT, RELATIVE_EXPIRY, PAYMENT_HASH, AMOUNT, FEATURES, NODE_ID, SIGNATURE}
)
"""Even types that an invoice may have; odd ones may be unknown."""
_SIGNATURES = range(240, 1001)
_BASIC_MPP = 1 << 16

_JOINT = re.compile(r"(?<=[0-9A-Za-z])\+\s*(?=[0-9A-Za-z])")
_BIGSIZES = {0xFD: (2, 0xFD), 0xFE: (4, 0x1_0000), 0xFF: (8, 0x1_0000_0000)}


@dataclass(frozen=True, slots=True)
class Bolt12Invoice:
    """`digest` is the merkle root (32 bytes): what the invoice says, without signatures. Times in seconds."""

    payment_hash: bytes
    amount_msat: int
    created_at: int
    relative_expiry: int
    chain_hash: bytes
    node_id: bytes
    digest: bytes

    @property
    def expires(self) -> UnixTime:
        """When it should no longer be paid."""
        return UnixTime(self.created_at + self.relative_expiry)


class Record(NamedTuple):
    """One TLV record: its type, its value, and all its bytes, of which the first `type_size` are the type."""

    kind: int
    value: bytes
    raw: bytes
    type_size: int


def read(text: str) -> Bolt12Invoice:
    """An invoice `lni1…` in either case, its signature verified.

    Raises MalformedMessage for what BOLT 12 has a reader reject, as far as these fields go.
    """
    try:
        return _invoice(records(_stream(text)))
    except MalformedMessage as problem:
        raise MalformedMessage(f"not a BOLT 12 invoice: {problem.message}") from None


def records(stream: bytes) -> tuple[Record, ...]:
    """A TLV stream (BOLT 1): types ascend, numbers are in their shortest form, nothing is left over."""
    if len(stream) > MAX_SIZE:
        raise MalformedMessage(f"a TLV stream of {len(stream)} bytes is over {MAX_SIZE}")
    found: list[Record] = []
    position = 0
    last = -1
    while position < len(stream):
        kind, after_type = _bigsize(stream, position)
        if kind <= last:
            raise MalformedMessage("TLV types do not ascend")
        size, start = _bigsize(stream, after_type)
        end = start + size
        if end > len(stream):
            raise MalformedMessage(f"TLV type {kind} ends {end - len(stream)} bytes after the stream")
        found.append(Record(kind, stream[start:end], stream[position:end], after_type - position))
        position, last = end, kind
    return tuple(found)


def merkle_root(stream: tuple[Record, ...]) -> bytes:
    """32 bytes: the root over all records but the signatures. The stream is not empty."""
    nonce_tag = b"LnNonce" + stream[0].raw
    level = [
        _branch(
            secp256k1.tagged_hash(b"LnLeaf", record.raw),
            secp256k1.tagged_hash(nonce_tag, record.raw[: record.type_size]),
        )
        for record in stream
        if record.kind not in _SIGNATURES
    ]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [_branch(one, other) for one, other in pairs] + (level[-1:] if len(level) % 2 else [])
    return level[0]


def _stream(text: str) -> bytes:
    prefix, symbols = bech32.split(_JOINT.sub("", text))
    if prefix != PREFIX:
        raise MalformedMessage(f"its prefix is not {PREFIX}")
    return bech32.octets(symbols)


def _branch(one: bytes, other: bytes) -> bytes:
    return secp256k1.tagged_hash(b"LnBranch", min(one, other) + max(one, other))


def _invoice(stream: tuple[Record, ...]) -> Bolt12Invoice:
    fields = {record.kind: record.value for record in stream}
    unknown = [kind for kind in fields if kind % 2 == 0 and kind not in _KNOWN]
    if unknown:
        raise MalformedMessage(f"TLV type {unknown[0]} is even and unknown")
    for kind in (PATHS, BLINDEDPAY):
        if not fields.get(kind):
            raise MalformedMessage(f"TLV type {kind} is missing or empty")
    _require_features(fields.get(FEATURES, b""))
    amount = _number(fields, AMOUNT, 8)
    if INVREQ_AMOUNT in fields and _number(fields, INVREQ_AMOUNT, 8) != amount:
        raise MalformedMessage("the amount is not the one that was requested")
    expiry = _number(fields, RELATIVE_EXPIRY, 4) if RELATIVE_EXPIRY in fields else DEFAULT_EXPIRY
    chain = _sized(fields, INVREQ_CHAIN, 32) if INVREQ_CHAIN in fields else CHAIN_HASHES["bitcoin"]
    invoice = Bolt12Invoice(
        payment_hash=_sized(fields, PAYMENT_HASH, 32),
        amount_msat=amount,
        created_at=_number(fields, CREATED_AT, 7),
        relative_expiry=expiry,
        chain_hash=chain,
        node_id=secp256k1.require_point(_sized(fields, NODE_ID, 33), what="the node id"),
        digest=merkle_root(stream),
    )
    signed = secp256k1.tagged_hash(b"lightninginvoicesignature", invoice.digest)
    if not secp256k1.verify_schnorr(invoice.node_id[1:], _sized(fields, SIGNATURE, 64), signed):
        raise MalformedMessage("the signature is not that of its node id")
    return invoice


def _require_features(features: bytes) -> None:
    demanded = int.from_bytes(features, "big") & ~_BASIC_MPP
    if must := demanded & int.from_bytes(b"\x55" * len(features), "big"):
        raise MalformedMessage(f"it demands feature {(must & -must).bit_length() - 1}, which is unknown")


def _sized(fields: dict[int, bytes], kind: int, size: int) -> bytes:
    value = fields.get(kind)
    if value is None:
        raise MalformedMessage(f"TLV type {kind} is missing")
    if len(value) != size:
        raise MalformedMessage(f"TLV type {kind} has {size} bytes, not {len(value)}")
    return value


def _number(fields: dict[int, bytes], kind: int, most: int) -> int:
    """BOLT 1's tu32 and tu64: big-endian without leading zeros. Of 8 bytes a time needs fewer."""
    value = fields.get(kind)
    if value is None:
        raise MalformedMessage(f"TLV type {kind} is missing")
    if len(value) > most or value[:1] == b"\x00":
        raise MalformedMessage(f"TLV type {kind} is not a number in its shortest form")
    return int.from_bytes(value, "big")


def _bigsize(stream: bytes, position: int) -> tuple[int, int]:
    """A BigSize, and where it ends."""
    if position >= len(stream):
        raise MalformedMessage("the TLV stream ends inside of a record")
    first = stream[position]
    if first not in _BIGSIZES:
        return first, position + 1
    size, smallest = _BIGSIZES[first]
    end = position + 1 + size
    value = int.from_bytes(stream[position + 1 : end], "big")
    if end > len(stream) or value < smallest:
        raise MalformedMessage("a BigSize is cut short, or not in its shortest form")
    return value, end
