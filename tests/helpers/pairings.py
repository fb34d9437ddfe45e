"""Approvals of a new device as values, for a node of its own."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import device_pairing
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import PairingApproval
from signerd.core.runes import rune
from signerd.units import Secret, UnixTime

KEYS = NodeKeys.derive(Secret(bytes(32)))
KEY, APPROVER = (ec.derive_private_key(n, ec.SECP256R1()) for n in (7, 8))
RUNE = rune.create(KEYS.rune_secret, [f"pubkey={p256.public_bytes(APPROVER).hex()}"]).to_base64()


def approval_at(now: int) -> PairingApproval:
    """A valid approval, signed at `now`."""
    asked = device_pairing.new_device(KEY, device_name="phone", description="", restrictions="")
    moment = UnixTime(now)
    return PairingApproval(
        device_id=asked.device_id,
        timestamp=moment,
        device_name=asked.device_name,
        restrictions=asked.restrictions,
        sig=device_pairing.approve(asked, key=APPROVER, node_id=KEYS.node_id, now=moment),
        pubkey=p256.public_bytes(APPROVER),
        rune=RUNE,
    )
