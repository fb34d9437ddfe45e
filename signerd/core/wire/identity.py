"""Messages that need nothing but the node's own keys."""

from __future__ import annotations

from dataclasses import dataclass
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
    secret: Annotated[bytes, fields.SECRET]


@dataclass(frozen=True, slots=True)
class DeriveSecret:
    """hsmd_derive_secret: a label."""

    TYPE: ClassVar[int] = 27
    info: Annotated[bytes, fields.OCTETS]


@dataclass(frozen=True, slots=True)
class DeriveSecretReply:
    """hsmd_derive_secret_reply."""

    TYPE: ClassVar[int] = 127
    secret: Annotated[bytes, fields.SECRET]


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
