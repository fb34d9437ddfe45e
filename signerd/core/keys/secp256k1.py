"""The only file that calls libsecp256k1: points, ECDSA, Schnorr, ECDH, tweaks.

Every operation on a private key is done by the C library through coincurve, in constant time.
Secrets are 32 bytes big-endian; points are 33 bytes compressed (SEC 1).
"""

from __future__ import annotations

import enum
import hashlib
import itertools
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
from coincurve._libsecp256k1 import lib
from coincurve.context import GLOBAL_CONTEXT
from coincurve.ecdsa import cdata_to_der, der_to_cdata, deserialize_compact, serialize_compact
from coincurve.utils import DEFAULT_NONCE

from signerd.core.keys import helper
from signerd.errors import MalformedMessage

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
POINT_SIZE = 33

_RFC6979 = DEFAULT_NONCE[0]
_MINUS_ONE = (ORDER - 1).to_bytes(32, "big")
_ORDER_BYTES, _ZERO = ORDER.to_bytes(32, "big"), bytes(32)

_Verification = tuple[int, Any, bytes, PublicKey | None]
"""Its place, the signature as the C library has it, the digest, the key; None is for what is none."""
_WORTH_SHARING = 8
"""Signatures; to wake another thread takes as long as one or two of them."""


class Nonce(enum.Enum):
    """How the nonce of an ECDSA signature is found. All are RFC 6979 over SHA-256, all give low S."""

    PLAIN = "plain"
    """The first nonce, whatever r it gives."""
    LOW_R = "low-r"
    """Bitcoin Core's search: plain first, then extra data counting up from 1, until r is below 2^255."""
    LOW_R_FROM_ZERO = "low-r-from-zero"
    """The search of Core Lightning's hsmd: extra data counts up from 0, so the first nonce has it too."""


def is_secret(secret: bytes) -> bool:
    """Whether 32 bytes are a valid private key: in 1 .. group order - 1."""
    return len(secret) == 32 and 0 < int.from_bytes(secret, "big") < ORDER


def is_point(point: bytes) -> bool:
    """Whether 33 bytes are a compressed point on the curve."""
    return _parse(point) is not None


def is_public_key(key: bytes) -> bool:
    """Whether these bytes are a point on the curve, compressed or not (SEC 1)."""
    if key[:1] not in (b"\x02", b"\x03", b"\x04"):
        return False  # libsecp256k1 takes hybrid keys too, which nobody else in this field does
    try:
        PublicKey(key)
    except ValueError:
        return False
    return True


def is_x_only(point: bytes) -> bool:
    """Whether 32 bytes are the x coordinate of a point on the curve (BIP 340)."""
    return is_point(b"\x02" + point)


def require_point(point: bytes, *, what: str) -> bytes:
    """`point` itself. Raises MalformedMessage naming `what` if it is no compressed point."""
    if not is_point(point):
        raise MalformedMessage(f"{what} is not a compressed secp256k1 point")
    return point


def public_key(secret: bytes) -> bytes:
    """The 33-byte compressed public key of a 32-byte secret."""
    return _key(secret).public_key.format(compressed=True)


def point_of(secret: bytes) -> bytes:
    """As `public_key`, for a secret that is needed for nothing more: it is not kept, and half the work."""
    return PublicKey.from_secret(secret).format(compressed=True)


def ecdh(secret: bytes, point: bytes) -> bytes:
    """SHA-256 of the compressed shared point, 32 bytes (libsecp256k1's default; hsmd type 1).

    Raises MalformedMessage if `point` is not a compressed point.
    """
    try:
        if len(point) != POINT_SIZE:
            raise ValueError("not a compressed point")  # noqa: TRY301
        return _key(secret).ecdh(point)
    except ValueError:
        raise MalformedMessage("the ECDH point is not a compressed secp256k1 point") from None


def sign_compact(secret: bytes, digest: bytes) -> bytes:
    """ECDSA over a 32-byte digest: 64 bytes r || s, RFC 6979 nonce, low-S."""
    return sign_recoverable(secret, digest)[:64]


