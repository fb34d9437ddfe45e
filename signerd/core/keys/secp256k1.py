"""The only file that calls libsecp256k1: points, ECDSA, Schnorr, ECDH, tweaks.

Every operation on a private key is done by the C library through coincurve, in constant time.
Secrets are 32 bytes big-endian; points are 33 bytes compressed (SEC 1).
"""

from __future__ import annotations

import enum
import hashlib
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly
from coincurve._libsecp256k1 import lib
from coincurve.ecdsa import cdata_to_der, der_to_cdata, deserialize_compact, serialize_compact
from coincurve.utils import DEFAULT_NONCE

from signerd.errors import MalformedMessage

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
POINT_SIZE = 33

_RFC6979 = DEFAULT_NONCE[0]
_MINUS_ONE = (ORDER - 1).to_bytes(32, "big")
_ORDER_BYTES, _ZERO = ORDER.to_bytes(32, "big"), bytes(32)

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
    key = _verifier(point)
    return key is not None and _is_signed(key, signature, digest)


def first_wrong(point: bytes, signed: Sequence[tuple[bytes, bytes]]) -> int | None:
    """The place of the first signature and digest that `verify_compact` refuses; None if it takes all."""
    key = _verifier(point)
    if key is None:
        return 0 if signed else None
    if len(signed) < _WORTH_SHARING:
        return _first_wrong(key, signed)
    # The C library works without the interpreter's lock: another processor takes the second half.
    half = len(signed) // 2
    try:
        second = _helper().submit(_first_wrong, key, signed[half:])
    except RuntimeError:
        # The system gives us no more threads; what was put in line for one is dropped with the line.
        _helper.cache_clear()
        return _first_wrong(key, signed)
    wrong, wrong_in_second = _first_wrong(key, signed[:half]), second.result()
    return wrong if wrong is not None or wrong_in_second is None else half + wrong_in_second


@lru_cache(maxsize=1)
def _helper() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="verify")


def _first_wrong(key: PublicKey, signed: Sequence[tuple[bytes, bytes]]) -> int | None:
    for place, (signature, digest) in enumerate(signed):
        if not _is_signed(key, signature, digest):
            return place
    return None


def _is_signed(key: PublicKey, signature: bytes, digest: bytes) -> bool:
    if len(signature) != 64 or len(digest) != 32:
        return False
    if not (_ZERO < signature[:32] < _ORDER_BYTES and _ZERO < signature[32:] < _ORDER_BYTES):
        return False
    # Not `key.verify`: it takes DER alone, and writing and reading that costs a quarter of the verification.
    parsed = deserialize_compact(signature)
    return bool(lib.secp256k1_ecdsa_verify(key.context.ctx, parsed, digest, key.public_key) == 1)


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


def multiply_point(point: bytes, factor: bytes) -> bytes:
    """factor * point, compressed. Raises ValueError if the factor is not in 1 .. n - 1."""
    return PublicKey(point).multiply(factor).format(compressed=True)


def add_points(one: bytes, other: bytes) -> bytes:
    """The sum of two points, compressed. Raises ValueError when they cancel out."""
    return PublicKey.combine_keys([PublicKey(one), PublicKey(other)]).format(compressed=True)


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
