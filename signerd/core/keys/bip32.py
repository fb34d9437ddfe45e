"""BIP 32 derivation, private and public; the private half goes through libsecp256k1."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import reduce

from embit.hashes import hash160

from signerd.core.keys import secp256k1

HARDENED = 0x8000_0000


@dataclass(frozen=True, slots=True)
class ExtendedKey:
    """A private node of the BIP 32 tree. `path_fingerprint` is that of its parent (4 bytes)."""

    secret: bytes = field(repr=False)
    chain_code: bytes = field(repr=False)
    depth: int
    parent_fingerprint: bytes
    child_number: int

    @property
    def point(self) -> bytes:
        """33 bytes: the compressed public key."""
        return secp256k1.public_key(self.secret)

    def child(self, index: int) -> ExtendedKey:
        """CKDpriv; `index` at or above 2^31 is hardened. Raises ValueError with chance 2^-127."""
        point = self.point
        head = b"\x00" + self.secret if index >= HARDENED else point
        left, right = _split(self.chain_code, head + index.to_bytes(4, "big"))
        return ExtendedKey(
            secret=secp256k1.add_to_secret(self.secret, left),
            chain_code=right,
            depth=self.depth + 1,
            parent_fingerprint=fingerprint(point),
            child_number=index,
        )

    def descendant(self, *path: int) -> ExtendedKey:
        """The key at the end of a path of children."""
        return reduce(ExtendedKey.child, path, self)

    def public(self, version: bytes) -> bytes:
        """The 78-byte serialisation of the public half, without the base58 check sum (BIP 32)."""
        return (
            version
            + bytes([self.depth])
            + self.parent_fingerprint
            + self.child_number.to_bytes(4, "big")
            + self.chain_code
            + self.point
        )


def master(seed: bytes) -> ExtendedKey:
    """The root of the tree for a seed of 16 to 64 bytes."""
    left, right = _split(b"Bitcoin seed", seed)
    return ExtendedKey(left, right, depth=0, parent_fingerprint=bytes(4), child_number=0)


def public_child(point: bytes, chain_code: bytes, index: int) -> bytes:
    """CKDpub for a normal child: the child's 33-byte public key. `index` is below 2^31."""
    if not 0 <= index < HARDENED:
        raise ValueError("a hardened child needs the private key")
    left, _ = _split(chain_code, point + index.to_bytes(4, "big"))
    return secp256k1.add_to_point(point, left)


def fingerprint(point: bytes) -> bytes:
    """4 bytes: the head of HASH160 of a compressed public key."""
    # embit carries its own RIPEMD-160 for the systems whose OpenSSL no longer has it.
    return bytes(hash160(point)[:4])


def _split(key: bytes, data: bytes) -> tuple[bytes, bytes]:
    both = hmac.digest(key, data, hashlib.sha512)
    return both[:32], both[32:]
