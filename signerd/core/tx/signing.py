"""Which nonce and which sighash type each hsmd message's signature has, on a hosted node and on a plain one.

Any low-S signature would do for a node. The same bytes as the signer that was there before make the two
comparable, and a retry recognisable. Where that signer adds randomness we do not: those bytes are ours.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from signerd.core.keys import secp256k1
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.tx import htlc_transaction
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.sighash import ALL


class Dialect(enum.Enum):
    """Whose bytes a signature follows."""

    HOSTED = "hosted"
    """The reference signer's, which hosted nodes have."""
    CORE_LIGHTNING = "core lightning"
    """hsmd's own, for a plain Core Lightning node."""


GOSSIP = frozenset({2, 3, 4, 6})
FUNDING = frozenset({5, 19, 21, 29})
"""Signed with the funding key: our commitment, the peer's, mutual close, splice."""
HTLC_TRANSACTIONS = frozenset({16, 20, 146})
SWEEPS = frozenset({12, 13, 14, 142, 143, 144})
HTLC_CLAIMS = frozenset({13, 143})
WALLET = frozenset({7, 147, 149})
_ECDSA = GOSSIP | FUNDING | HTLC_TRANSACTIONS | SWEEPS | WALLET


@dataclass(frozen=True, slots=True)
class Signature:
    """`compact` is 64 bytes r || s; `sighash` the type that was signed."""

    compact: bytes
    sighash: int

    def der(self) -> bytes:
        """DER and the sighash byte, as witnesses and PSBTs have it."""
        return secp256k1.to_der(self.compact) + bytes([self.sighash])


def nonce_of(message: int, dialect: Dialect) -> Nonce:
    """For the number of a message that asks for ECDSA signatures. Raises ValueError for any other."""
    if message not in _ECDSA:
        raise ValueError(f"message {message} asks for no such signature")
    if dialect is Dialect.CORE_LIGHTNING:
        return Nonce.LOW_R if message in WALLET else Nonce.LOW_R_FROM_ZERO
    return Nonce.LOW_R if message in FUNDING else Nonce.PLAIN


ANCHOR_NONCE = Nonce.LOW_R
"""For our anchor in an anchor spend (hsmd type 147), in both dialects."""


def sighash_of(message: int, dialect: Dialect, commitment_format: CommitmentFormat) -> int:
    """The type under which a message's segwit version 0 input is signed; taproot inputs have the default."""
    if message in HTLC_TRANSACTIONS:
        return htlc_transaction.sighash_type(commitment_format)
    if message in HTLC_CLAIMS and dialect is Dialect.CORE_LIGHTNING:
        # hsmd makes no difference between claiming an HTLC and an HTLC transaction. Both are valid.
        return htlc_transaction.sighash_type(commitment_format)
    return ALL
