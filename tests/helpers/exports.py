"""Encrypt exports as the service does, with the one-call AEAD that the code under test does not use."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.units import Secret

SECRET = bytes(range(32))
KEYS = NodeKeys.derive(Secret(SECRET))
OTHER_SECRET = bytes(range(1, 33))
DUMP = b"PGDMP\x01\x0e\x00" + bytes(range(256)) * 40
EPHEMERAL_SECRET = b"\x42" * 32
NONCE = bytes(range(12))


def encrypt(plaintext: bytes, node_id: bytes = KEYS.node_id) -> bytes:
    """A whole export file for a node (33 bytes)."""
    key = secp256k1.ecdh(EPHEMERAL_SECRET, node_id)
    sealed = ChaCha20Poly1305(key).encrypt(NONCE, plaintext, node_id)
    body, tag = sealed[:-16], sealed[-16:]
    return b"\x01" + secp256k1.public_key(EPHEMERAL_SECRET) + NONCE + tag + body
