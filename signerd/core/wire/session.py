"""Messages about the session: init, its reply, and the heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from signerd.core.wire import fields, tlv


@dataclass(frozen=True, slots=True)
class Init:
    """hsmd_init. Key versions and chain hash are the node's; a signer knows its own network."""

    TYPE: ClassVar[int] = 11
    bip32_public_version: Annotated[int, fields.U32]
    bip32_private_version: Annotated[int, fields.U32]
    chain_hash: Annotated[bytes, fields.CHAIN_HASH]
    encryption_key: Annotated[bytes | None, fields.optional(fields.SECRET)]
    dev_privkey: Annotated[bytes | None, fields.optional(fields.SECRET)]
    dev_bip32_seed: Annotated[bytes | None, fields.optional(fields.SECRET)]
    dev_channel_secrets: Annotated[bytes | None, fields.optional(fields.SECRET)]
    dev_channel_shaseed: Annotated[bytes | None, fields.optional(fields.SHA256)]
    min_version: Annotated[int, fields.U32]
    max_version: Annotated[int, fields.U32]
    tlvs: Annotated[tlv.Records, tlv.STREAM] = ()


@dataclass(frozen=True, slots=True)
class InitReply:
    """hsmd_init_reply_v4: `node_id` and `bolt12_key` are points, `ext_key` the 78 bytes of BIP 32."""

    TYPE: ClassVar[int] = 114
    version: Annotated[int, fields.U32]
    capabilities: Annotated[tuple[int, ...], fields.array(fields.U32)]
    node_id: Annotated[bytes, fields.POINT]
    ext_key: Annotated[bytes, fields.EXT_KEY]
    bolt12_key: Annotated[bytes, fields.POINT]
    tlvs: Annotated[tlv.Records, tlv.STREAM] = ()


@dataclass(frozen=True, slots=True)
class GetHeartbeat:
    """What a Greenlight node asks of every signer that attaches."""

    TYPE: ClassVar[int] = 2008


@dataclass(frozen=True, slots=True)
class GetHeartbeatReply:
    """`heartbeat` is 109 bytes: 0x40, a BIP 340 signature, and the 44 bytes that it signs."""

    TYPE: ClassVar[int] = 2108
    heartbeat: Annotated[bytes, fields.OCTETS]
