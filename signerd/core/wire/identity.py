"""Messages that need nothing but the node's own keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from signerd.core.wire import fields


@dataclass(frozen=True, slots=True)
class Ecdh:
    """hsmd_ecdh_req: a 33-byte point."""

    TYPE: ClassVar[int] = 1
    point: Annotated[bytes, fields.POINT]


@dataclass(frozen=True, slots=True)
class EcdhReply:
    """hsmd_ecdh_resp: SHA-256 of the compressed shared point."""

    TYPE: ClassVar[int] = 100
    secret: Annotated[bytes, fields.SECRET] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignMessage:
    """hsmd_sign_message: what `signmessage` signs with the node's key."""

    TYPE: ClassVar[int] = 23
    msg: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class SignMessageReply:
    """hsmd_sign_message_reply."""

    TYPE: ClassVar[int] = 123
    signature: Annotated[bytes, fields.RECOVERABLE_SIGNATURE]


@dataclass(frozen=True, slots=True)
class DeriveSecret:
    """hsmd_derive_secret: a label."""

    TYPE: ClassVar[int] = 27
    info: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class DeriveSecretReply:
    """hsmd_derive_secret_reply."""

    TYPE: ClassVar[int] = 127
    secret: Annotated[bytes, fields.SECRET] = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckPubKey:
    """hsmd_check_pubkey: is this the wallet key m/0/0/index?"""

    TYPE: ClassVar[int] = 28
    index: Annotated[int, fields.U32]
    pubkey: Annotated[bytes, fields.POINT]


@dataclass(frozen=True, slots=True)
class CheckPubKeyReply:
    """hsmd_check_pubkey_reply."""

    TYPE: ClassVar[int] = 128
    ok: Annotated[bool, fields.BOOL]


@dataclass(frozen=True, slots=True)
class Bip137SignMessage:
    """hsmd_bip137_sign_message: what `signmessagewithkey` signs with a wallet key."""

    TYPE: ClassVar[int] = 45
    msg: Annotated[bytes, fields.OCTETS]
    key_index: Annotated[int, fields.U32]


@dataclass(frozen=True, slots=True)
class Bip137SignMessageReply:
    """hsmd_bip137_sign_message_reply."""

    TYPE: ClassVar[int] = 145
    signature: Annotated[bytes, fields.RECOVERABLE_SIGNATURE]


@dataclass(frozen=True, slots=True)
class CheckBip86PubKey:
    """hsmd_check_bip86_pubkey: is this the BIP 86 key m/86'/0'/0'/0/index?"""

    TYPE: ClassVar[int] = 56
    index: Annotated[int, fields.U32]
    pubkey: Annotated[bytes, fields.POINT]


@dataclass(frozen=True, slots=True)
class CheckBip86PubKeyReply:
    """hsmd_check_bip86_pubkey_reply."""

    TYPE: ClassVar[int] = 156
    ok: Annotated[bool, fields.BOOL]
