"""What kind of `hsm_secret` is this? Recognised by what it is, never cut to fit.

Under this one name live: 32 raw bytes (glcli, Core Lightning), BIP 39 words as text (glsdk), Core
Lightning's passphrase-encrypted form (73 bytes), and its mnemonic container (32 bytes, then words).
The reference signer takes the first 32 bytes of any of them, and so becomes another node.
"""

from __future__ import annotations

import enum

from signerd.core import secret_container
from signerd.core.keys import mnemonic
from signerd.core.keys.node import SECRET_SIZE
from signerd.errors import Sealed, SecretError
from signerd.units import Derivation, Secret

SEALED_SIZE = 73
KNOWN = (
    "a secret is 32 raw bytes, 73 under a passphrase, or BIP 39 words; signerd never uses a part of a file"
)
MAX_SIZE = 4096
"""More than any layout needs: 24 words, a check value and blanks."""

_SOURCES = (
    "name a source of it: --passphrase-file, --passphrase-fd, `secret.passphrase_file`, a systemd credential "
    "named hsm_passphrase, or a terminal to ask on"
)


class Layout(enum.Enum):
    """The layouts that signerd reads."""

    PLAIN = "32 raw bytes"
    WORDS = "BIP 39 words as text"
    SEALED = "a secret encrypted with a passphrase (73 bytes, Core Lightning's form)"
    CONTAINER = "Core Lightning's mnemonic container"

    @property
    def has_words(self) -> bool:
        """Whether words can be read from it."""
        return self in (Layout.WORDS, Layout.CONTAINER)


def recognise(content: bytes, *, source: str) -> Layout:
    """The layout of a secret file's content.

    Raises SecretError naming `source`, what it is instead, and the way on. Never shows any of the content.
    """
    if len(content) == SECRET_SIZE:
        return Layout.PLAIN
    if _words(content) is not None:
        return Layout.WORDS
    if len(content) == SEALED_SIZE:
        return Layout.SEALED
    if len(content) > SECRET_SIZE and _words(content[SECRET_SIZE:]) is not None:
        return Layout.CONTAINER
    raise _refusal(content, source)


def is_sealed(content: bytes, *, source: str) -> bool:
    """Whether there is a passphrase on it. Raises SecretError as `recognise` does."""
    layout = recognise(content, source=source)
    return layout is Layout.SEALED or (
        layout is Layout.CONTAINER and secret_container.has_passphrase(content)
    )


def needs_passphrase(content: bytes, *, source: str, derivation: Derivation | None = None) -> bool:
    """Whether a passphrase is needed to read it: one that is not needed is never asked for.

    Raises SecretError for what no passphrase would open.
    """
    layout = recognise(content, source=source)
    if layout is Layout.WORDS and derivation == "core-lightning":
        raise SecretError(
            f"{source} holds words as text, which Core Lightning does not read",
            hint="leave `secret.derivation` out: words as text have one meaning, a hosted node",
        )
    if layout is Layout.CONTAINER:
        _require_container(content, derivation, source)
    return is_sealed(content, source=source)


def read(
    content: bytes,
    *,
    source: str,
    passphrase: Secret | None = None,
    derivation: Derivation | None = None,
) -> Secret:
    """The 32-byte secret of a hosted node in a secret file's content.

    `derivation` is what the owner said of a container, and concerns nothing else. Raises SecretError,
    Sealed and WrongPassphrase, naming `source`.
    """
    if needs_passphrase(content, source=source, derivation=derivation) and passphrase is None:
        raise sealed(content, source=source)
    match recognise(content, source=source):
        case Layout.PLAIN:
            return Secret(content)
        case Layout.WORDS:
            return mnemonic.node_secret(_checked(content, source, "words"))
        case Layout.SEALED:
            from signerd.core import sealed_secret  # noqa: PLC0415 - only who needs libsodium loads it

            assert passphrase is not None
            return sealed_secret.unseal(content, sealed_secret.derive_key(passphrase), source=source)
        case Layout.CONTAINER:
            return _hosted(content, passphrase, derivation, source)


def sealed(content: bytes, *, source: str) -> Sealed:
    """What to say when a passphrase is needed, and there is none."""
    layout = recognise(content, source=source).value
    return Sealed(f"{source} is sealed: it is {layout}, and no passphrase is given", hint=_SOURCES)


def not_hosted(source: str) -> SecretError:
    """What to say when a container was said to mean what no service hosts."""
    return SecretError(
        f"{source} was said to mean a node of Core Lightning's own, and this is for a hosted one",
        hint="its wallet and channels have other keys than a hosted node of the same words; only "
        "`signerd inspect identity` shows it",
    )


def _hosted(content: bytes, passphrase: Secret | None, derivation: Derivation | None, source: str) -> Secret:
    if derivation != "hosted":
        raise not_hosted(source)
    given = passphrase if secret_container.has_passphrase(content) else None
    return Secret(secret_container.seed(content, given, source=source).expose()[:SECRET_SIZE])


def _require_container(content: bytes, derivation: Derivation | None, source: str) -> None:
    _checked(content[SECRET_SIZE:], source, "Core Lightning's mnemonic container")
    if derivation is None:
        raise SecretError(
            f"{source} is Core Lightning's mnemonic container (a 32-byte check value, then words), "
            "and two nodes follow from it",
            hint='say which, with `secret.derivation` or --derivation: "hosted" is the node that a service '
            'hosts for these words, "core-lightning" the one that Core Lightning is with this file; they '
            "share the node id, but no money; see `The secret` in the documentation",
        )


def _checked(content: bytes, source: str, what: str) -> Secret:
    words = _words(content)
    assert words is not None
    try:
        return mnemonic.check(words)
    except SecretError as problem:
        raise SecretError(f"{source} holds {what}, but {problem.message}", hint=problem.hint) from None


def _refusal(content: bytes, source: str) -> SecretError:
    size = len(content)
    if not content:
        return SecretError(
            f"{source} is empty",
            hint="restore the file from your backup, or `signerd init --import` the words",
        )
    if _is_hex(content):
        return SecretError(
            f"{source} holds hexadecimal text, not the secret itself",
            hint="convert it into a new file: `umask 077; xxd -r -p OLD > NEW`, which must have 32 bytes",
        )
    if size < SECRET_SIZE:
        return SecretError(
            f"{source} has {size} bytes, a secret has {SECRET_SIZE}: it is cut short",
            hint="restore the file from your backup, or `signerd init --import` the words",
        )
    if not secret_container.has_passphrase(content):
        return SecretError(
            f"{source} has {size} bytes and begins as Core Lightning's mnemonic container does (32 zeros), "
            "but no words follow",
            hint="restore the file from your backup, or `signerd init --import` the words",
        )
    if abs(size - SEALED_SIZE) == 1:
        return SecretError(
            f"{source} has {size} bytes, a secret under a passphrase has {SEALED_SIZE}: it is damaged",
            hint="restore the file from your backup; a byte more or less does not open",
        )
    return SecretError(
        f"{source} has {size} bytes and is no secret that signerd knows",
        hint=KNOWN,
    )


def _words(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if mnemonic.looks_like_words(text) else None


def _is_hex(content: bytes) -> bool:
    text = content.strip()
    return len(text) == 2 * SECRET_SIZE and all(c in b"0123456789abcdefABCDEF" for c in text)
