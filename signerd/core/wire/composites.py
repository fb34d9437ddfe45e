"""The wire's field types that have parts: HTLCs, wallet outputs, base points, transactions, signatures."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import Annotated

from signerd.core.wire import fields, records
from signerd.core.wire.fields import Field, Reader
from signerd.errors import MalformedMessage

SIGHASH_ALL = 0x01
SIGHASH_SINGLE_ANYONECANPAY = 0x83
_SIGHASHES = (SIGHASH_ALL, SIGHASH_SINGLE_ANYONECANPAY)


class Side(enum.IntEnum):
    """Who offered an HTLC: we (LOCAL) or the peer (REMOTE)."""

    LOCAL = 0
    REMOTE = 1


_SIDES = tuple(Side)


def _read_side(reader: Reader) -> Side:
    value = reader.take(1)[0]
    if value >= len(_SIDES):
        raise MalformedMessage(f"a side is 0 or 1, not {value}")
    return _SIDES[value]


SIDE: Field[Side] = Field(name="side", least=1, read=_read_side, write=lambda side: bytes([side]))


@dataclass(frozen=True, slots=True)
class Htlc:
    """hsm_htlc: 45 bytes."""

    side: Annotated[Side, SIDE]
    amount_msat: Annotated[int, fields.U64]
    payment_hash: Annotated[bytes, fields.SHA256]
    cltv_expiry: Annotated[int, fields.U32]


@dataclass(frozen=True, slots=True)
class CloseInfo:
    """Which channel's closing paid to us: `channel_id` is its dbid."""

    channel_id: Annotated[int, fields.U64]
    peer_id: Annotated[bytes, fields.NODE_ID]
    commitment_point: Annotated[bytes | None, records.optional(fields.POINT)]
    option_anchors: Annotated[bool, fields.BOOL]
    csv: Annotated[int, fields.U32]


CLOSE_INFO = records.record(CloseInfo, "close_info")


@dataclass(frozen=True, slots=True)
class Utxo:
    """hsm_utxo: an output of the wallet. `amount` is the node's word; a signature covers the PSBT's.

    `is_p2sh` and `is_in_coinbase` mean nothing any more: nodes since v24 send 0.
    """

    txid: Annotated[bytes, fields.TXID]
    output_index: Annotated[int, fields.U32]
    amount: Annotated[int, fields.U64]
    key_index: Annotated[int, fields.U32]
    is_p2sh: Annotated[bool, fields.BOOL]
    script_pubkey: Annotated[bytes, fields.OCTETS]
    close_info: Annotated[CloseInfo | None, records.optional(CLOSE_INFO)]
    is_in_coinbase: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class Basepoints:
    """The four base points of a channel, in this order: 132 bytes."""

    revocation: Annotated[bytes, fields.POINT]
    payment: Annotated[bytes, fields.POINT]
    htlc: Annotated[bytes, fields.POINT]
    delayed_payment: Annotated[bytes, fields.POINT]


@dataclass(frozen=True, slots=True)
class DevChannelSecrets:
    """Five 32-byte private keys, which only a developer's node sends."""

    funding: Annotated[bytes, fields.SECRET] = field(repr=False)
    revocation: Annotated[bytes, fields.SECRET] = field(repr=False)
    payment: Annotated[bytes, fields.SECRET] = field(repr=False)
    delayed: Annotated[bytes, fields.SECRET] = field(repr=False)
    htlc: Annotated[bytes, fields.SECRET] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BitcoinTx:
    """bitcoin_tx: a serialized transaction (perhaps with witnesses) and a PSBT of it, both unread here."""

    raw: Annotated[bytes, fields.LONG_OCTETS]
    psbt: Annotated[bytes, fields.PSBT]


def _read_sighash(reader: Reader) -> int:
    value = reader.take(1)[0]
    if value not in _SIGHASHES:
        raise MalformedMessage(f"a sighash type is 0x01 or 0x83, not 0x{value:02x}")
    return value


SIGHASH: Field[int] = Field(name="sighash", least=1, read=_read_sighash, write=fields.U8.write)


@dataclass(frozen=True, slots=True)
class BitcoinSignature:
    """bitcoin_signature: 64 bytes r || s, then the sighash type."""

    signature: Annotated[bytes, fields.SIGNATURE]
    sighash: Annotated[int, SIGHASH]


HTLC = records.record(Htlc, "hsm_htlc")
UTXO = records.record(Utxo, "hsm_utxo")
BASEPOINTS = records.record(Basepoints, "basepoints")
DEV_CHANNEL_SECRETS = records.record(DevChannelSecrets, "secrets")
TX = records.record(BitcoinTx, "bitcoin_tx")
BITCOIN_SIGNATURE = records.record(BitcoinSignature, "bitcoin_signature")

# A commitment has hundreds of these two.
HTLCS = records.array(
    HTLC,
    shape=struct.Struct(">BQ32sI"),
    make=lambda side, *rest: Htlc(_SIDES[side], *rest) if side < len(_SIDES) else None,
)
UTXOS = records.array(UTXO)
BITCOIN_SIGNATURES = records.array(
    BITCOIN_SIGNATURE,
    shape=struct.Struct(">64sB"),
    make=lambda signature, sighash: (
        BitcoinSignature(signature, sighash)
        if sighash in _SIGHASHES and fields.is_signature(signature)
        else None
    ),
)
