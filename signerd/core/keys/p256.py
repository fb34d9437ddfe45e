"""Device keys: P-256 key pairs as PEM, 65-byte public keys, 64-byte signatures.

Signatures are ECDSA over SHA-256 as r || s, 32 bytes each, big-endian; there is no low-S rule.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from signerd.errors import CredentialsError

PUBLIC_KEY_SIZE = 65
_SHA256 = ec.ECDSA(hashes.SHA256())


def load_private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key from PEM (PKCS#8 or SEC 1). Raises CredentialsError for anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError("the device key is not a readable PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialsError("the device key is not a P-256 key")
    return key


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 PEM with CRLF line ends, as the reference client writes it."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.replace(b"\n", b"\r\n")


def public_bytes(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> bytes:
    """65 bytes: 04 || x || y."""
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def is_point(public_key: bytes) -> bool:
    """Whether 65 bytes are an uncompressed point on P-256."""
    return _parse(public_key) is not None


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """64 bytes r || s over SHA-256 of the message."""
    r, s = utils.decode_dss_signature(key.sign(message, _SHA256))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `public_key` (65 bytes) made this signature (64 bytes r || s) over SHA-256 of the message."""
    key = _parse(public_key)
    if key is None or len(signature) != 64:
        return False
    der = utils.encode_dss_signature(
        int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    )
    try:
        key.verify(der, message, _SHA256)
    except InvalidSignature:
        return False
    return True


def _parse(public_key: bytes) -> ec.EllipticCurvePublicKey | None:
    if len(public_key) != PUBLIC_KEY_SIZE or public_key[0] != 4:
        return None
    return _on_curve(public_key)


# A device that approves others does so more than once.
@lru_cache(maxsize=64)
def _on_curve(public_key: bytes) -> ec.EllipticCurvePublicKey | None:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        return None
