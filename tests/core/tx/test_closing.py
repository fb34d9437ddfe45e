"""Mutual closes: composed, and read both ways."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx import closing
from signerd.core.tx.transaction import Outpoint, Transaction

FUNDING = Outpoint(bytes(range(32)), 1)
OURS, THEIRS = b"\x00\x14" + b"\x01" * 20, b"\x00\x14" + b"\x02" * 20


def terms(**parts) -> closing.Terms:
    usual = {
        "funding": FUNDING,
        "holder_sat": 1000,
        "holder_script": OURS,
        "counterparty_sat": 2000,
        "counterparty_script": THEIRS,
    }
    return closing.Terms(**usual | parts)


def test_composes_what_bolt_3_describes():
    tx = closing.compose(terms())
    assert tx.serialize().hex() == (
        "0200000001" + bytes(range(32)).hex() + "01000000" + "00" + "ffffffff"
        "02" + "e803000000000000" + "16" + OURS.hex() + "d007000000000000" + "16" + THEIRS.hex() + "00000000"
    )  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "first"), [(1, 2, OURS), (2, 1, THEIRS), (5, 5, OURS)])
def test_orders_outputs_by_value_then_script(ours, theirs, first):
    tx = closing.compose(terms(holder_sat=ours, counterparty_sat=theirs))
    assert tx.outputs[0].script == first


@pytest.mark.parametrize(("ours", "theirs"), [(0, 5), (5, 0)])
def test_leaves_out_a_side_that_gets_nothing(ours, theirs):
    assert len(closing.compose(terms(holder_sat=ours, counterparty_sat=theirs)).outputs) == 1


@given(ours=st.integers(0, 10**9), theirs=st.integers(0, 10**9))
def test_one_reading_of_a_close_is_how_it_was_made(ours, theirs):
    made = terms(
        holder_sat=ours,
        counterparty_sat=theirs,
        holder_script=OURS if ours else b"",
        counterparty_script=THEIRS if theirs else b"",
    )
    tx = closing.compose(made)
    readings = closing.readings(tx, FUNDING)
    assert made in readings
    assert all(closing.compose(reading) == tx for reading in readings)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"locktime": 1},
        {"outputs": ()},
        {"inputs": ()},
    ],
    ids=str,
)
def test_no_reading_composes_to_what_is_no_mutual_close(change):
    tx = dataclasses.replace(closing.compose(terms()), **change)
    composed = {closing.compose(reading) for reading in closing.readings(tx, FUNDING)}
    assert (tx in composed) == (change == {"outputs": ()})


def test_no_reading_composes_to_outputs_out_of_order_or_another_sequence():
    tx = closing.compose(terms())
    swapped = dataclasses.replace(tx, outputs=tx.outputs[::-1])
    waiting = dataclasses.replace(tx, inputs=(dataclasses.replace(tx.inputs[0], sequence=0xFFFFFFFD),))
    foreign = closing.compose(terms(funding=Outpoint(bytes(32), 1)))
    for other in (swapped, waiting, foreign):
        assert other not in {closing.compose(reading) for reading in closing.readings(other, FUNDING)}


def test_three_outputs_have_no_reading():
    tx = closing.compose(terms())
    assert closing.readings(dataclasses.replace(tx, outputs=tx.outputs * 2), FUNDING) == ()


def test_the_weight_leaves_room_for_both_signatures():
    tx = closing.compose(terms())
    keys, signatures = (bytes(33),) * 2, (bytes(72),) * 2
    funding_script = b"\x52\x21" + keys[0] + b"\x21" + keys[1] + b"\x52\xae"
    witness = (b"", *signatures, funding_script)
    signed = dataclasses.replace(tx, inputs=(dataclasses.replace(tx.inputs[0], witness=witness),))
    assert signed.weight == closing.signed_weight(tx)
    assert Transaction.parse(signed.serialize()) == signed
