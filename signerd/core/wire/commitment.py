"""Messages that sign or check commitment transactions and their HTLC transactions, and the common reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from signerd.core.wire import composites, fields, records


@dataclass(frozen=True, slots=True)
class SignCommitmentTx:
    """hsmd_sign_commitment_tx: our own commitment, which is about to be published."""

    TYPE: ClassVar[int] = 5
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    remote_funding_key: Annotated[bytes, fields.POINT]
    commit_num: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class SignCommitmentTxReply:
    """hsmd_sign_commitment_tx_reply."""

    TYPE: ClassVar[int] = 105
    signature: Annotated[composites.BitcoinSignature, composites.BITCOIN_SIGNATURE]


@dataclass(frozen=True, slots=True)
class SignTxReply:
    """hsmd_sign_tx_reply: answers every request for one signature of a commitment, HTLC, closing or sweep."""

    TYPE: ClassVar[int] = 112
    signature: Annotated[composites.BitcoinSignature, composites.BITCOIN_SIGNATURE]


@dataclass(frozen=True, slots=True)
class SignLocalHtlcTx:
    """hsmd_sign_local_htlc_tx: as sign_any_local_htlc_tx, for the context's channel (nodes before v26.04)."""

    TYPE: ClassVar[int] = 16
    commit_num: Annotated[int, fields.U64]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    option_anchors: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class SignRemoteCommitmentTx:
    """hsmd_sign_remote_commitment_tx: the peer's commitment. `feerate` is in satoshi per 1000 weight."""

    TYPE: ClassVar[int] = 19
    tx: Annotated[composites.BitcoinTx, composites.TX]
    remote_funding_key: Annotated[bytes, fields.POINT]
    remote_per_commitment_point: Annotated[bytes, fields.POINT]
    option_static_remotekey: Annotated[bool, fields.BOOL]
    commit_num: Annotated[int, fields.U64]
    htlcs: Annotated[tuple[composites.Htlc, ...], composites.HTLCS]
    feerate: Annotated[int, fields.U32]


@dataclass(frozen=True, slots=True)
class SignRemoteHtlcTx:
    """hsmd_sign_remote_htlc_tx: an HTLC transaction of the peer's commitment."""

    TYPE: ClassVar[int] = 20
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    remote_per_commitment_point: Annotated[bytes, fields.POINT]
    option_anchors: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class ValidateCommitmentTx:
    """hsmd_validate_commitment_tx: our next commitment, with the peer's signatures in output order."""

    TYPE: ClassVar[int] = 35
    tx: Annotated[composites.BitcoinTx, composites.TX]
    htlcs: Annotated[tuple[composites.Htlc, ...], composites.HTLCS]
    commit_num: Annotated[int, fields.U64]
    feerate: Annotated[int, fields.U32]
    signature: Annotated[composites.BitcoinSignature, composites.BITCOIN_SIGNATURE]
    htlc_signatures: Annotated[tuple[composites.BitcoinSignature, ...], composites.BITCOIN_SIGNATURES]


@dataclass(frozen=True, slots=True)
class ValidateCommitmentTxReply:
    """hsmd_validate_commitment_tx_reply. The old secret is there in wire version 4 only."""

    TYPE: ClassVar[int] = 135
    old_commitment_secret: Annotated[bytes | None, records.optional(fields.SECRET)] = field(repr=False)
    next_per_commitment_point: Annotated[bytes, fields.POINT]


@dataclass(frozen=True, slots=True)
class SignAnyLocalHtlcTx:
    """hsmd_sign_any_local_htlc_tx: an HTLC transaction of our own commitment."""

    TYPE: ClassVar[int] = 146
    commit_num: Annotated[int, fields.U64]
    tx: Annotated[composites.BitcoinTx, composites.TX]
    wscript: Annotated[bytes, fields.OCTETS]
    option_anchors: Annotated[bool, fields.BOOL]
    input: Annotated[int, fields.U32]
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]
