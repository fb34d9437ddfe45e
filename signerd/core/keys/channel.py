"""The keys of one channel, from the node's channel base, the peer's id and the channel's dbid."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from signerd.core.keys import commitment, secp256k1
from signerd.core.keys.hkdf import hkdf_sha256
from signerd.core.keys.secp256k1 import Nonce
from signerd.errors import MalformedMessage
from signerd.units import Secret


@dataclass(frozen=True, slots=True)
class Basepoints:
    """The public keys that one side brings into a channel, 33 bytes each; BOLT 2's names."""

    funding: bytes
    revocation: bytes
    payment: bytes
    htlc: bytes
    delayed: bytes


class ChannelKeys:
    """Our side of one channel. Signs and tells points; shows no secret but through `release_secret`."""

    def __init__(self, channel_seed: Secret) -> None:
        pieces = _expand(channel_seed.expose(), b"c-lightning", count=6)
        self._funding, self._revocation, self._htlc, self._payment, self._delayed, self._shaseed = (
            Secret(piece) for piece in pieces
        )

    @classmethod
    def derive(cls, channel_base: Secret, peer_id: bytes, dbid: int) -> Self:
        """For a peer (33 bytes) and the channel's number in the node's database (below 2^64)."""
        salt = peer_id + dbid.to_bytes(8, "little")
        return cls(Secret(hkdf_sha256(channel_base.expose(), b"per-peer seed", salt=salt)))

    def __repr__(self) -> str:
        return "ChannelKeys(...)"

    @cached_property
    def basepoints(self) -> Basepoints:
        """What we tell the peer when the channel opens (hsmd type 10)."""
        return Basepoints(
            funding=_point(self._funding),
            revocation=_point(self._revocation),
            payment=_point(self._payment),
            htlc=_point(self._htlc),
            delayed=_point(self._delayed),
        )

    def per_commitment_point(self, number: int) -> bytes:
        """33 bytes: our point for a commitment number below 2^48, else MalformedMessage (hsmd type 18)."""
        return commitment.point_of(self._secret_of(number))

    def release_secret(self, number: int) -> bytes:
        """32 bytes: our per-commitment secret, which revokes that commitment once the peer has it.

        Only for a commitment whose successor is stored with the peer's signatures (hsmd types 18, 35, 40).
        """
        return self._secret_of(number)

    def is_secret(self, number: int, candidate: bytes) -> bool:
        """Whether `candidate` is our per-commitment secret of that number (hsmd type 22)."""
        return hmac.compare_digest(self._secret_of(number), candidate)

    def sign_funding(self, digest: bytes, nonce: Nonce) -> bytes:
        """64 bytes r || s with the funding key: commitments, mutual closes, our anchor, announcements."""
        return secp256k1.sign(self._funding.expose(), digest, nonce)

    def sign_htlc(self, digest: bytes, per_commitment_point: bytes, nonce: Nonce) -> bytes:
        """64 bytes r || s with our htlc key of the commitment that has this point, ours or the peer's."""
        return secp256k1.sign(_tweaked(self._htlc, per_commitment_point), digest, nonce)

    def sign_delayed(self, digest: bytes, number: int, nonce: Nonce) -> bytes:
        """64 bytes r || s with the delayed payment key of our own commitment `number`."""
        return secp256k1.sign(_tweaked(self._delayed, self.per_commitment_point(number)), digest, nonce)

    def sign_penalty(self, digest: bytes, per_commitment_secret: bytes, nonce: Nonce) -> bytes:
        """64 bytes r || s with the revocation key of the peer's commitment that this secret revoked.

        Raises MalformedMessage for a secret outside 1 .. group order - 1.
        """
        if not secp256k1.is_secret(per_commitment_secret):
            raise MalformedMessage("the revocation secret is not a valid private key")
        key = commitment.revocation_secret(self._revocation.expose(), per_commitment_secret)
        return secp256k1.sign(key, digest, nonce)

    def sign_payment(
        self, digest: bytes, nonce: Nonce, *, per_commitment_point: bytes | None = None
    ) -> bytes:
        """64 bytes r || s with our payment key on the peer's commitment.

        Its point is given only for channels from before option_static_remotekey.
        """
        if per_commitment_point is None:
            return secp256k1.sign(self._payment.expose(), digest, nonce)
        return secp256k1.sign(_tweaked(self._payment, per_commitment_point), digest, nonce)

    def _secret_of(self, number: int) -> bytes:
        return commitment.secret_at(self._shaseed.expose(), commitment.index_of(number))


def _point(secret: Secret) -> bytes:
    return secp256k1.public_key(secret.expose())


def _tweaked(base_secret: Secret, per_commitment_point: bytes) -> bytes:
    return commitment.derive_secret(base_secret.expose(), per_commitment_point)


def _expand(key_material: bytes, info: bytes, *, count: int) -> list[bytes]:
    """`count` blocks of HKDF-SHA256 without a salt (RFC 5869)."""
    extracted = hmac.digest(b"", key_material, hashlib.sha256)
    blocks: list[bytes] = []
    last = b""
    for number in range(1, count + 1):
        last = hmac.digest(extracted, last + info + bytes([number]), hashlib.sha256)
        blocks.append(last)
    return blocks
