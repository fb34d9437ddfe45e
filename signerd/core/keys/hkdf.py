"""HKDF-SHA256 with one block of output, as Core Lightning uses it (RFC 5869)."""

from __future__ import annotations

import hashlib
import hmac


def hkdf_sha256(key_material: bytes, info: bytes, *, salt: bytes = b"") -> bytes:
    """32 bytes. An empty salt equals one of zeros: HMAC pads its key with zeros anyway."""
    extracted = hmac.digest(salt, key_material, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)
