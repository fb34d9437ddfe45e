"""The devices that this signer made runes for, and those that it believes no more.

A device is its key. Every rune that is accepted is bound to one key alone, and narrowing a rune cannot change
that: whatever was made for a key, or derived from it, is refused with the key.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from signerd.core.keys import p256
from signerd.core.runes.check import bound_key
from signerd.core.runes.rune import UNIQUE_ID, to_text
from signerd.errors import Refused

if TYPE_CHECKING:
    from signerd.core.runes.rune import Rune
    from signerd.units import UnixTime

REVOKED_RULE = "rune-revoked"
HANDLE_DIGITS, LEAST_DIGITS = 16, 4
SHOWN_NAME, SHOWN_RESTRICTIONS = 200, 4096
"""Characters that the register keeps: a device may ask for more, and must not fill the disk with it."""
CUT = "…"
"""What ends a text that was cut."""


class RevokedKeys(Protocol):
    """The keys of revoked devices, 65 bytes each; a frozenset will do."""

    def __contains__(self, key: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class MintedRune:
    """The public facts of a rune. It is known again by `fingerprint`, SHA-256 of its authcode (32 bytes)."""

    device: bytes
    name: str
    restrictions: str
    fingerprint: bytes
    time: UnixTime
    approver: bytes
    by: str
    """Who said yes: `attested`, `owner`, or `auto:` and the pattern of the rule.

    With no `approver`, nobody had to: how it was made, `registered`, `recovered` or `created`.
    """


@dataclass(frozen=True, slots=True)
class Device:
    """What is known of a key (65 bytes). Without runes, it was seen approving, or revoked by its key."""

    key: bytes
    runes: tuple[MintedRune, ...] = ()
    last_used: UnixTime | None = None
    revoked: UnixTime | None = None

    @property
    def handle(self) -> str:
        """What a person types."""
        return handle_of(self.key)

    @property
    def name(self) -> str:
        """As it was called last; empty if it never was."""
        return next((rune.name for rune in reversed(self.runes) if rune.name), "")


def require_standing(key: bytes, revoked: RevokedKeys) -> None:
    """Refuse the runes of a revoked device. Raises Refused.

    To be asked wherever a rune is checked, with the key that made the request: 04 || x || y, the only form of
    a key that `p256.verify` takes, and to which `runes.check.check` binds the rune.
    """
    if key in revoked:
        raise Refused(
            REVOKED_RULE,
            "the device was revoked: no rune that is bound to its key counts any more",
            hint="pair the device anew, with a new key, if it is to come back",
        )


def handle_of(key: bytes) -> str:
    """16 hex digits by which a person names a device: the same wherever it is computed."""
    return hashlib.sha256(b"signerd device" + key).hexdigest()[:HANDLE_DIGITS]


def cut(text: str, length: int) -> str:
    """As much of it as is kept."""
    return text if len(text) <= length else text[:length] + CUT


def fingerprint_of(authcode: bytes) -> bytes:
    """By which a rune is known again without being kept: 32 bytes."""
    return hashlib.sha256(authcode).digest()


def device_called(name: str, known: Sequence[Device]) -> Device:
    """The device with this handle, or the beginning of it, or this key in hex, known or not. Raises Refused.

    A beginning that several devices share names none of them.
    """
    text = name.strip().lower()
    if len(text) == 2 * p256.PUBLIC_KEY_SIZE and (key := _key(text)) is not None:
        return next((device for device in known if device.key == key), Device(key))
    found = [d for d in known if d.handle.startswith(text)] if len(text) >= LEAST_DIGITS else []
    if len(found) == 1:
        return found[0]
    raise Refused(
        "device-ambiguous" if found else "device-unknown",
        f"{len(found)} devices have an ID that begins with {text[:HANDLE_DIGITS]!a}"
        if found
        else f"no device has the ID {text[:HANDLE_DIGITS]!a}",
        hint="`signerd devices` shows the IDs; what this signer did not pair is named by its whole key",
    )


def made_with_secret(rune: Rune, *, name: str, time: UnixTime, by: str) -> MintedRune | None:
    """The public facts of a rune that nobody approved; None if it is bound to no key, and so to no device."""
    bound = bound_key(rune.restrictions) or ""
    key = _key(bound)
    if key is None or key.hex() != bound:
        # Keys are compared as texts, and a caller's is written so.
        return None
    own = to_text([item for item in rune.restrictions if item != UNIQUE_ID])
    return MintedRune(
        device=key,
        name=cut(name, SHOWN_NAME),
        restrictions=cut(own, SHOWN_RESTRICTIONS),
        fingerprint=fingerprint_of(rune.authcode),
        time=time,
        approver=b"",
        by=by,
    )


def paired_by(devices: Iterable[Device], key: bytes) -> tuple[Device, ...]:
    """The devices that this one let in, and that those let in, in the order in which they came.

    Every rune is looked at once: who makes a long chain of devices must not make this long.
    """
    known = tuple(devices)
    let_in_by = defaultdict[bytes, set[bytes]](set)
    for device in known:
        for rune in device.runes:
            let_in_by[rune.approver].add(device.key)
    found, next_ones = {key}, {key}
    while next_ones:
        next_ones = {let_in for approver in next_ones for let_in in let_in_by.pop(approver, ())} - found
        found |= next_ones
    return tuple(device for device in known if device.key in found and device.key != key)


def _key(text: str) -> bytes | None:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if p256.is_point(key) else None
