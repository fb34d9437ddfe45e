"""A rune: an authcode over a list of restrictions, which can be narrowed by anyone and widened by nobody.

    buffer = secret; for each restriction R in order: buffer += SHA-256 padding of len(buffer), then R
    authcode = SHA-256(buffer)

The authcode is the inner state of SHA-256 at the end of the padded last restriction, and so whoever holds a
rune can go on from there. Source: the rune specification, as Core Lightning's `commando` uses it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from signerd.core.runes import sha256
from signerd.core.runes.restriction import (
    Alternative,
    Restriction,
    parse_restriction,
    parse_restrictions,
    to_text,
)
from signerd.errors import MalformedMessage, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from signerd.units import Secret

__all__ = ["Alternative", "Restriction", "Rune", "authcode", "create", "mint", "reference_refuses"]
__all__ += ["parse_restriction", "parse_restrictions", "to_text"]

AUTHCODE_SIZE = 32
SECRET_SIZE = 32
VERSION = "gl0"
UNIQUE_ID = Restriction((Alternative("", "=", f"0-{VERSION}"),))
"""What every rune of a hosted node begins with: all have the id 0."""


@dataclass(frozen=True, slots=True)
class Rune:
    """`authcode` has 32 bytes and is not checked here: see `check`. Raises ValueError for other lengths."""

    authcode: bytes = field(repr=False)
    restrictions: tuple[Restriction, ...]

    def __post_init__(self) -> None:
        if len(self.authcode) != AUTHCODE_SIZE:
            raise ValueError("an authcode has 32 bytes")

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """From URL-safe base64 with its padding, exactly as `to_base64` would write it.

        Raises MalformedMessage for any other alphabet, missing padding, blanks, or undecodable content.
        """
        try:
            raw = base64.urlsafe_b64decode(text.encode("ascii"))
        except (UnicodeEncodeError, binascii.Error) as error:
            raise _not_base64() from error
        # The decoder skips what it does not know; comparing is what makes it strict.
        if base64.urlsafe_b64encode(raw).decode() != text:
            raise _not_base64()
        return cls.from_bytes(raw)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """From authcode (32 bytes) || restrictions (UTF-8). Raises MalformedMessage."""
        if len(raw) < AUTHCODE_SIZE:
            raise MalformedMessage(
                f"a rune has at least 32 bytes, this one has {len(raw)}",
                hint="it was cut short: copy all of it",
            )
        try:
            text = raw[AUTHCODE_SIZE:].decode()
        except UnicodeDecodeError as error:
            raise MalformedMessage("a rune's restrictions are not valid UTF-8") from error
        return cls(raw[:AUTHCODE_SIZE], parse_restrictions(text, with_id=True))

    def to_bytes(self) -> bytes:
        return self.authcode + to_text(self.restrictions).encode()

    def to_base64(self) -> str:
        return base64.urlsafe_b64encode(self.to_bytes()).decode()

    def restrict(self, restrictions: Sequence[str]) -> Self:
        """The rune narrowed by each of `restrictions`; no secret is needed.

        Raises MalformedMessage if one of them cannot be read: nobody gets a wider rune than they asked for.
        """
        state, added = self.authcode, [parse_restriction(text) for text in restrictions]
        length = _padded(SECRET_SIZE)
        for restriction in self.restrictions:
            length += _padded(len(restriction.encode()))
        for restriction in added:
            data = restriction.encode()
            data += sha256.padding(length + len(data))
            state = sha256.extend(state, data)
            length += len(data)
        return type(self)(state, (*self.restrictions, *added))


def create(rune_secret: Secret, restrictions: Sequence[str]) -> Rune:
    """A new rune with `restrictions`, under the node's rune secret (32 bytes).

    Raises MalformedMessage if a restriction cannot be read, and Refused as `mint` does.
    """
    return mint(rune_secret, [parse_restriction(text) for text in restrictions])


def mint(rune_secret: Secret, restrictions: Sequence[Restriction]) -> Rune:
    """As `create`, from restrictions that have been read already.

    Raises Refused unless some alternative compares `pubkey` with `=`. That keeps out oversights only: whether
    a rune is bound to one key is for `check.is_bound` to say.
    """
    items = (item for restriction in restrictions for item in restriction.alternatives)
    if not any(item.field == "pubkey" and item.op == "=" for item in items):
        raise Refused(
            "rune-without-pubkey",
            "a rune that is bound to no key can be used by whoever sees it",
            hint="add a restriction pubkey=KEY, with the device's public key in hex",
        )
    whole = (UNIQUE_ID, *restrictions)
    return Rune(authcode(rune_secret, whole), whole)


def authcode(rune_secret: Secret, restrictions: Iterable[Restriction]) -> bytes:
    """The 32 bytes that only the holder of the secret can compute from nothing."""
    secret = rune_secret.expose()
    if len(secret) != SECRET_SIZE:
        raise ValueError("a rune secret has 32 bytes")
    digest = hashlib.sha256(secret)
    length = SECRET_SIZE
    for restriction in restrictions:
        data = sha256.padding(length) + restriction.encode()
        digest.update(data)
        length += len(data)
    return digest.digest()


def reference_refuses(rune: Rune) -> bool:
    """Whether a signer built on the `runeauth` crate (0.1.4) refuses this rune, however valid it is.

    Two of its errors matter. It forgets the padding block of a restriction whose length in bytes leaves 0 or
    56 to 63 when divided by 64; writing one alternative of that restriction twice (`A|A`) avoids that. And it
    counts characters where it means bytes, so that non-ASCII text anywhere after a rune's first alternative
    shifts what it reads; nothing avoids that.
    """
    lengths = (len(restriction.encode()) for restriction in rune.restrictions)
    unlucky = any(length % 64 == 0 or length % 64 > 55 for length in lengths)
    items = [item for restriction in rune.restrictions for item in restriction.alternatives]
    return unlucky or not all(item.text.isascii() for item in items[1:])


def _padded(length: int) -> int:
    return length + len(sha256.padding(length))


def _not_base64() -> MalformedMessage:
    return MalformedMessage(
        "a rune is not written in URL-safe base64 with its padding", hint="copy all of it, up to the last ="
    )
