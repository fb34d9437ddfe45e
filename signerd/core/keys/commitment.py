"""Per-commitment secrets and points, the peer's revealed secrets, and the keys of one commitment (BOLT 3)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from signerd.core.keys import secp256k1
from signerd.errors import MalformedMessage, Refused

INDEX_BITS = 48
FIRST_INDEX = (1 << INDEX_BITS) - 1
"""The index of commitment number 0; indices count down."""

MAX_NUMBER = FIRST_INDEX
SECRET_SLOTS = INDEX_BITS + 1

_LAST_BITS = 8

_RULE = "policy-commitment-previous-revoked"


def index_of(number: int) -> int:
    """The shachain index of a commitment number. Raises MalformedMessage outside 0 .. 2^48 - 1."""
    if not 0 <= number <= MAX_NUMBER:
        raise MalformedMessage(f"a commitment number is below 2^48, not {number}")
    return FIRST_INDEX - number


def secret_at(seed: bytes, index: int) -> bytes:
    """The per-commitment secret (32 bytes) at an index, from the 32-byte seed of a channel."""
    return _descend(_node_above(seed, index >> _LAST_BITS), index, _LAST_BITS)


def point_of(secret: bytes) -> bytes:
    """The per-commitment point (33 bytes) of a secret."""
    return secp256k1.point_of(secret)


@dataclass(frozen=True, slots=True)
class RevokedSecrets:
    """The per-commitment secrets that the peer has revealed, all of them, in at most 49 slots.

    `slots[i]` holds (index, secret), where i is the number of trailing zero bits of index.
    """

    slots: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)

    @property
    def lowest_index(self) -> int | None:
        """The index of the newest commitment that is revoked, None before the first."""
        return min((index for index, _ in self.slots), default=None)

    def insert(self, index: int, secret: bytes) -> Self:
        """With one more secret; the same value if the index is already covered by an equal secret.

        Raises Refused unless the secret yields every secret that it must, and unless the indices come one
        after another, as an honest peer reveals them.
        """
        if not 0 <= index <= FIRST_INDEX or len(secret) != 32:
            raise ValueError("a secret has 32 bytes and an index below 2^48")
        known = self.secret_for(index)
        if known is not None:
            if not hmac.compare_digest(known, secret):
                raise Refused(_RULE, "another secret was already revealed for this commitment")
            return self
        lowest = self.lowest_index
        if index != (FIRST_INDEX if lowest is None else lowest - 1):
            raise Refused(_RULE, "the secret of an earlier commitment is missing")
        slot = _trailing_zeros(index)
        for covered, earlier in self.slots[:slot]:
            if not hmac.compare_digest(_descend(secret, covered, slot), earlier):
                raise Refused(_RULE, "the secret does not yield the secrets revealed before it")
        return type(self)((*self.slots[:slot], (index, secret), *self.slots[slot + 1 :]))

    def secret_for(self, index: int) -> bytes | None:
        """The secret at an index, derived from what was revealed; None if it was not revealed."""
        for slot, (covering, secret) in enumerate(self.slots):
            if index >> slot == covering >> slot:
                return _descend(secret, index, slot)
        return None


def derive_point(basepoint: bytes, per_commitment_point: bytes) -> bytes:
    """The htlc, delayed or (before static_remotekey) payment key of one commitment: 33 bytes."""
    return secp256k1.add_to_point(basepoint, _hash(per_commitment_point, basepoint))


@lru_cache(maxsize=64)
def derive_secret(base_secret: bytes, per_commitment_point: bytes) -> bytes:
    """The private key to `derive_point`: 32 bytes."""
    # Remembered, because up to 483 HTLC signatures of one commitment ask for the same key.
    basepoint = secp256k1.public_key(base_secret)
    return secp256k1.add_to_secret(base_secret, _hash(per_commitment_point, basepoint))


def revocation_point(revocation_basepoint: bytes, per_commitment_point: bytes) -> bytes:
    """The revocation key of one commitment: the basepoint is of the side that may punish (33 bytes)."""
    return secp256k1.sum_of_multiples(
        (revocation_basepoint, _hash(revocation_basepoint, per_commitment_point)),
        (per_commitment_point, _hash(per_commitment_point, revocation_basepoint)),
    )


def revocation_secret(revocation_base_secret: bytes, per_commitment_secret: bytes) -> bytes:
    """The private key to `revocation_point`, 32 bytes. Raises ValueError for a secret outside 1 .. n - 1."""
    basepoint = secp256k1.public_key(revocation_base_secret)
    point = secp256k1.public_key(per_commitment_secret)
    return secp256k1.add_to_secret(
        secp256k1.multiply_secret(revocation_base_secret, _hash(basepoint, point)),
        secp256k1.multiply_secret(per_commitment_secret, _hash(point, basepoint)),
    )


def _hash(one: bytes, other: bytes) -> bytes:
    return hashlib.sha256(one + other).digest()


def _descend(value: bytes, index: int, bits: int) -> bytes:
    """From the node that covers `index` but for its `bits` low bits, down to the leaf."""
    for bit in range(bits - 1, -1, -1):
        if index >> bit & 1:
            flipped = bytearray(value)
            flipped[bit // 8] ^= 1 << bit % 8
            value = hashlib.sha256(flipped).digest()
    return value


# 256 commitments in a row share most of the way down.
@lru_cache(maxsize=512)
def _node_above(seed: bytes, high_bits: int) -> bytes:
    return _descend(seed, high_bits << _LAST_BITS, INDEX_BITS)


def _trailing_zeros(index: int) -> int:
    return (index & -index).bit_length() - 1 if index else INDEX_BITS
