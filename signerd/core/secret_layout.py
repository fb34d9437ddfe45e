"""What kind of `hsm_secret` is this? Recognised by what it is, never cut to fit.

Under this one name live: 32 raw bytes (glcli, Core Lightning), BIP 39 words as text (glsdk), Core
Lightning's passphrase-encrypted form (73 bytes), and its mnemonic container (32 bytes, then words).
The reference signer takes the first 32 bytes of any of them, and so becomes another node.
"""

from __future__ import annotations

from signerd.core.keys import mnemonic
from signerd.core.keys.node import SECRET_SIZE
from signerd.errors import SecretError
from signerd.units import Secret

MAX_SIZE = 4096
"""More than any layout needs: 24 words, a check value and blanks."""

ENCRYPTED_SIZE = 73


def read(content: bytes, *, source: str) -> Secret:
    """The 32-byte node secret in a secret file's content.

    Raises SecretError naming `source`, the layout that was recognised, and the way on. Never shows
    any of the content.
    """
    if len(content) == SECRET_SIZE:
        return Secret(content)
    words = _words(content)
    if words is not None:
        try:
            return mnemonic.node_secret(mnemonic.check(words))
        except SecretError as problem:
            raise SecretError(f"{source} holds words, but {problem.message}", hint=problem.hint) from None
    raise _refusal(content, source)


def _refusal(content: bytes, source: str) -> SecretError:
    if not content:
        return SecretError(
            f"{source} is empty",
            hint="restore the file from your backup, or `signerd init --import` the words",
        )
    if len(content) == ENCRYPTED_SIZE:
        return SecretError(
            f"{source} is a secret that Core Lightning encrypted with a passphrase (73 bytes)",
            hint="decrypt a copy with `lightning-hsmtool decrypt` and give signerd the 32-byte result",
        )
    if _is_container(content):
        return SecretError(
            f"{source} is Core Lightning's mnemonic container (a 32-byte check value, then words)",
            hint="its funds and its node id use different halves of the same words; "
            "see `The secret` in the documentation before moving such a node",
        )
    if _is_hex(content):
        return SecretError(
            f"{source} holds hexadecimal text, not the secret itself",
            hint="convert it into a new file: `umask 077; xxd -r -p OLD > NEW`, which must have 32 bytes",
        )
    if len(content) < SECRET_SIZE:
        return SecretError(
            f"{source} has {len(content)} bytes, a secret has {SECRET_SIZE}: it is cut short",
            hint="restore the file from your backup, or `signerd init --import` the words",
        )
    return SecretError(
        f"{source} has {len(content)} bytes and is no secret that signerd knows",
        hint="a secret is 32 raw bytes or BIP 39 words; signerd never uses a part of a file",
    )


def _words(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if mnemonic.looks_like_words(text) else None


def _is_container(content: bytes) -> bool:
    words = _words(content[SECRET_SIZE:]) if len(content) > SECRET_SIZE else None
    if words is None:
        return False
    try:
        mnemonic.check(words)
    except SecretError:
        return False
    return True


def _is_hex(content: bytes) -> bool:
    text = content.strip()
    return len(text) == 2 * SECRET_SIZE and all(c in b"0123456789abcdefABCDEF" for c in text)
