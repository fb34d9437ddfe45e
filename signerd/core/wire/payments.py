"""Messages about invoices, offers and payments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from signerd.core.wire import fields


@dataclass(frozen=True, slots=True)
class SignInvoice:
    """hsmd_sign_invoice: BOLT 11's data part, one 5-bit value per byte, and its human-readable part."""

    TYPE: ClassVar[int] = 8
    u5bytes: Annotated[bytes, fields.OCTETS]
    hrp: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignInvoiceReply:
    """hsmd_sign_invoice_reply."""

    TYPE: ClassVar[int] = 108
    signature: Annotated[bytes, fields.RECOVERABLE_SIGNATURE]


@dataclass(frozen=True, slots=True)
class SignBolt12:
    """hsmd_sign_bolt12: a BOLT 12 merkle root. An empty tweak asks for the node's own key."""

    TYPE: ClassVar[int] = 25
    message_name: Annotated[str, fields.TEXT]
    field_name: Annotated[str, fields.TEXT]
    merkle_root: Annotated[bytes, fields.SHA256]
    public_tweak: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignBolt12Reply:
    """hsmd_sign_bolt12_reply."""

    TYPE: ClassVar[int] = 125
    signature: Annotated[bytes, fields.SCHNORR_SIGNATURE]


@dataclass(frozen=True, slots=True)
class SignOptionWillFundOffer:
    """hsmd_sign_option_will_fund_offer: `blockheight` is where the lease ends."""

    TYPE: ClassVar[int] = 26
    funding_pubkey: Annotated[bytes, fields.POINT]
    blockheight: Annotated[int, fields.U32]
    channel_fee_base_max_msat: Annotated[int, fields.U32]
    channel_fee_proportional_basis_max: Annotated[int, fields.U16]


@dataclass(frozen=True, slots=True)
class SignOptionWillFundOfferReply:
    """hsmd_sign_option_will_fund_offer_reply."""

    TYPE: ClassVar[int] = 126
    signature: Annotated[bytes, fields.SIGNATURE]


@dataclass(frozen=True, slots=True)
class PreapproveInvoice:
    """hsmd_preapprove_invoice: may this invoice be paid?"""

    TYPE: ClassVar[int] = 38
    invstring: Annotated[str, fields.TEXT]


@dataclass(frozen=True, slots=True)
class PreapproveInvoiceReply:
    """hsmd_preapprove_invoice_reply."""

    TYPE: ClassVar[int] = 138
    approved: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class PreapproveKeysend:
    """hsmd_preapprove_keysend: may this node be paid without an invoice?"""

    TYPE: ClassVar[int] = 39
    destination: Annotated[bytes, fields.NODE_ID]
    payment_hash: Annotated[bytes, fields.SHA256]
    amount_msat: Annotated[int, fields.U64]


@dataclass(frozen=True, slots=True)
class PreapproveKeysendReply:
    """hsmd_preapprove_keysend_reply."""

    TYPE: ClassVar[int] = 139
    approved: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class SignBolt12V2:
    """hsmd_sign_bolt12_2: as sign_bolt12, with a key derived from the label `info`."""

    TYPE: ClassVar[int] = 41
    message_name: Annotated[str, fields.TEXT]
    field_name: Annotated[str, fields.TEXT]
    merkle_root: Annotated[bytes, fields.SHA256]
    info: Annotated[bytes, fields.OCTETS]
    public_tweak: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignBolt12V2Reply:
    """hsmd_sign_bolt12_2_reply."""

    TYPE: ClassVar[int] = 141
    signature: Annotated[bytes, fields.SCHNORR_SIGNATURE]


@dataclass(frozen=True, slots=True)
class PreapproveInvoiceCheck:
    """hsmd_preapprove_invoice_check: with `check_only`, nothing may be remembered."""

    TYPE: ClassVar[int] = 51
    invstring: Annotated[str, fields.TEXT]
    check_only: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class PreapproveInvoiceCheckReply:
    """hsmd_preapprove_invoice_check_reply."""

    TYPE: ClassVar[int] = 151
    approved: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class PreapproveKeysendCheck:
    """hsmd_preapprove_keysend_check: with `check_only`, nothing may be remembered."""

    TYPE: ClassVar[int] = 52
    destination: Annotated[bytes, fields.NODE_ID]
    payment_hash: Annotated[bytes, fields.SHA256]
    amount_msat: Annotated[int, fields.U64]
    check_only: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class PreapproveKeysendCheckReply:
    """hsmd_preapprove_keysend_check_reply."""

    TYPE: ClassVar[int] = 152
    approved: Annotated[bool, fields.BOOL]
