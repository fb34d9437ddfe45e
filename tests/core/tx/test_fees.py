"""Fees and trimming, at the edges that BOLT 3's cases sit on, and as properties of every commitment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx import fees
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.htlc import Htlc

STATIC, ANCHORS, ZERO_FEE = (
    CommitmentFormat.STATIC_REMOTEKEY,
    CommitmentFormat.ANCHORS,
    CommitmentFormat.ANCHORS_ZERO_FEE_HTLC,
)


def flying(amount_msat, *, offered=True):
    return Htlc(offered=offered, amount_msat=amount_msat, payment_hash=bytes(32), cltv_expiry=500)


@pytest.mark.parametrize(
    ("chosen", "feerate", "htlcs", "fee"),
    [(STATIC, 15000, 0, 10860), (STATIC, 647, 5, 1024), (ANCHORS, 253, 0, 284), (ZERO_FEE, 1000, 1, 1296)],
)
def test_a_commitment_costs_what_its_weight_says(chosen, feerate, htlcs, fee):
    assert fees.commitment_fee(chosen, feerate, htlcs) == fee


@pytest.mark.parametrize(
    ("chosen", "timeout", "success"), [(STATIC, 6630, 7030), (ANCHORS, 6660, 7060), (ZERO_FEE, 0, 0)]
)
def test_an_htlc_transaction_costs_what_its_weight_says(chosen, timeout, success):
    assert fees.htlc_fee(chosen, 10000, offered=True) == timeout
    assert fees.htlc_fee(chosen, 10000, offered=False) == success


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("chosen", CommitmentFormat)
def test_trims_an_htlc_just_below_what_its_output_and_transaction_need(chosen, offered):
    limit = (546 + fees.htlc_fee(chosen, 2500, offered=offered)) * 1000
    parts = {"feerate_per_kw": 2500, "dust_limit_sat": 546}
    assert not fees.is_trimmed(flying(limit, offered=offered), chosen, **parts)
    assert fees.is_trimmed(flying(limit - 1, offered=offered), chosen, **parts)


def settle(chosen, *, own, other, htlcs=(), feerate=1000, dust=546, broadcaster_funds=True):
    return fees.settle(
        chosen,
        to_broadcaster_msat=own,
        to_other_msat=other,
        htlcs=htlcs,
        feerate_per_kw=feerate,
        dust_limit_sat=dust,
        broadcaster_funds=broadcaster_funds,
    )


def test_the_funder_pays_fee_and_both_anchors_even_if_one_is_missing():
    settled = settle(ZERO_FEE, own=10_000_000, other=0)
    assert (settled.fee_sat, settled.to_broadcaster_sat) == (1124, 10_000 - 1124 - 660)
    settled = settle(ZERO_FEE, own=10_000_000, other=10_000_000, broadcaster_funds=False)
    assert (settled.to_broadcaster_sat, settled.to_other_sat) == (10_000, 10_000 - 1124 - 660)


def test_a_funder_who_cannot_pay_gives_what_there_is():
    settled = settle(STATIC, own=700_000, other=5_000_000)
    assert (settled.to_broadcaster_sat, settled.to_other_sat, settled.fee_sat) == (0, 5000, 724)


@pytest.mark.parametrize(("sat", "kept"), [(546, 546), (545, 0)])
def test_a_main_output_below_the_dust_limit_does_not_exist(sat, kept):
    settled = settle(STATIC, own=(sat + 724) * 1000 + 999, other=sat * 1000 + 999)
    assert (settled.to_broadcaster_sat, settled.to_other_sat) == (kept, kept)


htlcs = st.builds(
    Htlc,
    offered=st.booleans(),
    amount_msat=st.integers(0, 10**10),
    payment_hash=st.just(bytes(32)),
    cltv_expiry=st.integers(0, 2**31),
)


@given(
    chosen=st.sampled_from(CommitmentFormat),
    own=st.integers(0, 10**12),
    other=st.integers(0, 10**12),
    flights=st.lists(htlcs, max_size=30),
    feerate=st.integers(0, 2**32 - 1),
    dust=st.integers(0, 10_000),
    broadcaster_funds=st.booleans(),
)
def test_no_commitment_makes_money(*, chosen, own, other, flights, feerate, dust, broadcaster_funds):
    settled = settle(
        chosen,
        own=own,
        other=other,
        htlcs=flights,
        feerate=feerate,
        dust=dust,
        broadcaster_funds=broadcaster_funds,
    )
    paid = settled.to_broadcaster_sat + settled.to_other_sat + sum(htlc.amount_sat for htlc in settled.htlcs)
    assert paid * 1000 <= own + other + sum(htlc.amount_msat for htlc in flights)
    assert all(value == 0 or value >= dust for value in (settled.to_broadcaster_sat, settled.to_other_sat))
    assert [htlc for htlc in flights if htlc in settled.htlcs] == list(settled.htlcs)
