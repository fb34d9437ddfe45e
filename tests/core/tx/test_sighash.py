"""Digests: as embit computes them, and where embit strays, as the BIPs spell them out."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
from embit.script import Script
from embit.transaction import Transaction as EmbitTransaction
from hypothesis import assume, given
from hypothesis import strategies as st

from signerd.core.keys.secp256k1 import tagged_hash
from signerd.core.tx import sighash
from signerd.core.tx.reader import octets
from signerd.core.tx.sighash import Digests
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction

u32 = st.integers(0, 2**32 - 1)
values = st.integers(0, 10**14)
scripts = st.binary(max_size=60)
outputs = st.builds(Output, value=values, script=scripts)
inputs = st.builds(
    Input, st.builds(Outpoint, txid=st.binary(min_size=32, max_size=32), index=u32), sequence=u32
)
transactions = st.builds(
    Transaction,
    version=u32,
    inputs=st.lists(inputs, min_size=1, max_size=4).map(tuple),
    outputs=st.lists(outputs, min_size=1, max_size=4).map(tuple),
    locktime=u32,
)
SEGWIT_TYPES = (0x01, 0x02, 0x03, 0x81, 0x82, 0x83)
spent_outputs = st.lists(outputs, min_size=4, max_size=4)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@given(tx=transactions, code=scripts, value=values, kind=st.sampled_from(SEGWIT_TYPES))
def test_segwit_digests_agree_with_embit(tx, code, value, kind):
    theirs = EmbitTransaction.parse(tx.serialize())
    digests = Digests(tx)
    for index in range(len(tx.inputs)):
        expected = theirs.sighash_segwit(index, Script(code), value, kind)
        assert digests.segwit_v0(index, code, value, kind) == expected


@given(tx=transactions, spent=spent_outputs, kind=st.sampled_from([0x00, 0x01, 0x02]))
def test_taproot_digests_agree_with_embit(tx, spent, kind):
    spent = tuple(spent[: len(tx.inputs)])
    theirs = EmbitTransaction.parse(tx.serialize())
    known = [Script(output.script) for output in spent], [output.value for output in spent]
    digests = Digests(tx, spent)
    for index in range(len(tx.inputs)):
        assert digests.taproot(index, kind) == theirs.sighash_taproot(index, *known, kind)


@given(tx=transactions, spent=spent_outputs, kind=st.sampled_from([0x03, 0x81, 0x82, 0x83]))
def test_taproot_digests_of_one_input_or_output_are_those_of_bip_341(tx, spent, kind):
    """Written out: embit takes the sequence of a single input twice, and a single output without its hash."""
    spent = tuple(spent[: len(tx.inputs)])
    index = len(tx.inputs) - 1
    assume(kind & 3 != sighash.SINGLE or index < len(tx.outputs))
    item = tx.inputs[index]
    sequence = item.sequence.to_bytes(4, "little")
    message = b"\x00" + bytes([kind]) + tx.version.to_bytes(4, "little") + tx.locktime.to_bytes(4, "little")
    if kind == sighash.SINGLE:
        message += sha256(b"".join(each.outpoint.serialize() for each in tx.inputs))
        message += sha256(b"".join(output.value.to_bytes(8, "little") for output in spent))
        message += sha256(b"".join(octets(output.script) for output in spent))
        message += sha256(b"".join(each.sequence.to_bytes(4, "little") for each in tx.inputs))
        message += b"\x00" + index.to_bytes(4, "little")
    else:
        if kind == sighash.ALL | sighash.ANYONECANPAY:
            message += sha256(b"".join(output.serialize() for output in tx.outputs))
        message += b"\x00" + item.outpoint.txid + item.outpoint.index.to_bytes(4, "little")
        message += spent[index].value.to_bytes(8, "little") + octets(spent[index].script) + sequence
    if kind & 3 == sighash.SINGLE:
        message += sha256(tx.outputs[index].serialize())
    assert Digests(tx, spent).taproot(index, kind) == tagged_hash(b"TapSighash", message)


def two_by_two() -> Transaction:
    spent = tuple(Input(Outpoint(bytes([n]) * 32, n), sequence=n) for n in range(2))
    return Transaction(2, spent, tuple(Output(1000 + n, bytes([n])) for n in range(2)))


def changed(tx: Transaction, **parts) -> Transaction:
    return dataclasses.replace(tx, **parts)


def test_an_htlc_signature_leaves_room_for_others_but_not_for_its_own_output():
    tx = two_by_two()

    def digest(of):
        return Digests(of).segwit_v0(0, b"\x51", 1000, sighash.SINGLE_ANYONECANPAY)

    assert digest(changed(tx, inputs=tx.inputs[:1])) == digest(tx)
    assert digest(changed(tx, outputs=tx.outputs[:1])) == digest(tx)
    assert digest(changed(tx, outputs=tx.outputs[::-1])) != digest(tx)
    assert digest(changed(tx, locktime=1)) != digest(tx)
    assert digest(changed(tx, version=1)) != digest(tx)


def test_a_digest_depends_on_the_value_that_is_spent():
    digests = Digests(two_by_two())
    assert digests.segwit_v0(0, b"\x51", 1000) != digests.segwit_v0(0, b"\x51", 1001)


@pytest.mark.parametrize("kind", [0x00, 0x04, 0x80, 0x84, 0xFF, 0x100, -1])
def test_refuses_a_sighash_type_that_is_none(kind):
    digests = Digests(two_by_two(), (Output(1, b""), Output(2, b"")))
    with pytest.raises(ValueError, match="no sighash type"):
        digests.segwit_v0(0, b"", 0, kind)
    if kind != sighash.DEFAULT:
        with pytest.raises(ValueError, match="no sighash type"):
            digests.taproot(0, kind)


@pytest.mark.parametrize("index", [-1, 2, 2**32 - 1])
def test_refuses_an_input_that_is_not_there(index):
    digests = Digests(two_by_two(), (Output(1, b""), Output(2, b"")))
    with pytest.raises(ValueError, match="no input"):
        digests.segwit_v0(index, b"", 0)
    with pytest.raises(ValueError, match="no input"):
        digests.taproot(index)


def test_taproot_needs_to_know_all_that_is_spent():
    with pytest.raises(ValueError, match="every input"):
        Digests(two_by_two(), (Output(1, b""),)).taproot(0)


def test_taproot_signs_no_single_output_where_there_is_none():
    tx = changed(two_by_two(), outputs=(Output(1, b""),))
    with pytest.raises(ValueError, match="no output"):
        Digests(tx, (Output(1, b""), Output(2, b""))).taproot(1, sighash.SINGLE)
