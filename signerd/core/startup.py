"""What a signer says before any request: the init reply, and the answers that the node may keep.

The scheduler stores these and the node answers its own start-up questions from them, comparing the
request byte for byte. Layouts are those of hsmd types 11, 114, 27 and 127.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from signerd.core import versions
from signerd.units import Network

if TYPE_CHECKING:  # the configuration has its default from here, and needs no curve
    from signerd.core.keys.node import NodeKeys

DEFAULT_VERSION = versions.DEFAULT_VERSION

CAPABILITIES = (28, 142, 147, 149, 32, 34, 40)
"""hsmd message numbers that are advertised, in the reference signer's order."""

MIN_VERSION, MAX_VERSION = 4, 6
"""hsmd wire versions that are negotiated."""

STARTUP_LABELS = (
    b"bolt12-invoice-base",
    b"scb secret",
    b"commando",
    b"node-alias-base",
    b"offer-blinded-path",
)


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """An hsmd request and its answer, both with their 2-byte type and without a length."""

    request: bytes
    response: bytes = field(repr=False)


def init_request() -> bytes:
    """55 bytes: hsmd type 11 with every optional field absent and wire versions 4 to 6."""
    return (
        (11).to_bytes(2, "big")
        + bytes(8)  # BIP 32 versions: the signer knows its network
        + bytes(32)  # chain hash
        + bytes(5)  # absent: encryption key, dev privkey, bip32 seed, channel secrets, shaseed
        + MIN_VERSION.to_bytes(4, "big")
        + MAX_VERSION.to_bytes(4, "big")
    )


def init_message(keys: NodeKeys, network: Network) -> bytes:
    """180 bytes: hsmd type 114, the `init_msg` of a registration."""
    return (
        (114).to_bytes(2, "big")
        + MAX_VERSION.to_bytes(4, "big")
        + len(CAPABILITIES).to_bytes(2, "big")
        + b"".join(number.to_bytes(4, "big") for number in CAPABILITIES)
        + keys.node_id
        + keys.ext_key(network)
        + keys.bolt12_key
    )


def startup_messages(keys: NodeKeys, network: Network) -> tuple[StartupMessage, ...]:
    """The init pair and five derived secrets, in the order in which the reference signer sends them."""
    return (
        StartupMessage(init_request(), init_message(keys, network)),
        *(_derived(keys, label) for label in STARTUP_LABELS),
    )


def _derived(keys: NodeKeys, label: bytes) -> StartupMessage:
    request = (27).to_bytes(2, "big") + len(label).to_bytes(2, "big") + label
    return StartupMessage(request, (127).to_bytes(2, "big") + keys.derived_secret(label))
