"""Which nonce and sighash type each message has; that the bytes are right is shown by recorded answers."""

from __future__ import annotations

import pytest

from signerd.core.keys import secp256k1
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.tx import signing
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.signing import Dialect, Signature

STATIC, ANCHORS = CommitmentFormat.STATIC_REMOTEKEY, CommitmentFormat.ANCHORS_ZERO_FEE_HTLC
ASKING = (2, 3, 4, 5, 6, 7, 12, 13, 14, 16, 19, 20, 21, 29, 142, 143, 144, 146, 147, 149)


def test_searches_a_low_r_only_where_the_other_signers_do():
    low = {number for number in ASKING if signing.nonce_of(number, Dialect.HOSTED) is not Nonce.PLAIN}
    assert low == {5, 19, 21, 29}
    from_one = {
        number for number in ASKING if signing.nonce_of(number, Dialect.CORE_LIGHTNING) is Nonce.LOW_R
    }
    assert from_one == {7, 147, 149}
    assert all(signing.nonce_of(number, Dialect.CORE_LIGHTNING) is not Nonce.PLAIN for number in ASKING)


@pytest.mark.parametrize("number", [1, 8, 23, 25, 35, 9999])
def test_has_no_nonce_for_a_message_that_asks_for_none(number):
    with pytest.raises(ValueError, match="no such signature"):
        signing.nonce_of(number, Dialect.HOSTED)


@pytest.mark.parametrize("number", ASKING)
@pytest.mark.parametrize("dialect", Dialect)
def test_leaves_room_only_in_htlc_transactions_with_anchors(number, dialect):
    assert signing.sighash_of(number, dialect, STATIC) == 0x01
    room = {16, 20, 146} | ({13, 143} if dialect is Dialect.CORE_LIGHTNING else set())
    assert signing.sighash_of(number, dialect, ANCHORS) == (0x83 if number in room else 0x01)


def test_a_signature_in_a_witness_ends_in_its_sighash_type():
    compact = secp256k1.sign(b"\x01" * 32, bytes(32), Nonce.LOW_R)
    assert Signature(compact, 0x83).der() == secp256k1.to_der(compact) + b"\x83"
