"""A secret under a passphrase, as Core Lightning keeps it: 73 bytes, sealed and opened.

    header 24 | encrypted tag 1 | encrypted secret 32 | MAC 16

libsodium's secretstream (XChaCha20-Poly1305) with one message, its tag 0, and no additional data. The key is
Argon2id (version 1.3, t = 3, 256 MiB, one lane) of the passphrase's bytes as they are, with a fixed salt.
"""

from __future__ import annotations

from nacl import bindings
from nacl.pwhash import argon2id

from signerd.core.keys.node import SECRET_SIZE
from signerd.errors import MemoryShort, SecretError, WrongPassphrase
from signerd.units import Secret

HEADER_SIZE = 24
KEY_SIZE = 32
KEY_MEMORY = 256 * 1024 * 1024
"""Bytes that one derivation needs, for a second or so."""

_SALT = b"c-lightning" + bytes(5)
_PASSES = 3


def derive_key(passphrase: Secret) -> Secret:
    """The key that follows from a passphrase. Takes about a second. Raises MemoryShort."""
    try:
        key = argon2id.kdf(KEY_SIZE, passphrase.expose(), _SALT, opslimit=_PASSES, memlimit=KEY_MEMORY)
    except (MemoryError, RuntimeError) as error:  # libsodium gives one reason for everything: no memory
        raise MemoryShort(
            "there is not enough memory for the passphrase, which needs 256 MiB for a moment",
            hint="raise the limit (MemoryMax= in systemd, --memory of a container, `ulimit -v`) or free some",
        ) from error
    return Secret(key)


def seal(secret: Secret, key: Secret, header: bytes) -> bytes:
    """73 bytes for a 32-byte secret. `header` is 24 bytes that must be random, and new each time."""
    if len(secret) != SECRET_SIZE:
        raise SecretError(f"a secret of {len(secret)} bytes cannot be sealed, only one of {SECRET_SIZE}")
    stream = bindings.crypto_secretstream_xchacha20poly1305_state()
    # Both directions of secretstream begin in the same state; this one takes the header that it is given.
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(stream, header, key.expose())
    return header + bindings.crypto_secretstream_xchacha20poly1305_push(stream, secret.expose())


def unseal(content: bytes, key: Secret, *, source: str) -> Secret:
    """The secret in 73 bytes. Raises WrongPassphrase, naming `source`; nothing tells damage from that."""
    stream = bindings.crypto_secretstream_xchacha20poly1305_state()
    header, sealed = content[:HEADER_SIZE], content[HEADER_SIZE:]
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(stream, header, key.expose())
    try:
        secret, _ = bindings.crypto_secretstream_xchacha20poly1305_pull(stream, sealed)
    except RuntimeError:
        raise wrong_passphrase(source) from None
    return Secret(secret)


def wrong_passphrase(source: str) -> WrongPassphrase:
    """What to say when a passphrase does not fit."""
    return WrongPassphrase(
        f"the passphrase does not open {source}: it is another one, or the file is damaged",
        hint="it was tried once; every byte counts, also blanks and how accents are composed, and of a "
        "passphrase file only one newline at its end does not",
    )
