"""Devices by number, and their approvals of each other, for tests that run no process."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import device_pairing
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import PairingApproval
from signerd.core.runes import rune
from signerd.units import Secret, UnixTime

KEYS = NodeKeys.derive(Secret(bytes(32)))
FIRST = 1
"""The device that is paired from the start, without limits."""


@cache
def key_of(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number + 6, ec.SECP256R1())


@cache
def public_key(number: int) -> bytes:
    return p256.public_bytes(key_of(number))


def rune_of(number: int, *restrictions: str) -> str:
    """As this node's signer makes it for the device."""
    return rune.create(KEYS.rune_secret, [f"pubkey={public_key(number).hex()}", *restrictions]).to_base64()


def approval_at(
    now: int,
    *,
    device: int = 2,
    by: int = FIRST,
    name: str = "phone",
    restrictions: str = "",
    approving: str | None = None,
) -> PairingApproval:
    """An approval that is right in all its parts."""
    asked = device_pairing.new_device(
        key_of(device), device_name=name, description="", restrictions=restrictions
    )
    moment = UnixTime(now)
    return PairingApproval(
        device_id=asked.device_id,
        timestamp=moment,
        device_name=asked.device_name,
        restrictions=asked.restrictions,
        sig=device_pairing.approve(asked, key=key_of(by), node_id=KEYS.node_id, now=moment),
        pubkey=public_key(by),
        rune=approving if approving is not None else rune_of(by),
    )
