"""What makes a passphrase usable, and what its owner should know about it."""

from __future__ import annotations

from signerd.errors import SecretError
from signerd.units import Secret

MAX_BYTES = 4000
"""More could not be typed: a terminal's line has 4095."""
SHORT = 16
"""Characters. Made up by people, fewer are guessed by whoever has the file and patience."""

_LAST_CONTROL = 0x1F


def of_line(content: bytes) -> Secret:
    """The passphrase in a file or a pipe: its bytes as they are, but for one newline at the end."""
    return Secret(content.removesuffix(b"\n"))


def require_usable(passphrase: Secret) -> None:
    """Refuse for a new seal what Core Lightning's own tools could not be given. Raises SecretError."""
    raw = passphrase.expose()
    if not raw:
        raise SecretError("the new passphrase is empty", hint="that would protect nothing; choose another")
    if len(raw) > MAX_BYTES:
        raise SecretError(f"the new passphrase has more than {MAX_BYTES} bytes", hint="choose a shorter one")
    if any(byte <= _LAST_CONTROL for byte in raw):
        raise SecretError(
            "the new passphrase has a line break or another control character in it",
            hint="it could not be typed anywhere; a passphrase is one line",
        )


def weakness(passphrase: Secret) -> str | None:
    """Something that the owner of a usable passphrase should know, or None. No rule, only advice."""
    text = passphrase.expose().decode("utf-8", errors="replace")
    if text != text.strip():
        return "the passphrase begins or ends with a blank, which is a part of it"
    if len(text) < SHORT:
        return (
            f"the passphrase has fewer than {SHORT} characters: whoever gets the file may guess it; "
            "six random words are hard to guess and easy to write down"
        )
    return None
