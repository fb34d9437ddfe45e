"""Commitments and HTLC transactions: BOLT 3's appendices C and F to the byte, and what surrounds them."""

from __future__ import annotations

import dataclasses

import pytest
from helpers import bolt3
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import commitment as keys_of
from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.tx import commitment, htlc_transaction, script
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.commitment import CommitmentKeys, Kind
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.sighash import Digests
from signerd.core.tx.transaction import Outpoint, Transaction

VECTORS = bolt3.load("commitments")
OBSCURING_FACTOR = 0x2BB038521914


def name_of(case):
    return f"{case['appendix']}-{case['name']}"


@pytest.fixture
def anchored() -> commitment.Commitment:
    """Appendix F with all five HTLCs."""
    case = next(case for case in VECTORS["cases"] if case["appendix"] == "F" and len(case["htlc_txs"]) == 5)
    return bolt3.Case(VECTORS["common"], case).commitment


@pytest.mark.parametrize("case", VECTORS["cases"], ids=name_of)
def test_composes_and_signs_the_commitments_of_bolt_3(case):
    signed = bolt3.Case(VECTORS["common"], case).signed_commitment()
    assert signed.tx.serialize().hex() == case["commitment_tx"]
    assert signed.remote_signature.hex() == case["remote_signature"]


@pytest.mark.parametrize("case", VECTORS["cases"], ids=name_of)
def test_composes_and_signs_the_htlc_transactions_of_bolt_3(case):
    signed = bolt3.Case(VECTORS["common"], case).signed_htlcs()
    assert [
        {"htlc": number, "tx": htlc.tx.serialize().hex(), "remote_signature": htlc.remote_signature.hex()}
        for number, htlc in signed
    ] == case["htlc_txs"]


def test_covers_both_appendices():
    counts = dict.fromkeys("CF", 0)
    htlcs = dict(counts)
    for case in VECTORS["cases"]:
        counts[case["appendix"]] += 1
        htlcs[case["appendix"]] += len(case["htlc_txs"])
    assert (counts, htlcs) == ({"C": 16, "F": 9}, {"C": 33, "F": 15})


def test_orders_htlcs_that_look_alike_by_their_expiry():
    case = next(case for case in VECTORS["cases"] if case["appendix"] == "C" and case["htlcs"] == [1, 5, 6])
    expiries = [
        item.htlc.cltv_expiry for _, item in bolt3.Case(VECTORS["common"], case).commitment.htlc_outputs()
    ]
    assert expiries == [501, 505, 506]


def test_hides_the_commitment_number_as_bolt_3_does(anchored):
    assert anchored.terms.obscuring_factor == OBSCURING_FACTOR
    assert commitment.number_of(anchored.tx, OBSCURING_FACTOR) == 42


@given(number=st.integers(0, 2**48 - 1), factor=st.integers(0, 2**48 - 1))
def test_reads_back_the_commitment_number(number, factor):
    terms = dataclasses.replace(_empty_terms(), number=number, obscuring_factor=factor)
    assert commitment.number_of(commitment.compose(terms).tx, factor) == number


@pytest.mark.parametrize(("sequence", "locktime"), [(0xFFFFFFFF, 0x20000000), (0x80000000, 0), (0, 0)])
def test_finds_no_number_in_what_is_no_commitment(anchored, sequence, locktime):
    spent = dataclasses.replace(anchored.tx.inputs[0], sequence=sequence)
    tx = dataclasses.replace(anchored.tx, inputs=(spent,), locktime=locktime)
    assert commitment.number_of(tx, OBSCURING_FACTOR) is None


def test_reads_the_main_values_of_a_transaction_and_composes_it_again(anchored):
    blank = dataclasses.replace(anchored.terms, to_broadcaster_sat=0, to_other_sat=0)
    again = blank.with_values_of(anchored.tx)
    assert again == anchored.terms
    assert commitment.compose(again).tx == anchored.tx
    assert commitment.compose(again).txid == anchored.txid


def test_a_second_output_to_the_same_script_does_not_compose(anchored):
    doubled = (*anchored.tx.outputs, anchored.tx.outputs[-1])
    tx = dataclasses.replace(anchored.tx, outputs=doubled)
    assert commitment.compose(anchored.terms.with_values_of(tx)).tx != tx


@pytest.mark.parametrize(
    ("own", "other", "htlcs", "kinds"),
    [
        (1000, 1000, 0, {Kind.TO_LOCAL, Kind.TO_REMOTE, Kind.OWN_ANCHOR, Kind.OTHER_ANCHOR}),
        (1000, 0, 0, {Kind.TO_LOCAL, Kind.OWN_ANCHOR}),
        (0, 1000, 0, {Kind.TO_REMOTE, Kind.OTHER_ANCHOR}),
        (0, 1000, 1, {Kind.TO_REMOTE, Kind.HTLC, Kind.OWN_ANCHOR, Kind.OTHER_ANCHOR}),
        (0, 0, 1, {Kind.HTLC, Kind.OWN_ANCHOR, Kind.OTHER_ANCHOR}),
        (0, 0, 0, set()),
    ],
)
def test_an_anchor_stands_where_its_side_has_something(own, other, htlcs, kinds):
    flying = tuple(
        Htlc(offered=True, amount_msat=10**6, payment_hash=bytes(32), cltv_expiry=9) for _ in range(htlcs)
    )
    terms = dataclasses.replace(_empty_terms(), to_broadcaster_sat=own, to_other_sat=other, htlcs=flying)
    assert {item.kind for item in commitment.compose(terms).outputs} == kinds


