"""A plain Core Lightning node's own `hsm_secret`: 32 bytes, or a check value and then BIP 39 words."""

from __future__ import annotations

import hashlib
import hmac

from signerd.core.keys import mnemonic
from signerd.core.keys.node import SECRET_SIZE, NodeKeys, SecretKind
from signerd.errors import SecretError
from signerd.units import Secret

_NO_PASSPHRASE = bytes(SECRET_SIZE)


def node_keys(content: bytes, passphrase: Secret | None, *, source: str) -> NodeKeys:
    """The keys that Core Lightning's own hsmd has from a file's content.

    They are not those that a hosted node has from the same words. `passphrase` is None where there is none.
    Raises SecretError, naming `source` and showing nothing of the content, for what that hsmd refuses and
    for its encrypted form.
    """
    if len(content) == SECRET_SIZE:
        return NodeKeys.derive(Secret(content))
    check_value, words = content[:SECRET_SIZE], content[SECRET_SIZE:]
    seed = mnemonic.seed(_exact_words(words, source), passphrase)
    if check_value == _NO_PASSPHRASE:
        if passphrase is not None:
            raise SecretError(f"{source} has no passphrase, and one is given")
        return NodeKeys.derive(seed, SecretKind.WORDS)
    if passphrase is None:
        raise SecretError(f"{source} has a passphrase, and none is given")
    if not hmac.compare_digest(hashlib.sha256(seed.expose()).digest(), check_value):
        raise SecretError(f"the passphrase is not that of {source}")
    return NodeKeys.derive(seed, SecretKind.WORDS_WITH_PASSPHRASE)


def _exact_words(content: bytes, source: str) -> Secret:
    """Single blanks between the words, and nothing before or after them."""
    try:
        words = mnemonic.check(content.decode("ascii"))
    except (UnicodeDecodeError, SecretError):
        raise SecretError(f"{source} is neither 32 bytes nor a check value with words after it") from None
    if words.expose() != content:
        raise SecretError(f"{source} has more in it than its words and single blanks between them")
    return words
