"""PSBTs of version 2: the transaction that is spread over their maps."""

from __future__ import annotations

import pytest
from embit.psbt import PSBT
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx import psbt_fields as names
from signerd.core.tx.psbt import MAGIC, Psbt
from signerd.core.tx.psbt_v2 import FIRST_TIME
from signerd.core.tx.reader import compact_size, octets
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.errors import MalformedMessage

TXID = bytes(range(32))


def u32(value):
    return value.to_bytes(4, "little")


def pair(kind, value):
    return octets(bytes([kind])) + octets(value)


def spends(index=0, *extra):
    return pair(names.IN_PREVIOUS_TXID, TXID) + pair(names.IN_OUTPUT_INDEX, u32(index)) + b"".join(extra)


def pays(value=1000, script=b"\x51"):
    return pair(names.OUT_AMOUNT, value.to_bytes(8, "little")) + pair(names.OUT_SCRIPT, script)


def build(inputs, outputs, *, glob=b"", version=2, counts=None):
    ins, outs = counts or (len(inputs), len(outputs))
    head = pair(names.GLOBAL_TX_VERSION, u32(version)) + glob
    head += pair(names.GLOBAL_INPUT_COUNT, compact_size(ins))
    head += pair(names.GLOBAL_OUTPUT_COUNT, compact_size(outs)) + pair(names.GLOBAL_VERSION, u32(2))
    return MAGIC + head + b"\x00" + b"".join(item + b"\x00" for item in (*inputs, *outputs))


def locked(*, time=None, height=None):
    extra = b"" if time is None else pair(names.IN_TIME_LOCKTIME, u32(time))
    return spends(0, extra + (b"" if height is None else pair(names.IN_HEIGHT_LOCKTIME, u32(height))))


def test_puts_the_transaction_together():
    raw = build([spends(3, pair(names.IN_SEQUENCE, u32(7))), spends(4)], [pays(5), pays(6, b"")])
    psbt = Psbt.parse(raw)
    assert psbt.tx == Transaction(
        2, (Input(Outpoint(TXID, 3), 7), Input(Outpoint(TXID, 4))), (Output(5, b"\x51"), Output(6, b"")), 0
    )
    assert psbt.serialize() == raw


sequences = st.one_of(st.none(), st.integers(1, 2**32 - 1))


@given(
    spent=st.lists(st.tuples(st.integers(0, 2**32 - 1), sequences), min_size=1, max_size=4),
    paid=st.lists(st.tuples(st.integers(0, 10**12), st.binary(max_size=40)), min_size=1, max_size=4),
    locktime=st.integers(0, 2**32 - 1),
)
def test_agrees_with_embit(spent, paid, locktime):
    inputs = [
        spends(index, b"" if sequence is None else pair(names.IN_SEQUENCE, u32(sequence)))
        for index, sequence in spent
    ]
    raw = build(
        inputs,
        [pays(value, script) for value, script in paid],
        glob=pair(names.GLOBAL_FALLBACK_LOCKTIME, u32(locktime)),
    )
    assert Psbt.parse(raw).tx.serialize() == PSBT.parse(raw).tx.serialize()


@pytest.mark.parametrize(
    ("inputs", "locktime"),
    [
        ([spends(), spends()], 77),
        ([locked(height=5), locked(height=9), spends()], 9),
        ([locked(time=FIRST_TIME + 1), locked(time=FIRST_TIME)], FIRST_TIME + 1),
        ([locked(time=FIRST_TIME, height=5), locked(time=FIRST_TIME + 9)], FIRST_TIME + 9),
        ([locked(time=FIRST_TIME, height=5), locked(height=4)], 5),
        ([locked(time=FIRST_TIME, height=5)], 5),
    ],
)
def test_takes_the_locktime_that_every_input_can_live_with(inputs, locktime):
    raw = build(inputs, [pays()], glob=pair(names.GLOBAL_FALLBACK_LOCKTIME, u32(77)))
    assert Psbt.parse(raw).tx.locktime == locktime


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (build([locked(height=5), locked(time=FIRST_TIME)], [pays()]), "two kinds"),
        (build([locked(time=FIRST_TIME - 1)], [pays()]), "height where a time"),
        (build([locked(height=FIRST_TIME)], [pays()]), "no height"),
        (build([locked(height=0)], [pays()]), "no height"),
        (build([pair(names.IN_PREVIOUS_TXID, TXID)], [pays()]), "what it spends"),
        (build([pair(names.IN_OUTPUT_INDEX, u32(0))], [pays()]), "what it spends"),
        (build([spends()], [pair(names.OUT_SCRIPT, b"")]), "what it pays"),
        (build([spends()], [pair(names.OUT_AMOUNT, bytes(8))]), "what it pays"),
        (build([spends()], [pays(2**63)]), "all the money"),
        (build([spends()], [pays(), pays()], counts=(1, 1)), "too many"),
        (build([spends()], [pays()], counts=(2, 1)), ""),
        (build([], [], counts=(2**64 - 1, 2**64 - 1)), "announces"),
        (build([spends()], [pays()], glob=pair(names.GLOBAL_TX, b"")), "other version"),
        (MAGIC + pair(names.GLOBAL_VERSION, u32(2)) + b"\x00", "how many"),
        (build([spends()], [pays()]).replace(pair(names.GLOBAL_TX_VERSION, u32(2)), b""), "the version"),
        (build([spends()], [pays()]).replace(pair(names.GLOBAL_INPUT_COUNT, b"\x01"), b""), "how many"),
        (build([spends()], [pays()]).replace(pair(4, b"\x01"), pair(4, b"\x01\x00")), "too many"),
    ],
)  # fmt: skip
def test_refuses_what_no_transaction_follows_from(raw, words):
    with pytest.raises(MalformedMessage, match=words or None):
        Psbt.parse(raw)