def sign_recoverable(secret: bytes, digest: bytes) -> bytes:
    """As `sign_compact`, with the recovery id appended: 65 bytes r || s || recid (0..3)."""
    return _key(secret).sign_recoverable(digest, hasher=None)


def sign(secret: bytes, digest: bytes, nonce: Nonce) -> bytes:
    """ECDSA over a 32-byte digest: 64 bytes r || s, low-S, the nonce found as `nonce` says."""
    if nonce is Nonce.PLAIN:
        return sign_compact(secret, digest)
    key = _key(secret)
    if nonce is Nonce.LOW_R:
        signature = key.sign_recoverable(digest, hasher=None)
        if signature[0] < 0x80:
            return signature[:64]
    for counter in itertools.count(0 if nonce is Nonce.LOW_R_FROM_ZERO else 1):  # pragma: no branch
        # Both write the counter as u32 little-endian and leave the other 28 bytes zero.
        extra = counter.to_bytes(32, "little")
        signature = key.sign_recoverable(digest, hasher=None, custom_nonce=(_RFC6979, extra))
        if signature[0] < 0x80:
            break
    return signature[:64]


def recover(signature: bytes, digest: bytes) -> bytes:
    """The 33-byte point whose key made this signature (65 bytes r || s || recid) over a 32-byte digest.

    Raises MalformedMessage if no key can have made it.
    """
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError as problem:
        raise MalformedMessage("no public key can be recovered from the signature") from problem
    return key.format(compressed=True)


def to_der(signature: bytes) -> bytes:
    """A 64-byte r || s signature in DER, 8 to 72 bytes; as witnesses and PSBTs carry it."""
    return cdata_to_der(deserialize_compact(signature))


def from_der(der: bytes) -> bytes:
    """The 64 bytes r || s of a strict DER signature. Raises MalformedMessage for any other encoding."""
    try:
        signature: bytes = serialize_compact(der_to_cdata(der))
    except ValueError as problem:
        raise MalformedMessage("a signature is not in DER") from problem
    # The C library forgives some encodings and reads overflowing numbers as zero; consensus does not.
    if not (is_secret(signature[:32]) and is_secret(signature[32:])) or to_der(signature) != der:
        raise MalformedMessage("a signature is not in strict DER")
    return signature


