"""Transactions: what is read is written back, and what is not in form is refused."""

from __future__ import annotations

import dataclasses

import pytest
from embit.transaction import Transaction as EmbitTransaction
from helpers import bolt3
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx.transaction import (
    MAX_MONEY,
    MAX_SIZE,
    Input,
    Outpoint,
    Output,
    Transaction,
    read_output,
)
from signerd.errors import MalformedMessage

u32 = st.integers(0, 2**32 - 1)
outpoints = st.builds(Outpoint, txid=st.binary(min_size=32, max_size=32), index=u32)
inputs = st.builds(
    Input,
    outpoint=outpoints,
    sequence=u32,
    script_sig=st.binary(max_size=40),
    witness=st.lists(st.binary(max_size=300), max_size=4).map(tuple),
)
outputs = st.builds(Output, value=st.integers(0, MAX_MONEY // 8), script=st.binary(max_size=300))
transactions = st.builds(
    Transaction,
    version=u32,
    inputs=st.lists(inputs, min_size=1, max_size=5).map(tuple),
    outputs=st.lists(outputs, max_size=5).map(tuple),
    locktime=u32,
)

SIGNED = bytes.fromhex(bolt3.load("commitments")["cases"][1]["commitment_tx"])
BARE = Transaction.parse(SIGNED).without_witnesses()


@given(tx=transactions)
def test_reads_back_what_it_writes(tx):
    assert Transaction.parse(tx.serialize()) == tx


@given(tx=transactions)
def test_agrees_with_embit(tx):
    theirs = EmbitTransaction.parse(tx.serialize())
    assert theirs.serialize() == tx.serialize()
    assert theirs.txid() == tx.txid[::-1]
    assert [(item.vout, item.sequence) for item in theirs.vin] == [
        (item.outpoint.index, item.sequence) for item in tx.inputs
    ]


@given(tx=transactions)
def test_the_unsigned_form_is_what_a_psbt_holds(tx):
    unsigned = tx.unsigned()
    assert Transaction.parse_unsigned(unsigned.without_witnesses()) == unsigned
    assert unsigned.outputs == tx.outputs


def test_counts_weight_as_bip_141_does():
    tx = Transaction.parse(SIGNED)
    assert tx.weight == 3 * len(BARE) + len(SIGNED)
    assert tx.unsigned().weight == 4 * len(BARE)


@pytest.mark.parametrize("raw", [SIGNED, BARE], ids=["signed", "bare"])
def test_refuses_a_transaction_that_is_cut_or_extended(raw):
    assert Transaction.parse(raw).serialize() == raw
    for end in range(len(raw)):
        with pytest.raises(MalformedMessage):
            Transaction.parse(raw[:end])
    with pytest.raises(MalformedMessage, match="too many"):
        Transaction.parse(raw + b"\x00")


def build(*, count=b"\x01", value=bytes(8), marker=b"", witness=b"", outputs=b"\x01"):
    spent = bytes(36) + b"\x00" + bytes(4)
    return b"\x02\x00\x00\x00" + marker + count + spent + outputs + value + b"\x00" + witness + bytes(4)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (build(count=b"\xfd\x01\x00"), "shortest form"),
        (build(count=b"\xfe\x01\x00\x00\x00"), "shortest form"),
        (build(count=b"\xff" + b"\xff" * 8), "announces"),
        (build(count=b"\xfe\xff\xff\xff\xff"), "announces"),
        (build(outputs=b"\xfd\xff\xff"), "announces"),
        (build(value=b"\xff" * 8), "all the money"),
        (build(value=(MAX_MONEY + 1).to_bytes(8, "little")), "all the money"),
        (build(marker=b"\x00\x01", witness=b"\x00"), "has none"),
        (build(marker=b"\x00\x01", witness=b"\x01\xff" + b"\xff" * 8), "too early"),
        (build(marker=b"\x00\x02", witness=b"\x01\x01\x01"), "too"),
        (b"\x02\x00\x00\x00\x00\x00" + bytes(4), "spends nothing"),
        (bytes(MAX_SIZE + 1), "no block"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_refuses_a_transaction_that_is_not_in_form(raw, words):
    assert Transaction.parse(build()).inputs
    with pytest.raises(MalformedMessage, match=words):
        Transaction.parse(raw)


def test_refuses_outputs_that_are_too_much_together():
    tx = Transaction.parse(BARE)
    half = Output(MAX_MONEY // 2 + 1, b"")
    with pytest.raises(MalformedMessage, match="all the money"):
        Transaction.parse(dataclasses.replace(tx, outputs=(half, half)).serialize())


def test_refuses_signatures_where_none_belong():
    with pytest.raises(MalformedMessage):
        Transaction.parse_unsigned(SIGNED)
    tx = Transaction.parse(BARE)
    signed = dataclasses.replace(tx, inputs=(dataclasses.replace(tx.inputs[0], script_sig=b"\x51"),))
    assert Transaction.parse(signed.serialize()) == signed
    with pytest.raises(MalformedMessage, match="script signature"):
        Transaction.parse_unsigned(signed.serialize())


@given(output=outputs)
def test_reads_a_single_output(output):
    assert read_output(output.serialize()) == output
    with pytest.raises(MalformedMessage):
        read_output(output.serialize() + b"\x00")


def test_names_an_outpoint_as_explorers_do():
    assert str(Outpoint(bytes(range(32)), 7)) == bytes(range(31, -1, -1)).hex() + ":7"
