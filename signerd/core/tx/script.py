"""The scripts of Lightning and of a wallet, one function each (BOLT 3, BIP 141, BIP 341).

Keys are 33 bytes compressed. Those without a word about it return witness scripts; `p2...` return what an
output carries.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from embit.hashes import hash160, ripemd160

from signerd.core.keys import secp256k1

OP_0 = b"\x00"
OP_PUSHDATA1 = b"\x4c"
OP_PUSHDATA2 = b"\x4d"
OP_PUSHDATA4 = b"\x4e"
OP_1 = b"\x51"
OP_2 = b"\x52"
OP_16 = b"\x60"
OP_IF = b"\x63"
OP_NOTIF = b"\x64"
OP_ELSE = b"\x67"
OP_ENDIF = b"\x68"
OP_RETURN = b"\x6a"
OP_IFDUP = b"\x73"
OP_DROP = b"\x75"
OP_DUP = b"\x76"
OP_SWAP = b"\x7c"
OP_SIZE = b"\x82"
OP_EQUAL = b"\x87"
OP_EQUALVERIFY = b"\x88"
OP_HASH160 = b"\xa9"
OP_CHECKSIG = b"\xac"
OP_CHECKSIGVERIFY = b"\xad"
OP_CHECKMULTISIG = b"\xae"
OP_CHECKLOCKTIMEVERIFY = b"\xb1"
OP_CHECKSEQUENCEVERIFY = b"\xb2"

# A large commitment has hundreds of these.
_PUSH_20 = b"\x14"
_P2WSH = OP_0 + b"\x20"

ANCHOR_CSV = 16
"""Blocks after which anyone may take an anchor."""


def push(data: bytes) -> bytes:
    """Pushes bytes, however many; up to 75 with their number alone."""
    size = len(data)
    if size < 76:
        return bytes([size]) + data
    if size < 1 << 8:
        return OP_PUSHDATA1 + size.to_bytes(1, "little") + data
    if size < 1 << 16:
        return OP_PUSHDATA2 + size.to_bytes(2, "little") + data
    return OP_PUSHDATA4 + size.to_bytes(4, "little") + data


def number(value: int) -> bytes:
    """Pushes a number from 0 up, in its shortest form."""
    if value < 0:
        raise ValueError("no script of ours has a negative number")
    if value <= 16:
        return OP_0 if value == 0 else bytes([OP_1[0] + value - 1])
    # One bit more than the value needs: the highest is the sign.
    return push(value.to_bytes(value.bit_length() // 8 + 1, "little"))


def funding(one: bytes, other: bytes) -> bytes:
    """The 2-of-2 of a channel; the order of the arguments does not matter."""
    lesser, greater = sorted((one, other))
    return OP_2 + push(lesser) + push(greater) + OP_2 + OP_CHECKMULTISIG


def to_local(*, revocation_key: bytes, delayed_key: bytes, to_self_delay: int) -> bytes:
    """The broadcaster's own output, and the output of HTLC transactions."""
    return (
        OP_IF
        + push(revocation_key)
        + OP_ELSE
        + number(to_self_delay)
        + OP_CHECKSEQUENCEVERIFY
        + OP_DROP
        + push(delayed_key)
        + OP_ENDIF
        + OP_CHECKSIG
    )


def to_remote_delayed(payment_key: bytes, csv: int = 1) -> bytes:
    """The other side's output with anchors; `csv` is above 1 only for the lessor of a leased channel."""
    return push(payment_key) + OP_CHECKSIGVERIFY + number(csv) + OP_CHECKSEQUENCEVERIFY


def anchor(funding_key: bytes) -> bytes:
    """An output of 330 sat by which one side can raise the fee of a commitment."""
    return (
        push(funding_key)
        + OP_CHECKSIG
        + OP_IFDUP
        + OP_NOTIF
        + number(ANCHOR_CSV)
        + OP_CHECKSEQUENCEVERIFY
        + OP_ENDIF
    )