def verify_compact(point: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether a 64-byte low-S r || s signature over a 32-byte digest was made by `point`'s key."""
    return first_wrong([(point, signature, digest)]) is None


def first_wrong(signed: Sequence[tuple[bytes, bytes, bytes]]) -> int | None:
    """The place of the first point, signature and digest that `verify_compact` refuses; None without one."""
    # What needs the interpreter's lock comes first: two threads that both want it wait for each other.
    parsed = [
        (place, _parsed(signature, digest), digest, _verifier(point))
        for place, (point, signature, digest) in enumerate(signed)
    ]
    # Each takes the next one that is left, so that nobody waits long for the other.
    left = deque(parsed)
    other = helper.begin(_first_wrong, left) if len(signed) >= _WORTH_SHARING else None
    if other is None:
        return _first_wrong(deque(parsed))
    ours = _first_wrong(left)
    # A helper that had other things to do has taken none, and need not be waited for.
    theirs = None if other.cancel() else other.result()
    return min((place for place in (ours, theirs) if place is not None), default=None)


def _first_wrong(left: deque[_Verification]) -> int | None:
    """The place of the first that is wrong, of those that are taken here; later ones may be left."""
    context, verify = GLOBAL_CONTEXT.ctx, lib.secp256k1_ecdsa_verify
    while True:
        try:
            place, signature, digest, key = left.popleft()  # one at a time, whoever else takes them
        except IndexError:
            return None
        if key is None or signature is None or verify(context, signature, digest, key.public_key) != 1:
            left.clear()  # all before it are taken
            return place


def _parsed(signature: bytes, digest: bytes) -> Any:
    """A signature as the C library wants it; None if it cannot be one of this digest."""
    if len(signature) != 64 or len(digest) != 32:
        return None
    if not (_ZERO < signature[:32] < _ORDER_BYTES and _ZERO < signature[32:] < _ORDER_BYTES):
        return None
    # Not `key.verify`: it takes DER alone, and writing and reading that costs a quarter of the verification.
    return deserialize_compact(signature)


def sign_schnorr(secret: bytes, digest: bytes, aux_randomness: bytes) -> bytes:
    """BIP 340 signature (64 bytes) over a 32-byte digest; `aux_randomness` is 32 bytes."""
    return _key(secret).sign_schnorr(digest, aux_randomness)


def verify_schnorr(x_only: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether the key of a 32-byte x-only point made this BIP 340 signature over a 32-byte digest."""
    if len(x_only) != 32 or len(signature) != 64 or len(digest) != 32:
        return False
    try:
        return PublicKeyXOnly(x_only).verify(signature, digest)
    except ValueError:
        return False


def taproot_secret(secret: bytes, merkle_root: bytes = b"") -> bytes:
    """The private key (32 bytes) of a taproot output whose internal key is that of `secret` (BIP 341).

    `merkle_root` is empty for an output without scripts, as wallets make it.
    """
    key = _key(secret)
    point = key.public_key.format(compressed=True)
    # BIP 341 tweaks the key of the point with even y.
    even = key if point[0] == 2 else key.multiply(_MINUS_ONE)
    return even.add(_taproot_tweak(point[1:], merkle_root)).secret


def taproot_point(point: bytes, merkle_root: bytes = b"") -> bytes:
    """The x-only output key (32 bytes) for the internal key `point` (33 bytes compressed; BIP 341)."""
    even = PublicKey(b"\x02" + point[1:])
    return even.add(_taproot_tweak(point[1:], merkle_root)).format(compressed=True)[1:]


def add_to_secret(secret: bytes, tweak: bytes) -> bytes:
    """(secret + tweak) mod n, 32 bytes. Raises ValueError when the result is not a valid key."""
    return _key(secret).add(tweak).secret


def add_to_point(point: bytes, tweak: bytes) -> bytes:
    """point + tweak * G, compressed. Raises ValueError when the result is not a valid point."""
    return PublicKey(point).add(tweak).format(compressed=True)


def multiply_secret(secret: bytes, factor: bytes) -> bytes:
    """secret * factor mod n, 32 bytes. Raises ValueError if either is not in 1 .. n - 1."""
    return _key(secret).multiply(factor).secret


def sum_of_multiples(*terms: tuple[bytes, bytes]) -> bytes:
    """The sum of factor * point, compressed, for pairs of a point and a factor.

    Raises ValueError if a factor is not in 1 .. n - 1, or when the terms cancel out.
    """
    multiples = [PublicKey(point).multiply(factor) for point, factor in terms]
    return PublicKey.combine_keys(multiples).format(compressed=True)


def tagged_hash(tag: bytes, data: bytes) -> bytes:
    """BIP 340's hash for one purpose: SHA-256 of the tag's SHA-256, twice, and the data."""
    head = hashlib.sha256(tag).digest()
    return hashlib.sha256(head + head + data).digest()


@lru_cache(maxsize=512)
def _key(secret: bytes) -> PrivateKey:
    # Making the object multiplies the generator twice, which costs more than a signature.
    return PrivateKey(secret)


def _taproot_tweak(x_only: bytes, merkle_root: bytes) -> bytes:
    return tagged_hash(b"TapTweak", x_only + merkle_root)


# Up to 483 HTLC signatures of one commitment are verified with the same key.
@lru_cache(maxsize=64)
def _verifier(point: bytes) -> PublicKey | None:
    return _parse(point)


def _parse(point: bytes) -> PublicKey | None:
    if len(point) != POINT_SIZE or point[0] not in (2, 3):
        return None
    try:
        return PublicKey(point)
    except ValueError:
        return None
