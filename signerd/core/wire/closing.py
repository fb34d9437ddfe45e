"""The message that signs a mutual close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from signerd.core.wire import composites, fields


@dataclass(frozen=True, slots=True)
class SignMutualCloseTx:
    """hsmd_sign_mutual_close_tx: one round of the negotiation, for the context's channel."""

    TYPE: ClassVar[int] = 21
    tx: Annotated[composites.BitcoinTx, composites.TX]
    remote_funding_key: Annotated[bytes, fields.POINT]
