"""Core Lightning's mnemonic container: a 32-byte check value, then BIP 39 words.

The check value is all zeros where the words have no passphrase, and the SHA-256 of their seed where they do.
Two nodes follow from one container: they share the node key, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac

from signerd.core.keys import mnemonic
from signerd.core.keys.node import SECRET_SIZE, NodeKeys, SecretKind
from signerd.errors import Sealed, SecretError, WrongPassphrase
from signerd.units import Secret

_NO_PASSPHRASE = bytes(SECRET_SIZE)
_RESTORE = "restore the file from your backup, as Core Lightning wrote it"


def has_passphrase(content: bytes) -> bool:
    """Whether a container's words have a passphrase."""
    return content[:SECRET_SIZE] != _NO_PASSPHRASE


def seed(content: bytes, passphrase: Secret | None, *, source: str) -> Secret:
    """The 64-byte seed of a container's words. `passphrase` is None where there is none.

    Raises SecretError, naming `source` and showing nothing of the content, for what Core Lightning refuses.
    """
    words = _exact_words(content[SECRET_SIZE:], source)
    if not has_passphrase(content):
        if passphrase is not None:
            raise SecretError(f"{source} has no passphrase, and one is given")
        return mnemonic.seed(words)
    if passphrase is None:
        raise Sealed(f"{source} has a passphrase, and none is given")
    found = mnemonic.seed(words, passphrase)
    if not hmac.compare_digest(hashlib.sha256(found.expose()).digest(), content[:SECRET_SIZE]):
        raise WrongPassphrase(
            f"the passphrase is not that of {source}, or the file is damaged",
            hint="it was tried once; every byte counts, also blanks and how accents are composed",
        )
    return found


def node_keys(content: bytes, passphrase: Secret | None, *, source: str) -> NodeKeys:
    """The keys that Core Lightning's own hsmd has from a file's content: 32 bytes, or a container.

    From a container they are not those that a hosted node has from the same words. Raises SecretError as
    `seed` does, and for the encrypted form.
    """
    if len(content) == SECRET_SIZE:
        return NodeKeys.derive(Secret(content))
    kind = SecretKind.WORDS_WITH_PASSPHRASE if has_passphrase(content) else SecretKind.WORDS
    return NodeKeys.derive(seed(content, passphrase, source=source), kind)


def _exact_words(content: bytes, source: str) -> Secret:
    """Single blanks between the words, and nothing before or after them."""
    try:
        words = mnemonic.check(content.decode("ascii"))
    except (UnicodeDecodeError, SecretError):
        raise SecretError(
            f"{source} is neither 32 bytes nor a check value with words after it", hint=_RESTORE
        ) from None
    if words.expose() != content:
        raise SecretError(
            f"{source} has more in it than its words and single blanks between them", hint=_RESTORE
        )
    return words
