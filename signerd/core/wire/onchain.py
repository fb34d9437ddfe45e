"""Messages that sign the wallet's inputs: withdrawals and funding, splices, fee bumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from signerd.core.wire import composites, fields


@dataclass(frozen=True, slots=True)
class SignWithdrawal:
    """hsmd_sign_withdrawal: sign the inputs of the PSBT that are in the list."""

    TYPE: ClassVar[int] = 7
    utxos: Annotated[tuple[composites.Utxo, ...], composites.UTXOS]
    psbt: Annotated[bytes, fields.PSBT]


@dataclass(frozen=True, slots=True)
class SignWithdrawalReply:
    """hsmd_sign_withdrawal_reply."""

    TYPE: ClassVar[int] = 107
    psbt: Annotated[bytes, fields.PSBT]


@dataclass(frozen=True, slots=True)
class SignSpliceTx:
    """hsmd_sign_splice_tx: the old funding output as an input of the splice, for the context's channel."""

    TYPE: ClassVar[int] = 29
    tx: Annotated[composites.BitcoinTx, composites.TX]
    remote_funding_key: Annotated[bytes, fields.POINT]
    input_index: Annotated[int, fields.U32]


@dataclass(frozen=True, slots=True)
class SignAnchorspend:
    """hsmd_sign_anchorspend: the channel's anchor and the wallet inputs that pay for it."""

    TYPE: ClassVar[int] = 147
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]
    utxos: Annotated[tuple[composites.Utxo, ...], composites.UTXOS]
    psbt: Annotated[bytes, fields.PSBT]


@dataclass(frozen=True, slots=True)
class SignAnchorspendReply:
    """hsmd_sign_anchorspend_reply."""

    TYPE: ClassVar[int] = 148
    psbt: Annotated[bytes, fields.PSBT]


@dataclass(frozen=True, slots=True)
class SignHtlcTxMingle:
    """hsmd_sign_htlc_tx_mingle: the wallet inputs that pay for an HTLC transaction."""

    TYPE: ClassVar[int] = 149
    peer_id: Annotated[bytes, fields.NODE_ID]
    dbid: Annotated[int, fields.U64]
    utxos: Annotated[tuple[composites.Utxo, ...], composites.UTXOS]
    psbt: Annotated[bytes, fields.PSBT]


@dataclass(frozen=True, slots=True)
class SignHtlcTxMingleReply:
    """hsmd_sign_htlc_tx_mingle_reply."""

    TYPE: ClassVar[int] = 150
    psbt: Annotated[bytes, fields.PSBT]
