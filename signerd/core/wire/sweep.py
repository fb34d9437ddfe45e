"""Messages that bring our outputs home after a unilateral close, and punish a revoked one.

The `any` forms name their channel; the others, which nodes since v24.02 hardly send, mean the context's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from signerd.core.wire import composites, fields, records


@dataclass(frozen=True, slots=True)
class SignDelayedPaymentToUs:
    """hsmd_sign_delayed_payment_to_us: our delayed output of our own commitment `commit_num`."""

    TYPE: ClassVar[int] = 12
    commit_num: Annotated[int, fields.U64]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignRemoteHtlcToUs:
    """hsmd_sign_remote_htlc_to_us: an HTLC output of the peer's commitment."""

    TYPE: ClassVar[int] = 13
    remote_per_commitment_point: Annotated[bytes, fields.POINT]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    option_anchors: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class SignPenaltyToUs:
    """hsmd_sign_penalty_to_us: an output of a commitment that the peer revoked with this secret."""

    TYPE: ClassVar[int] = 14
    revocation_secret: Annotated[bytes, fields.SECRET] = field(repr=False)
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class GetOutputScriptpubkey:
    """hsmd_get_output_scriptpubkey: where a close paid us. `channel_id` is the dbid."""

    TYPE: ClassVar[int] = 24
    channel_id: Annotated[int, fields.U64]
    peer_id: Annotated[bytes, fields.NODE_ID]
    commitment_point: Annotated[bytes | None, records.optional(fields.POINT)]


@dataclass(frozen=True, slots=True)
class GetOutputScriptpubkeyReply:
    """hsmd_get_output_scriptpubkey_reply."""

    TYPE: ClassVar[int] = 124
    script: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignAnyDelayedPaymentToUs:
    """hsmd_sign_any_delayed_payment_to_us: our delayed output of our own commitment `commit_num`."""

    TYPE: ClassVar[int] = 142
    commit_num: Annotated[int, fields.U64]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    input: Annotated[int, fields.U32]
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class SignAnyRemoteHtlcToUs:
    """hsmd_sign_any_remote_htlc_to_us: an HTLC output of the peer's commitment."""

    TYPE: ClassVar[int] = 143
    remote_per_commitment_point: Annotated[bytes, fields.POINT]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    option_anchors: Annotated[bool, fields.BOOL]
    input: Annotated[int, fields.U32]
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class SignAnyPenaltyToUs:
    """hsmd_sign_any_penalty_to_us: an output of a commitment that the peer revoked with this secret."""

    TYPE: ClassVar[int] = 144
    revocation_secret: Annotated[bytes, fields.SECRET] = field(repr=False)
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    input: Annotated[int, fields.U32]
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]