@pytest.mark.parametrize("chosen", CommitmentFormat)
def test_pays_the_other_side_as_the_channel_type_says(chosen):
    terms = dataclasses.replace(_empty_terms(), format=chosen, to_other_sat=1000)
    output = next(item for item in commitment.compose(terms).outputs if item.kind is Kind.TO_REMOTE)
    if chosen.anchors:
        assert output.witness_script == script.to_remote_delayed(terms.keys.other_payment)
    else:
        assert output.output.script == script.p2wpkh(terms.keys.other_payment)


def test_a_lessor_waits_longer_for_its_output():
    terms = dataclasses.replace(_empty_terms(), to_other_sat=1000, to_remote_csv=4032)
    output = next(item for item in commitment.compose(terms).outputs if item.kind is Kind.TO_REMOTE)
    assert output.witness_script == script.to_remote_delayed(terms.keys.other_payment, 4032)


def test_legacy_channels_tweak_the_other_sides_payment_key():
    own, other = _side(1), _side(6)
    point = secp256k1.public_key(b"\x77" * 32)
    tweaked = CommitmentKeys.derive(point, own=own, other=other, static_remotekey=False)
    assert tweaked.other_payment == keys_of.derive_point(other.payment, point)
    assert CommitmentKeys.derive(point, own=own, other=other).other_payment == other.payment


def test_an_htlc_transaction_spends_only_htlcs(anchored):
    main = next(index for index, item in enumerate(anchored.outputs) if item.kind is Kind.TO_LOCAL)
    with pytest.raises(ValueError, match="no HTLC"):
        htlc_transaction.compose_for(anchored, main, feerate_per_kw=0)


def test_an_htlc_that_cannot_pay_its_fee_has_no_transaction(anchored):
    spent = Outpoint(anchored.txid, 0)
    parts = {"locktime": 0, "keys": anchored.terms.keys, "to_self_delay": 144, "anchors": True}
    whole = htlc_transaction.compose(spent, amount_sat=1000, fee_sat=1000, **parts)
    assert whole.outputs[0].value == 0
    with pytest.raises(ValueError, match="cannot pay"):
        htlc_transaction.compose(spent, amount_sat=1000, fee_sat=1001, **parts)


htlcs = st.builds(
    Htlc,
    offered=st.booleans(),
    amount_msat=st.integers(2_000_000, 10**12),
    payment_hash=st.binary(min_size=32, max_size=32),
    cltv_expiry=st.integers(0, 499_999_999),
)


@given(
    chosen=st.sampled_from(CommitmentFormat),
    flying=st.lists(htlcs, max_size=5),
    feerate=st.integers(0, 2000),
    delay=st.integers(1, 2016),
)
def test_what_htlc_signatures_sign_follows_from_the_transactions(chosen, flying, feerate, delay):
    terms = dataclasses.replace(
        _empty_terms(), format=chosen, htlcs=tuple(flying), to_self_delay=delay, to_other_sat=5000
    )
    composed = commitment.compose(terms)
    kind = htlc_transaction.sighash_type(chosen)
    expected = [
        Digests(htlc_transaction.compose_for(composed, index, feerate_per_kw=feerate)).segwit_v0(
            0, item.witness_script, item.output.value, kind
        )
        for index, item in composed.htlc_outputs()
    ]
    assert htlc_transaction.digests(composed, feerate_per_kw=feerate) == expected


def test_nothing_is_signed_of_an_htlc_that_cannot_pay_its_fee():
    flying = Htlc(offered=True, amount_msat=10**6, payment_hash=bytes(32), cltv_expiry=9)
    terms = dataclasses.replace(_empty_terms(), format=CommitmentFormat.ANCHORS, htlcs=(flying,))
    with pytest.raises(ValueError, match="cannot pay"):
        htlc_transaction.digests(commitment.compose(terms), feerate_per_kw=10_000)


def test_composes_a_commitment_with_all_htlcs_that_a_channel_can_hold():
    htlcs = tuple(
        Htlc(
            offered=bool(n % 2),
            amount_msat=(1000 + n % 50) * 1000,
            payment_hash=n.to_bytes(32, "big"),
            cltv_expiry=n,
        )
        for n in range(966)
    )
    composed = commitment.compose(dataclasses.replace(_empty_terms(), to_broadcaster_sat=5000, htlcs=htlcs))
    assert len(composed.htlc_outputs()) == 966
    assert Transaction.parse(composed.tx.serialize()) == composed.tx
    pairs = [(output.value, output.script) for output in composed.tx.outputs]
    assert pairs == sorted(pairs)


def _side(first: int) -> Basepoints:
    points = [secp256k1.public_key(bytes([first + n]) * 32) for n in range(5)]
    return Basepoints(*points)


def _empty_terms() -> commitment.Terms:
    return commitment.Terms(
        format=CommitmentFormat.ANCHORS_ZERO_FEE_HTLC,
        funding=Outpoint(bytes(32), 0),
        obscuring_factor=0,
        number=0,
        keys=CommitmentKeys.derive(secp256k1.public_key(b"\x77" * 32), own=_side(1), other=_side(6)),
        to_self_delay=144,
    )
