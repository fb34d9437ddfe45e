"""What the scheduler and the node answer, as frozen values of our own; nobody above needs protobuf."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from signerd.units import NodeId


class ChallengeScope(enum.IntEnum):
    """What a signed challenge authorises."""

    REGISTER = 0
    RECOVER = 1


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """The answer to a registration or a recovery: PEM chain, leaf first.

    `device_key` is empty from a scheduler that honoured the certificate request; anything else is a key
    that the scheduler knows too.
    """

    device_cert: str
    device_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Where a node is. `grpc_uri` is empty while it is not scheduled."""

    node_id: NodeId
    grpc_uri: str
    session_id: int


@dataclass(frozen=True, slots=True)
class InviteCode:
    """An invite code that the node may give away."""

    code: str
    is_redeemed: bool


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it is listed, without its secret."""

    id: int
    uri: str


@dataclass(frozen=True, slots=True)
class AddedWebhook:
    """A new webhook. Its HMAC secret is told this once."""

    id: int
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PairingData:
    """What a new device asks for, word for word (`csr` is PEM). Nothing in it is verified."""

    device_id: str
    csr: bytes
    device_name: str
    description: str
    restrictions: str


@dataclass(frozen=True, slots=True)
class PairedDevice:
    """What a new device gets once it is approved: PEM chain, leaf first, and a base64url rune."""

    device_id: str
    device_cert: str
    rune: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A message of a stream that is not the protobuf it should be. The stream goes on."""

    raw: bytes
