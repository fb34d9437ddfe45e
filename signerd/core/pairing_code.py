"""The short code that both sides of a pairing can show: do they mean the same device?

    content = device key (65) || len(name) (4) || name || len(restrictions) (4) || restrictions
    bits = PBKDF2-HMAC-SHA256(password = content, salt = "signerd pairing code v1", 200,000 rounds, 5 bytes)
    code = bits in Crockford's base 32, eight symbols from the first bit on, shown as XXXX-XXXX

Lengths are big-endian and in bytes, texts are UTF-8. The rounds make it dear to look for another key, name or
restrictions that have the same code: 2^40 tries of some tens of milliseconds each.
"""

from __future__ import annotations

import hashlib

ROUNDS = 200_000
SALT = b"signerd pairing code v1"
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U, which are taken for others."""

_BYTES, _SYMBOLS, _BITS = 5, 8, 5


def pairing_code(device_id: str, device_name: str, restrictions: str) -> str:
    """Eight symbols with a dash in the middle. `device_id` in hex. Takes some tens of milliseconds."""
    content = bytes.fromhex(device_id)
    for text in (device_name.encode(), restrictions.encode()):
        content += len(text).to_bytes(4, "big") + text
    number = int.from_bytes(hashlib.pbkdf2_hmac("sha256", content, SALT, ROUNDS, _BYTES), "big")
    symbols = "".join(
        ALPHABET[number >> _BITS * (_SYMBOLS - 1 - place) & (1 << _BITS) - 1] for place in range(_SYMBOLS)
    )
    return f"{symbols[:4]}-{symbols[4:]}"
