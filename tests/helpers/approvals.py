"""A valid approval of a new device, as a paired device sends it."""

from __future__ import annotations

import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from helpers.world import NODE_ID
from signerd.core import device_pairing
from signerd.core.keys import p256
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.pb import scheduler_pb2
from signerd.units import NodeId, UnixTime


def approval_by(
    data_dir: Path, *, now: int | None = None, name: str = "phone", restrictions: str = ""
) -> scheduler_pb2.ApprovePairingRequest:
    """Made with the credentials there, at `now` or at this moment."""
    credentials = Credentials.decode((data_dir / "credentials.gfs").read_bytes())
    key = p256.load_private_key(credentials.key)
    asked = device_pairing.new_device(
        ec.generate_private_key(ec.SECP256R1()), device_name=name, description="", restrictions=restrictions
    )
    moment = UnixTime(int(time.time()) if now is None else now)
    return scheduler_pb2.ApprovePairingRequest(
        device_id=asked.device_id,
        timestamp=moment,
        device_name=asked.device_name,
        restrictions=asked.restrictions,
        sig=device_pairing.approve(asked, key=key, node_id=NodeId(NODE_ID), now=moment),
        pubkey=p256.public_bytes(key),
        rune=credentials.rune,
    )
