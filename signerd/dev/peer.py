"""The other side of our channels: a node with keys of its own, which signs what an honest peer signs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints, ChannelKeys
from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.tx import bolt11_writer
from signerd.core.tx.bech32 import pack
from signerd.core.tx.bolt11 import Invoice
from signerd.core.tx.sighash import ALL, Digests
from signerd.core.tx.transaction import Transaction
from signerd.units import Secret


class Peer:
    """A Lightning node that our node has channels with. The same seed is the same node."""

    def __init__(self, seed: bytes) -> None:
        self._keys = NodeKeys.derive(Secret(hashlib.sha256(b"a peer of " + seed).digest()))
        self.node_id: bytes = self._keys.node_id

    def channel(self, node_id: bytes, dbid: int) -> PeerChannel:
        """Its side of a channel with our node."""
        return PeerChannel(self._keys.channel(node_id, dbid))

    def sign_invoice(self, invoice: Invoice) -> str:
        """An invoice of its own, which our node may pay."""
        prefix, symbols = bolt11_writer.write_unsigned(invoice)
        signature = self._keys.sign_invoice(prefix.encode("ascii"), pack(symbols))
        return bolt11_writer.write(prefix, symbols, signature)

    @property
    def coin_key(self) -> bytes:
        """33 bytes: the key of the coins that it puts into a channel."""
        return self._keys.wallet_pubkey(0)

    def sign_coin(self, digest: bytes) -> bytes:
        """64 bytes r || s for the input that spends such a coin."""
        return self._keys.sign_wallet(0, digest, Nonce.LOW_R)

    def sign_bolt12(self, message: str, merkle_root: bytes) -> bytes:
        """64 bytes: what stands under an invoice of its own (BOLT 12)."""
        return self._keys.sign_bolt12(message, "signature", merkle_root, b"")


@dataclass(frozen=True, slots=True)
class PeerChannel:
    """The peer's keys of one channel."""

    _keys: ChannelKeys

    @property
    def basepoints(self) -> Basepoints:
        return self._keys.basepoints

    def point(self, number: int) -> bytes:
        """Its per-commitment point (33 bytes)."""
        return self._keys.per_commitment_point(number)

    def secret(self, number: int) -> bytes:
        """Its per-commitment secret (32 bytes), which revokes that commitment."""
        return self._keys.release_secret(number)

    def sign_funding(self, tx: Transaction, funding_script: bytes, value_sat: int, index: int = 0) -> bytes:
        """64 bytes r || s for whatever spends the funding output with this input."""
        digest = Digests(tx).segwit_v0(index, funding_script, value_sat, ALL)
        return self._keys.sign_funding(digest, Nonce.LOW_R_FROM_ZERO)

    def sign_htlc(
        self, tx: Transaction, witness_script: bytes, value_sat: int, *, point: bytes, sighash: int
    ) -> bytes:
        """64 bytes r || s for an HTLC transaction on the commitment that has this point, ours or its own."""
        digest = Digests(tx).segwit_v0(0, witness_script, value_sat, sighash)
        return self._keys.sign_htlc(digest, point, Nonce.LOW_R_FROM_ZERO)

    def sign_delayed(self, tx: Transaction, witness_script: bytes, value_sat: int, *, number: int) -> bytes:
        """64 bytes r || s for the delayed output of its own commitment, or of an HTLC transaction on it."""
        digest = Digests(tx).segwit_v0(0, witness_script, value_sat, ALL)
        return self._keys.sign_delayed(digest, number, Nonce.LOW_R_FROM_ZERO)


def der(signature: bytes, sighash: int = ALL) -> bytes:
    """A 64-byte signature as witnesses and PSBTs carry it: DER and the sighash byte."""
    return secp256k1.to_der(signature) + bytes([sighash])
