"""BOLT 12: invoices of the peer that our node pays, and what our own node signs (hsmd 25, 41, 38)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.wire import payments as wire
from signerd.dev import identity
from signerd.dev.peer import Peer
from signerd.dev.steps import Steps, ask, require
from signerd.dev.world import World

NODE_ALIAS_BASE = b"node-alias-base"
"""Under which label Core Lightning derives what it tweaks a payer's key with."""
_SIGNATURE = 240
_FIRST_OF_INVOICE = 160

Records = Mapping[int, bytes]
"""A TLV stream: type → value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an invoice asks for. Sizes in bytes; times in seconds; `expiry` None is the default."""

    preimage: bytes = field(repr=False)
    amount_msat: int
    description: bytes = b"tea"
    quantity: int | None = None
    note: bytes = b""
    expiry: int | None = None
    hops: tuple[int, ...] = (0,)
    """A blinded path for each; so many hops after its introduction."""
    mpp: bool = False


def invoice(world: World, peer: Peer, asked: Asked) -> str:
    """An invoice `lni1…` of the peer's, as it answers a request of ours."""
    return _signed(peer, _invoice(world, peer, asked))


def approve(world: World, peer: Peer, asked: Asked) -> Steps[None]:
    """hsmd 38, with an invoice of BOLT 12."""
    yield from _approve(invoice(world, peer, asked))


def fetch(world: World, peer: Peer, asked: Asked) -> Steps[None]:
    """hsmd 27, 41, 38: our request is signed with a key for it alone, and the peer's invoice approved."""
    records = _invoice(world, peer, asked)
    request = {kind: value for kind, value in records.items() if kind < _FIRST_OF_INVOICE}
    yield from sign_request_as_node(world, request, request[0])
    yield from _approve(_signed(peer, records))


def sign_invoice(world: World, records: Records) -> Steps[None]:
    """hsmd 25: our own invoice, signed with the node's key."""
    yield from _sign(world.account.node_id, "invoice", merkle_root(records), b"")


def sign_request(world: World, records: Records, tweak: bytes) -> Steps[None]:
    """hsmd 25 as Core Lightning before v24.08 signed requests: with a payer's key, made of the bolt12 key."""
    base = world.account.bolt12_key
    key = _tweaked(base, base, tweak) if tweak else world.account.node_id
    yield from _sign(key, "invoice_request", merkle_root(records), tweak)


def sign_request_as_node(world: World, records: Records, tweak: bytes) -> Steps[None]:
    """hsmd 41, as Core Lightning signs requests: with a payer's key, made of the node's.

    hsmd 27 before it, which the payer's own code needs as well to know that key.
    """
    base = yield from identity.derive_secret(world, NODE_ALIAS_BASE)
    node_id = world.account.node_id
    key = _tweaked(node_id, base, tweak) if tweak else node_id
    root = merkle_root(records)

    def of_signature(reply: wire.SignBolt12V2Reply) -> None:
        _judge(key, "invoice_request", root, reply.signature)

    yield from ask(
        wire.SignBolt12V2("invoice_request", "signature", root, NODE_ALIAS_BASE, tweak), of_signature
    )


def write(records: Records) -> bytes:
    """A TLV stream, its types ascending (BOLT 1)."""
    return b"".join(_record(kind, value) for kind, value in sorted(records.items()))


def merkle_root(records: Records) -> bytes:
    """32 bytes: what is signed of a stream (BOLT 12, Signature Calculation). Signatures are left out."""
    kinds = sorted(kind for kind in records if not 240 <= kind <= 1000)
    first = _record(kinds[0], records[kinds[0]])

    def leaf(kind: int) -> bytes:
        tagged = secp256k1.tagged_hash
        own = tagged(b"LnLeaf", _record(kind, records[kind]))
        return _pair(own, tagged(b"LnNonce" + first, _bigsize(kind)))

    def root(nodes: list[bytes]) -> bytes:
        if len(nodes) == 1:
            return nodes[0]
        # The left side is the largest whole tree that leaves something for the right.
        half = 1 << (len(nodes) - 1).bit_length() - 1
        return _pair(root(nodes[:half]), root(nodes[half:]))

    return root([leaf(kind) for kind in kinds])


def _signed(peer: Peer, records: Records) -> str:
    signature = peer.sign_bolt12("invoice", merkle_root(records))
    stream = write({**records, _SIGNATURE: signature})
    return bech32.encode_unchecked("lni", bech32.unpack(stream))


def _approve(text: str) -> Steps[None]:
    def of_verdict(reply: wire.PreapproveInvoiceReply) -> None:
        require(reply.approved, "the payment is not approved")

    yield from ask(wire.PreapproveInvoice(text), of_verdict)


def _invoice(world: World, peer: Peer, asked: Asked) -> dict[int, bytes]:
    point = secp256k1.public_key
    paths, prices = b"", b""
    for hops in asked.hops:
        paths += peer.node_id + point(world.dice.secret()) + bytes([hops + 1])
        for _ in range(hops + 1):
            paths += point(world.dice.secret()) + (32).to_bytes(2, "big") + world.dice.fresh()
        prices += bytes(8) + (18).to_bytes(2, "big") + bytes(8) + (2**40).to_bytes(8, "big") + bytes(2)
    chain = CHAIN_HASHES[world.account.network]
    per_item = asked.amount_msat // (asked.quantity or 1)
    records = {
        0: world.dice.fresh()[:16],
        2: chain,
        8: _shortest(per_item),
        10: asked.description,
        22: peer.node_id,
        80: chain,
        84: b"",
        88: point(world.dice.secret()),
        160: paths,
        162: prices,
        164: _shortest(world.now),
        168: hashlib.sha256(asked.preimage).digest(),
        170: _shortest(per_item * (asked.quantity or 1)),
        176: peer.node_id,
    }
    if asked.quantity is not None:
        records |= {20: b"", 86: _shortest(asked.quantity)}
    if asked.note:
        records[89] = asked.note
    if asked.expiry is not None:
        records[166] = _shortest(asked.expiry)
    if asked.mpp:
        records[174] = bytes.fromhex("020000")
    return records


def _sign(key: bytes, message: str, root: bytes, tweak: bytes) -> Steps[None]:
    def of_signature(reply: wire.SignBolt12Reply) -> None:
        _judge(key, message, root, reply.signature)

    yield from ask(wire.SignBolt12(message, "signature", root, tweak), of_signature)


def _judge(key: bytes, message: str, root: bytes, signature: bytes) -> None:
    digest = secp256k1.tagged_hash(f"lightning{message}signature".encode(), root)
    require(secp256k1.verify_schnorr(key[1:], signature, digest), f"it is not a signature by {key.hex()}")


def _tweaked(point: bytes, base: bytes, tweak: bytes) -> bytes:
    return secp256k1.add_to_point(point, hashlib.sha256(base + tweak).digest())


def _pair(one: bytes, other: bytes) -> bytes:
    return secp256k1.tagged_hash(b"LnBranch", b"".join(sorted((one, other))))


def _record(kind: int, value: bytes) -> bytes:
    return _bigsize(kind) + _bigsize(len(value)) + value


def _bigsize(value: int) -> bytes:
    if value < 0xFD:
        return bytes([value])
    return b"\xfd" + value.to_bytes(2, "big")


def _shortest(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
