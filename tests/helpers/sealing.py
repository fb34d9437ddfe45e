"""Core Lightning's encrypted secret by another way: OpenSSL's Argon2id, and secretstream by hand."""

from __future__ import annotations

import hmac
import struct
from functools import cache

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.poly1305 import Poly1305

_CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
_ROUNDS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))  # fmt: skip


@cache
def key_of(passphrase: bytes) -> bytes:
    """The 32-byte key that follows from a passphrase. Takes about a second."""
    salt = b"c-lightning" + bytes(5)
    return Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=256 * 1024).derive(passphrase)


def opened(content: bytes, key: bytes) -> bytes | None:
    """The 32 bytes in 73, or None if their MAC is not right."""
    header, sealed, mac = content[:24], content[24:-16], content[-16:]
    nonce = bytes([1, 0, 0, 0]) + header[16:24]
    stream = _keystream(_hchacha20(key, header[:16]), nonce, 128 + len(sealed) - 1)
    # Block 0 is the MAC's key, block 1 covers the tag and 63 zeros, block 2 and what follows the secret.
    block = bytes([sealed[0]]) + stream[65:128]
    lengths = struct.pack("<QQ", 0, 64 + len(sealed) - 1)
    expected = Poly1305.generate_tag(stream[:32], block + sealed[1:] + lengths)
    tag = sealed[0] ^ stream[64]
    if not hmac.compare_digest(mac, expected) or tag != 0:
        return None
    return bytes(a ^ b for a, b in zip(sealed[1:], stream[128:], strict=True))


def _keystream(key: bytes, nonce: bytes, size: int) -> bytes:
    counter = bytes(4)
    return Cipher(ChaCha20(key, counter + nonce), mode=None).encryptor().update(bytes(size))


def _hchacha20(key: bytes, nonce: bytes) -> bytes:
    """draft-irtf-cfrg-xchacha, section 2.2."""
    state = [*_CONSTANTS, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce)]
    for _ in range(10):
        for a, b, c, d in _ROUNDS:
            for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[first] = (state[first] + state[second]) & 0xFFFFFFFF
                mixed = state[third] ^ state[first]
                state[third] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF
    return struct.pack("<8I", *state[:4], *state[12:])
