"""BIP 39 words: made from entropy, checked, and turned into the 32-byte node secret."""

from __future__ import annotations

import hashlib
import unicodedata

from embit import bip39
from embit.wordlists.bip39 import WORDLIST

from signerd.errors import SecretError
from signerd.units import Secret

WORD_COUNTS = (12, 15, 18, 21, 24)
ENTROPY_SIZES = {12: 16, 24: 32}
"""Words that `signerd init` makes → bytes of entropy that it needs."""

_WORDS = frozenset(WORDLIST)


def from_entropy(entropy: Secret) -> Secret:
    """The words, separated by single spaces (ASCII), for 16 or 32 bytes of entropy (BIP 39)."""
    words: str = bip39.mnemonic_from_bytes(entropy.expose())
    return Secret(words.encode("ascii"))


def looks_like_words(text: str) -> bool:
    """Whether a text is meant as a mnemonic: several words, nothing but letters in them."""
    words = text.split()
    return len(words) > 1 and all(word.isalpha() for word in words)


def check(text: str) -> Secret:
    """The words in their normal form: NFKD, single spaces.

    Raises SecretError if the number of words, a word or the check sum is wrong. The message names
    positions and never a word: it may be on its way to a log.
    """
    words = unicodedata.normalize("NFKD", text).split()
    if len(words) not in WORD_COUNTS:
        raise SecretError(
            f"a mnemonic has 12, 15, 18, 21 or 24 words, this one has {len(words)}",
            hint="check that no word is missing and that words are separated by spaces",
        )
    unknown = [position for position, word in enumerate(words, start=1) if word not in _WORDS]
    if unknown:
        raise SecretError(
            f"{_positions(unknown)} not in the English BIP 39 list",
            hint="BIP 39 words are lower-case English words of the standard list; check the spelling",
        )
    normal = " ".join(words)
    # Encoding again must give the same words: that is the check sum, without asking twice how long it is.
    if bip39.mnemonic_from_bytes(bip39.mnemonic_to_bytes(normal, ignore_checksum=True)) != normal:
        raise SecretError(
            "the check sum of the words is wrong: a word is mistyped or two are swapped",
            hint="compare the words, in order, with what you wrote down",
        )
    return Secret(normal.encode("ascii"))


def node_secret(words: Secret) -> Secret:
    """The node secret: the first 32 bytes of the 64-byte BIP 39 seed with an empty passphrase.

    Greenlight's own tools take the same 32 bytes. Core Lightning's mnemonic format uses all 64 for
    funds, so words do not carry over to it; the 32-byte file does.
    """
    return Secret(seed(words).expose()[:32])


def seed(words: Secret, passphrase: Secret | None = None) -> Secret:
    """The 64-byte BIP 39 seed of words in their normal form.

    Core Lightning takes a passphrase's bytes as they are; BIP 39 asks for NFKD.
    """
    salt = b"mnemonic" + (passphrase.expose() if passphrase else b"")
    return Secret(hashlib.pbkdf2_hmac("sha512", words.expose(), salt, 2048))


def _positions(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"word {numbers[0]} is"
    return "words " + ", ".join(str(number) for number in numbers) + " are"
