"""init and the heartbeat."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signerd.core import startup
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.wire import session as wire
from signerd.errors import Refused
from signerd.units import Network

OLDEST_VERSION = 5
"""Every Core Lightning since v24.02 offers 5. Version 4 revokes inside another message: not ours."""


@dataclass(frozen=True, slots=True)
class Tip:
    """A block: `block_hash` is 32 bytes in internal byte order, `time` its header's, in seconds."""

    block_hash: bytes
    height: int
    time: int


# Where a signer that follows no chain stands: the reference signer's own first block per network.
_TIPS: dict[Network, Tip] = {
    "bitcoin": Tip(
        bytes.fromhex("d62ebf084dfb33496486e661bbadb8215569435cd08d01000000000000000000"), 849700, 1719501924
    ),
    "testnet": Tip(
        bytes.fromhex("0a1e484bcb9f810557d2368e53f294ce9ad7add6169f5d24ab03000000000000"), 2862000, 1719509561
    ),
    "signet": Tip(
        bytes.fromhex("f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000"), 0, 1598918400
    ),
    "regtest": Tip(
        bytes.fromhex("06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f"), 0, 1296688602
    ),
}


def init(message: wire.Init, call: Call) -> Answer:
    """hsmd type 114 for the highest version that both sides speak.

    Raises Refused for developer secrets, for a passphrase of the node's, and where no version is common.
    """
    dev = (
        message.encryption_key,
        message.dev_privkey,
        message.dev_bip32_seed,
        message.dev_channel_secrets,
        message.dev_channel_shaseed,
    )
    if any(value is not None for value in dev):
        raise Refused("init-foreign-secret", "the node wants to choose the signer's keys")
    if message.tlvs:
        raise Refused("init-unknown-tlv", f"init carries TLV type {message.tlvs[0][0]}, which is not ours")
    version = min(message.max_version, startup.MAX_VERSION)
    if version < max(message.min_version, OLDEST_VERSION):
        raise Refused(
            "init-version",
            f"the node speaks hsmd versions {message.min_version} to {message.max_version}, "
            f"this signer {OLDEST_VERSION} to {startup.MAX_VERSION}",
        )
    return Answer(
        wire.InitReply(
            version=version,
            capabilities=startup.CAPABILITIES,
            node_id=call.keys.node_id,
            ext_key=call.keys.ext_key(call.network),
            bolt12_key=call.keys.bolt12_key,
        )
    )


def heartbeat(message: wire.GetHeartbeat, call: Call) -> Answer:
    """hsmd type 2108: the signer's tip and time (44 bytes), signed with the key of m/0/0."""
    del message
    tip = _TIPS[call.network]
    beat = (
        tip.block_hash
        + tip.height.to_bytes(4, "big")
        + tip.time.to_bytes(4, "big")
        + (call.now & 0xFFFF_FFFF).to_bytes(4, "big")
    )
    signature = call.keys.sign_heartbeat(hashlib.sha256(b"vls" + b"heartbeat" + beat).digest())
    return Answer(wire.GetHeartbeatReply(bytes([len(signature)]) + signature + beat))


HANDLERS: Mapping[type[Any], Handler] = {wire.Init: init, wire.GetHeartbeat: heartbeat}
