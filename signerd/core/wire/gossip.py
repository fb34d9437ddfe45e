"""Messages that sign what the network is told. Each carries a whole BOLT 7 message, its type first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from signerd.core.wire import fields


@dataclass(frozen=True, slots=True)
class CannouncementSig:
    """hsmd_cannouncement_sig_req: a channel_announcement of the context's channel (nodes until v23.11)."""

    TYPE: ClassVar[int] = 2
    announcement: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class CannouncementSigReply:
    """hsmd_cannouncement_sig_reply: by the node's key and by the channel's funding key."""

    TYPE: ClassVar[int] = 102
    node_signature: Annotated[bytes, fields.SIGNATURE]
    bitcoin_signature: Annotated[bytes, fields.SIGNATURE]


@dataclass(frozen=True, slots=True)
class CupdateSig:
    """hsmd_cupdate_sig_req: a channel_update."""

    TYPE: ClassVar[int] = 3
    update: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class CupdateSigReply:
    """hsmd_cupdate_sig_reply: the channel_update with its signature in place."""

    TYPE: ClassVar[int] = 103
    update: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignAnyCannouncement:
    """hsmd_sign_any_cannouncement_req: a channel_announcement, and the channel that it is of."""

    TYPE: ClassVar[int] = 4
    announcement: Annotated[bytes, fields.OCTETS]
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class SignAnyCannouncementReply:
    """hsmd_sign_any_cannouncement_reply: by the node's key and by the channel's funding key."""

    TYPE: ClassVar[int] = 104
    node_signature: Annotated[bytes, fields.SIGNATURE]
    bitcoin_signature: Annotated[bytes, fields.SIGNATURE]


@dataclass(frozen=True, slots=True)
class NodeAnnouncementSig:
    """hsmd_node_announcement_sig_req: a node_announcement."""

    TYPE: ClassVar[int] = 6
    announcement: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class NodeAnnouncementSigReply:
    """hsmd_node_announcement_sig_reply."""

    TYPE: ClassVar[int] = 106
    signature: Annotated[bytes, fields.SIGNATURE]


@dataclass(frozen=True, slots=True)
class SignGossipMessage:
    """Any gossip message; the reference signer's own, which no Core Lightning node sends."""

    TYPE: ClassVar[int] = 1006
    message: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignGossipMessageReply:
    """The signature of a gossip message."""

    TYPE: ClassVar[int] = 1106
    signature: Annotated[bytes, fields.SIGNATURE]
