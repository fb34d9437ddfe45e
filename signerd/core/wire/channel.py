"""Messages about a channel as such: its keys, its parameters, its revocations.

Those without peer and dbid are about the channel of the request's context.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from signerd.core.wire import composites, fields, records


@dataclass(frozen=True, slots=True)
class GetChannelBasepoints:
    """hsmd_get_channel_basepoints."""

    TYPE: ClassVar[int] = 10
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class GetChannelBasepointsReply:
    """hsmd_get_channel_basepoints_reply."""

    TYPE: ClassVar[int] = 110
    basepoints: Annotated[composites.Basepoints, composites.BASEPOINTS]
    funding_pubkey: Annotated[bytes, fields.POINT]


@dataclass(frozen=True, slots=True)
class GetPerCommitmentPoint:
    """hsmd_get_per_commitment_point: our point `n`."""

    TYPE: ClassVar[int] = 18
    n: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class GetPerCommitmentPointReply:
    """hsmd_get_per_commitment_point_reply. Since wire version 6 there is no old secret in it."""

    TYPE: ClassVar[int] = 118
    per_commitment_point: Annotated[bytes, fields.POINT]
    old_commitment_secret: Annotated[bytes | None, records.optional(fields.SECRET)] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckFutureSecret:
    """hsmd_check_future_secret: is this our secret `n`?"""

    TYPE: ClassVar[int] = 22
    n: Annotated[int, fields.U64]
    commitment_secret: Annotated[bytes, fields.SECRET] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckFutureSecretReply:
    """hsmd_check_future_secret_reply."""

    TYPE: ClassVar[int] = 122
    correct: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class NewChannel:
    """hsmd_new_channel."""

    TYPE: ClassVar[int] = 30
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class NewChannelReply:
    """hsmd_new_channel_reply."""

    TYPE: ClassVar[int] = 130


@dataclass(frozen=True, slots=True)
class SetupChannel:
    """hsmd_setup_channel: `channel_value` in satoshi, `push_value` in millisatoshi, delays in blocks.

    We impose `local_to_self_delay` on the peer's output, the peer imposes `remote_to_self_delay` on ours.
    """

    TYPE: ClassVar[int] = 31
    is_outbound: Annotated[bool, fields.BOOL]
    channel_value: Annotated[int, fields.U64]
    push_value: Annotated[int, fields.U64]
    funding_txid: Annotated[bytes, fields.TXID]
    funding_txout: Annotated[int, fields.U16]
    local_to_self_delay: Annotated[int, fields.U16]
    local_shutdown_script: Annotated[bytes, fields.OCTETS]
    local_shutdown_wallet_index: Annotated[int | None, records.optional(fields.U32)]
    remote_basepoints: Annotated[composites.Basepoints, composites.BASEPOINTS]
    remote_funding_pubkey: Annotated[bytes, fields.POINT]
    remote_to_self_delay: Annotated[int, fields.U16]
    remote_shutdown_script: Annotated[bytes, fields.OCTETS]
    channel_type: Annotated[bytes, fields.CHANNEL_TYPE]


@dataclass(frozen=True, slots=True)
class SetupChannelReply:
    """hsmd_setup_channel_reply."""

    TYPE: ClassVar[int] = 131


@dataclass(frozen=True, slots=True)
class CheckOutpoint:
    """hsmd_check_outpoint: is this funding output buried deep enough?"""

    TYPE: ClassVar[int] = 32
    funding_txid: Annotated[bytes, fields.TXID]
    funding_txout: Annotated[int, fields.U16]


@dataclass(frozen=True, slots=True)
class CheckOutpointReply:
    """hsmd_check_outpoint_reply."""

    TYPE: ClassVar[int] = 132
    is_buried: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class ForgetChannel:
    """hsmd_forget_channel."""

    TYPE: ClassVar[int] = 34
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class ForgetChannelReply:
    """hsmd_forget_channel_reply."""

    TYPE: ClassVar[int] = 134


@dataclass(frozen=True, slots=True)
class ValidateRevocation:
    """hsmd_validate_revocation: the peer's secret of its commitment `revoke_num`."""

    TYPE: ClassVar[int] = 36
    revoke_num: Annotated[int, fields.U64]
    per_commitment_secret: Annotated[bytes, fields.SECRET] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ValidateRevocationReply:
    """hsmd_validate_revocation_reply."""

    TYPE: ClassVar[int] = 136


@dataclass(frozen=True, slots=True)
class LockOutpoint:
    """hsmd_lock_outpoint: this funding output is the channel's from now on."""

    TYPE: ClassVar[int] = 37
    funding_txid: Annotated[bytes, fields.TXID]
    funding_txout: Annotated[int, fields.U16]


@dataclass(frozen=True, slots=True)
class LockOutpointReply:
    """hsmd_lock_outpoint_reply."""

    TYPE: ClassVar[int] = 137


@dataclass(frozen=True, slots=True)
class RevokeCommitmentTx:
    """hsmd_revoke_commitment_tx: revoke our commitment `commit_num` (since wire version 5)."""

    TYPE: ClassVar[int] = 40
    commit_num: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class RevokeCommitmentTxReply:
    """hsmd_revoke_commitment_tx_reply: secret `commit_num`, point `commit_num + 2`."""

    TYPE: ClassVar[int] = 140
    old_commitment_secret: Annotated[bytes, fields.SECRET] = field(repr=False)
    next_per_commitment_point: Annotated[bytes, fields.POINT]
