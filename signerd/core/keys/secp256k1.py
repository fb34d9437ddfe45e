"""The only file that calls libsecp256k1: points, ECDSA, Schnorr, ECDH, tweaks.

Every operation on a private key is done by the C library through coincurve, in constant time.
Secrets are 32 bytes big-endian; points are 33 bytes compressed (SEC 1).
"""

from __future__ import annotations

from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact

from signerd.errors import MalformedMessage

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
POINT_SIZE = 33


def is_secret(secret: bytes) -> bool:
    """Whether 32 bytes are a valid private key: in 1 .. group order - 1."""
    return len(secret) == 32 and 0 < int.from_bytes(secret, "big") < ORDER


def is_point(point: bytes) -> bool:
    """Whether 33 bytes are a compressed point on the curve."""
    return _parse(point) is not None


def require_point(point: bytes, *, what: str) -> bytes:
    """`point` itself. Raises MalformedMessage naming `what` if it is no compressed point."""
    if not is_point(point):
        raise MalformedMessage(f"{what} is not a compressed secp256k1 point")
    return point


def public_key(secret: bytes) -> bytes:
    """The 33-byte compressed public key of a 32-byte secret."""
    return PrivateKey(secret).public_key.format(compressed=True)


def ecdh(secret: bytes, point: bytes) -> bytes:
    """SHA-256 of the compressed shared point, 32 bytes (libsecp256k1's default; hsmd type 1).

    Raises MalformedMessage if `point` is not a compressed point.
    """
    require_point(point, what="the ECDH point")
    return PrivateKey(secret).ecdh(point)


def sign_compact(secret: bytes, digest: bytes) -> bytes:
    """ECDSA over a 32-byte digest: 64 bytes r || s, RFC 6979 nonce, low-S."""
    return sign_recoverable(secret, digest)[:64]


def sign_recoverable(secret: bytes, digest: bytes) -> bytes:
    """As `sign_compact`, with the recovery id appended: 65 bytes r || s || recid (0..3)."""
    return PrivateKey(secret).sign_recoverable(digest, hasher=None)


def verify_compact(point: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether a 64-byte low-S r || s signature over a 32-byte digest was made by `point`'s key."""
    key = _parse(point)
    if key is None or len(signature) != 64 or len(digest) != 32:
        return False
    if not (is_secret(signature[:32]) and is_secret(signature[32:])):
        return False
    return key.verify(cdata_to_der(deserialize_compact(signature)), digest, hasher=None)


def sign_schnorr(secret: bytes, digest: bytes, aux_randomness: bytes) -> bytes:
    """BIP 340 signature (64 bytes) over a 32-byte digest; `aux_randomness` is 32 bytes."""
    return PrivateKey(secret).sign_schnorr(digest, aux_randomness)


def add_to_secret(secret: bytes, tweak: bytes) -> bytes:
    """(secret + tweak) mod n, 32 bytes. Raises ValueError when the result is not a valid key."""
    return PrivateKey(secret).add(tweak).secret


def add_to_point(point: bytes, tweak: bytes) -> bytes:
    """point + tweak * G, compressed. Raises ValueError when the result is not a valid point."""
    return PublicKey(point).add(tweak).format(compressed=True)


def _parse(point: bytes) -> PublicKey | None:
    if len(point) != POINT_SIZE or point[0] not in (2, 3):
        return None
    try:
        return PublicKey(point)
    except ValueError:
        return None