@dataclass(frozen=True, slots=True)
class HtlcScript:
    """The script of an HTLC output; `own` is the broadcaster's key. Hashes stand as the script has them.

    `cltv_expiry` is None if the broadcaster offers the HTLC: that script has none.
    """

    revocation_hash: bytes
    own_htlc_key: bytes
    other_htlc_key: bytes
    payment_ripemd: bytes
    cltv_expiry: int | None
    anchors: bool

    @property
    def offered(self) -> bool:
        """Whether the broadcaster offers it."""
        return self.cltv_expiry is None

    def serialize(self) -> bytes:
        frame = _htlc_frame(
            self.revocation_hash, self.own_htlc_key, self.other_htlc_key, self.offered, self.anchors
        )
        return _framed(frame, self.payment_ripemd, self.cltv_expiry)


# The same for each HTLC of a commitment.
@lru_cache(maxsize=256)
def _htlc_frame(
    revocation_hash: bytes,
    own_htlc_key: bytes,
    other_htlc_key: bytes,
    offered: bool,  # noqa: FBT001 (a cache finds it quicker without a name)
    anchors: bool,  # noqa: FBT001
) -> tuple[bytes, bytes, bytes]:
    """What stands before the payment hash, between it and the expiry, and after that."""
    before = (OP_DUP + OP_HASH160 + push(revocation_hash) + OP_EQUAL + OP_IF + OP_CHECKSIG + OP_ELSE) + (
        push(other_htlc_key) + OP_SWAP + OP_SIZE + push(b"\x20") + OP_EQUAL
    )
    both_sign = OP_2 + OP_SWAP + push(own_htlc_key) + OP_2 + OP_CHECKMULTISIG
    if offered:
        before += OP_NOTIF + OP_DROP + both_sign + OP_ELSE + OP_HASH160
        between, after = OP_EQUALVERIFY, b""
    else:
        before += OP_IF + OP_HASH160
        between = OP_EQUALVERIFY + both_sign + OP_ELSE + OP_DROP
        after = OP_CHECKLOCKTIMEVERIFY + OP_DROP
    after += OP_CHECKSIG + OP_ENDIF
    after += OP_1 + OP_CHECKSEQUENCEVERIFY + OP_DROP if anchors else b""
    return before, between, after + OP_ENDIF


def _framed(frame: tuple[bytes, bytes, bytes], payment_ripemd: bytes, cltv_expiry: int | None) -> bytes:
    before, between, after = frame
    return (
        before
        + _PUSH_20
        + payment_ripemd
        + between
        + (b"" if cltv_expiry is None else number(cltv_expiry))
        + after
    )


def htlc(
    *,
    revocation_key: bytes,
    own_htlc_key: bytes,
    other_htlc_key: bytes,
    payment_hash: bytes,
    cltv_expiry: int | None,
    anchors: bool,
) -> bytes:
    """An HTLC output of a commitment; the broadcaster offers it if `cltv_expiry` is None."""
    frame = _htlc_frame(
        hash160_of(revocation_key), own_htlc_key, other_htlc_key, cltv_expiry is None, anchors
    )
    return _framed(frame, ripemd160_of(payment_hash), cltv_expiry)


def p2wsh(witness_script: bytes) -> bytes:
    return _P2WSH + hashlib.sha256(witness_script).digest()


def p2wpkh(key: bytes) -> bytes:
    return OP_0 + push(hash160_of(key))


def p2pkh(key: bytes) -> bytes:
    """Also the script code under which a P2WPKH output is signed (BIP 143)."""
    return OP_DUP + OP_HASH160 + push(hash160_of(key)) + OP_EQUALVERIFY + OP_CHECKSIG


def p2sh(redeem_script: bytes) -> bytes:
    return OP_HASH160 + push(hash160_of(redeem_script)) + OP_EQUAL


def p2sh_p2wpkh(key: bytes) -> bytes:
    return p2sh(p2wpkh(key))


def p2tr(key: bytes) -> bytes:
    """For a wallet's internal key, without scripts (BIP 86)."""
    return OP_1 + push(secp256k1.taproot_point(key))


@lru_cache(maxsize=4096)
def hash160_of(data: bytes) -> bytes:
    """20 bytes: RIPEMD-160 of SHA-256."""
    # Remembered: where OpenSSL has no RIPEMD-160, embit's own takes most of the time of a commitment.
    return bytes(hash160(data))


@lru_cache(maxsize=4096)
def ripemd160_of(payment_hash: bytes) -> bytes:
    """20 bytes: what an HTLC script holds of its payment hash."""
    return bytes(ripemd160(payment_hash))
