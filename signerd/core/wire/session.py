"""Messages about the connection itself: init, new clients, the heartbeat, developer messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from signerd.core.wire import composites, fields, records, tlv

INIT_TLVS = {1: fields.RAW_TEXT}
"""hsm_passphrase: raw bytes, compared as they are."""

INIT_REPLY_TLVS = {1: fields.U8, 2: fields.EXT_KEY}
"""hsm_secret_type (0 plain, 1 encrypted, 2 mnemonic, 3 mnemonic with passphrase); bip86_base."""

DEV_PREINIT_TLVS = {1: fields.BOOL, 3: fields.BOOL, 5: fields.BOOL}
"""fail_preapprove, no_preapprove_check, warn_on_overgrind."""


@dataclass(frozen=True, slots=True)
class ClientHsmfd:
    """hsmd_client_hsmfd: asks for a connection of a daemon's own. `node_id` and `dbid` become its context."""

    TYPE: ClassVar[int] = 9
    node_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]
    permissions: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class ClientHsmfdReply:
    """hsmd_client_hsmfd_reply: the connection travels beside it."""

    TYPE: ClassVar[int] = 109


@dataclass(frozen=True, slots=True)
class Init:
    """hsmd_init. Key versions and chain hash are the node's; a signer knows its own network."""

    TYPE: ClassVar[int] = 11
    bip32_public_version: Annotated[int, fields.U32]
    bip32_private_version: Annotated[int, fields.U32]
    chain_hash: Annotated[bytes, fields.CHAIN_HASH]
    encryption_key: Annotated[bytes | None, records.optional(fields.SECRET)] = field(repr=False)
    dev_privkey: Annotated[bytes | None, records.optional(fields.SECRET)] = field(repr=False)
    dev_bip32_seed: Annotated[bytes | None, records.optional(fields.SECRET)] = field(repr=False)
    dev_channel_secrets: Annotated[
        composites.DevChannelSecrets | None, records.optional(composites.DEV_CHANNEL_SECRETS)
    ]
    dev_channel_shaseed: Annotated[bytes | None, records.optional(fields.SHA256)] = field(repr=False)
    min_version: Annotated[int, fields.U32]
    max_version: Annotated[int, fields.U32]
    tlvs: Annotated[tlv.Records, tlv.STREAM] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class InitReply:
    """hsmd_init_reply_v4: `node_id` and `bolt12_key` are points, `ext_key` the 78 bytes of BIP 32."""

    TYPE: ClassVar[int] = 114
    version: Annotated[int, fields.U32]
    capabilities: Annotated[tuple[int, ...], records.array(fields.U32)]
    node_id: Annotated[bytes, fields.POINT]
    ext_key: Annotated[bytes, fields.EXT_KEY]
    bolt12_key: Annotated[bytes, fields.POINT]
    tlvs: Annotated[tlv.Records, tlv.STREAM] = ()


@dataclass(frozen=True, slots=True)
class InitReplyFailure:
    """hsmd_init_reply_failure: why there will be no session."""

    TYPE: ClassVar[int] = 115
    error_code: Annotated[int, fields.U32]
    error_message: Annotated[str, fields.TEXT]


@dataclass(frozen=True, slots=True)
class DevMemleak:
    """hsmd_dev_memleak."""

    TYPE: ClassVar[int] = 33


@dataclass(frozen=True, slots=True)
class DevMemleakReply:
    """hsmd_dev_memleak_reply."""

    TYPE: ClassVar[int] = 133
    leak: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class DevPreinit:
    """hsmd_dev_preinit: comes before init from a developer's node, and has no reply."""

    TYPE: ClassVar[int] = 99
    tlvs: Annotated[tlv.Records, tlv.STREAM] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """The reference signer's own. (Core Lightning's hsmd tells lightningd of bad clients by this number.)"""

    TYPE: ClassVar[int] = 1000
    id: Annotated[int, fields.U16]
    message: Annotated[str, fields.TEXT]


@dataclass(frozen=True, slots=True)
class PingReply:
    """The answer to a ping."""

    TYPE: ClassVar[int] = 1100
    id: Annotated[int, fields.U16]
    message: Annotated[str, fields.TEXT]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Asks for the node's public keys; the reference signer's own."""

    TYPE: ClassVar[int] = 1012


@dataclass(frozen=True, slots=True)
class NodeInfoReply:
    """`network_name` as rust-bitcoin spells it, `node_id` a point, `ext_key` the 78 bytes of BIP 32."""

    TYPE: ClassVar[int] = 1112
    network_name: Annotated[str, fields.TEXT]
    node_id: Annotated[bytes, fields.POINT]
    ext_key: Annotated[bytes, fields.EXT_KEY]


@dataclass(frozen=True, slots=True)
class GetHeartbeat:
    """What a Greenlight node asks of every signer that attaches."""

    TYPE: ClassVar[int] = 2008


@dataclass(frozen=True, slots=True)
class GetHeartbeatReply:
    """`heartbeat` is 109 bytes: 0x40, a BIP 340 signature, and the 44 bytes that it signs."""

    TYPE: ClassVar[int] = 2108
    heartbeat: Annotated[bytes, fields.OCTETS]
