"""What a commitment may hold, at the edge of each limit."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from helpers.one_channel import ANCHORS, STATIC, OneChannel

from signerd.core.policy import commitment as policy
from signerd.core.policy.commitment import Proposed
from signerd.core.policy.limits import LIMITS
from signerd.core.state.channel import Content, Funding, Setup
from signerd.core.state.loss import DAY, Loss
from signerd.core.tx import fees
from signerd.core.tx.htlc import Htlc
from signerd.errors import Refused
from signerd.units import UnixTime

LIMIT = LIMITS["regtest"]
VALUE = 1_000_000
FEERATE = 1000
NONE = Loss()
NOW = UnixTime(1_700_000_000)


def setup_of(channel_type: bytes = ANCHORS, *, is_outbound: bool = True) -> Setup:
    return OneChannel(channel_type=channel_type, is_outbound=is_outbound).setup


FUNDING: Funding = OneChannel().funding
SETUP = setup_of()
FEE = fees.commitment_fee(SETUP.format, FEERATE, 0) + 660


def htlc(amount_sat: int, *, offered: bool = True, tag: int = 1, cltv_expiry: int = 500) -> Htlc:
    return Htlc(offered, amount_sat * 1000, bytes([tag]) * 32, cltv_expiry)


def proposed(
    holder_sat: int,
    counterparty_sat: int,
    *htlcs: Htlc,
    setup: Setup = SETUP,
    number: int = 1,
    feerate: int = FEERATE,
    holder: bool = True,
) -> Proposed:
    values = (holder_sat, counterparty_sat) if holder else (counterparty_sat, holder_sat)
    return Proposed(setup, FUNDING, number, Content(*values, htlcs, feerate), holder=holder)


def rule_of(item: Proposed, before: Content | None = None, loss: Loss = NONE) -> str | None:
    try:
        policy.check(item, LIMIT)
        if before is not None:
            policy.check_balance(item, before, loss, NOW, LIMIT)
    except Refused as refused:
        return refused.rule
    return None


# Dust

TRIMMED = "policy-commitment-outputs-trimmed"


@pytest.mark.parametrize("holder", [True, False])
@pytest.mark.parametrize(("value", "rule"), [(0, None), (1, TRIMMED), (353, TRIMMED), (354, None)])
def test_no_main_output_is_dust(holder, value, rule):
    rest = VALUE - FEE - value
    assert rule_of(proposed(value, rest, holder=holder)) == rule
    assert rule_of(proposed(rest, value, holder=holder)) == rule


def test_no_htlc_without_a_fee_is_dust():
    for value, rule in ((353, TRIMMED), (354, None)):
        assert rule_of(proposed(VALUE - FEE - 172 - value, 0, htlc(value))) == rule


@pytest.mark.parametrize(("offered", "weight"), [(True, 663), (False, 703)])
def test_no_htlc_is_dust_after_the_fee_of_its_transaction(offered, weight):
    setup = setup_of(STATIC)
    for value, rule in ((330 + weight - 1, TRIMMED), (330 + weight, None)):
        item = htlc(value, offered=offered)
        assert rule_of(proposed(VALUE - 724 - 172 - value, 0, item, setup=setup)) == rule


def test_an_htlc_expires_at_a_height():
    for expiry, rule in ((499_999_999, None), (500_000_000, "policy-commitment-htlc-cltv-range")):
        item = htlc(5000, cltv_expiry=expiry)
        assert rule_of(proposed(VALUE - FEE - 172 - 5000, 0, item)) == rule


def test_has_a_bounded_number_of_htlcs():
    policy.require_htlc_count(1000, LIMIT)
    with pytest.raises(Refused, match="1001 HTLCs"):
        policy.require_htlc_count(1001, LIMIT)


# Fees

TOO_MUCH = "policy-commitment-fee-range"
SLACK = 2000
"""For main outputs below dust."""


def test_the_first_commitment_pays_what_its_feerate_asks_for():
    for fee, rule in ((FEE, None), (FEE + SLACK, None), (FEE + SLACK + 1, TOO_MUCH), (0, None)):
        assert rule_of(proposed(VALUE - fee, 0, number=0)) == rule


def test_later_commitments_may_have_small_htlcs_in_their_fee():
    most = FEE + SLACK + LIMIT.max_dust_exposure_sat
    assert rule_of(proposed(VALUE - most, 0)) is None
    assert rule_of(proposed(VALUE - most - 1, 0)) == TOO_MUCH


def test_a_feerate_that_is_not_told_is_at_most_the_highest():
    most = LIMIT.max_feerate_per_kw * 1124 // 1000 + 660 + SLACK
    assert rule_of(proposed(VALUE - most, 0, number=0, feerate=0)) is None
    assert rule_of(proposed(VALUE - most - 1, 0, number=0, feerate=0)) == TOO_MUCH


def test_a_feerate_has_a_highest():
    for feerate, rule in ((150_000, None), (150_001, TOO_MUCH)):
        assert rule_of(proposed(VALUE - FEE, 0, feerate=feerate)) == rule


def test_holds_no_more_than_the_channel():
    assert rule_of(proposed(VALUE, 0)) is None
    assert rule_of(proposed(VALUE - 1000, 1001)) == TOO_MUCH


def test_so_much_may_be_in_flight():
    most = LIMIT.max_htlc_value_sat
    setup = setup_of(is_outbound=False)
    for amounts, fits in (((most,), True), ((most - 5000, 5000), True), ((most - 5000, 5001), False)):
        content = proposed(0, 0, *(htlc(amount) for amount in amounts), setup=setup).content
        if fits:
            policy.require_htlc_value(content, LIMIT)
        else:
            with pytest.raises(Refused, match="over 16777216 sat"):
                policy.require_htlc_value(content, LIMIT)


# What is ours

GIVEN = "commitment-balance"
EDGE = LIMIT.max_dust_exposure_sat


@pytest.mark.parametrize("holder", [True, False])
@pytest.mark.parametrize("is_outbound", [True, False])
def test_what_is_ours_does_not_become_the_peers(holder, is_outbound):
    setup = setup_of(is_outbound=is_outbound)
    ours, theirs = (600_000 - FEE, 400_000) if is_outbound else (600_000, 400_000 - FEE)
    before = proposed(ours, theirs, setup=setup, holder=holder).content
    for given, rule in ((0, None), (EDGE, None), (EDGE + 1, GIVEN), (500_000, GIVEN), (-300_000, None)):
        item = proposed(ours - given, theirs + given, setup=setup, holder=holder)
        assert rule_of(item, before) == rule


@pytest.mark.parametrize("holder", [True, False])
def test_what_we_offer_is_still_ours_until_it_is_gone(holder):
    # Who holds the commitment offers what is `offered`.
    ours = htlc(300_000, offered=holder)
    with_it = proposed(300_000 - FEE - 172, 400_000, ours, holder=holder)
    without = proposed(600_000 - FEE, 400_000, holder=holder)
    paid = proposed(300_000 - FEE, 700_000, holder=holder)
    assert rule_of(with_it, without.content) is None
    assert rule_of(without, with_it.content) is None
    assert rule_of(paid, with_it.content) is None
    assert rule_of(paid, without.content) == GIVEN
    both = proposed(300_000 - FEE - 172, 400_000 - EDGE - 1, ours, holder=holder).content
    more = proposed(300_000 - FEE - 172 - EDGE - 1, 400_000, ours, holder=holder)
    assert rule_of(more, both) == GIVEN


@pytest.mark.parametrize("holder", [True, False])
def test_what_the_peer_offers_is_not_ours_to_give_back(holder):
    theirs = htlc(300_000, offered=not holder)
    with_it = proposed(600_000 - FEE - 172, 100_000, theirs, holder=holder)
    assert rule_of(proposed(600_000 - FEE, 400_000, holder=holder), with_it.content) is None
    assert rule_of(proposed(900_000 - FEE, 100_000, holder=holder), with_it.content) is None
    assert rule_of(proposed(400_000 - FEE, 600_000, holder=holder), with_it.content) == GIVEN


def test_of_two_equal_htlcs_only_the_one_that_is_gone_may_be_paid():
    """A payment in parts may use one hash, amount and expiry twice."""
    part = htlc(200_000)
    before = proposed(200_000 - FEE - 344, 400_000, part, part).content
    assert rule_of(proposed(200_000 - FEE - 172, 600_000, part), before) is None
    assert rule_of(proposed(1000, 800_000 - FEE - 172 - 1000, part), before) == GIVEN


def test_a_higher_fee_is_ours_to_pay_only_if_we_opened():
    dear = fees.commitment_fee(SETUP.format, 120_000, 0) + 660
    before = proposed(600_000 - FEE, 400_000).content
    assert dear > EDGE
    assert rule_of(proposed(600_000 - dear, 400_000, feerate=120_000), before) is None
    inbound = setup_of(is_outbound=False)
    before = proposed(600_000, 400_000 - FEE, setup=inbound).content
    item = proposed(600_000 - dear, 400_000, feerate=120_000, setup=inbound)
    assert rule_of(item, before) == GIVEN


# What is lost little by little


def lost(before: Proposed, after: Proposed, loss: Loss = NONE, now: int = NOW) -> Loss:
    return policy.check_balance(after, before.content, loss, UnixTime(now), LIMIT)


def paying(given: int, *htlcs: Htlc, holder: bool = True) -> Proposed:
    """A commitment of a channel that the peer opened, after so much was given away."""
    setup = setup_of(is_outbound=False)
    return proposed(600_000 - given, 300_000 + given, *htlcs, setup=setup, holder=holder)


@pytest.mark.parametrize("holder", [True, False])
def test_small_losses_add_up_to_a_limit(holder):
    loss, steps = NONE, EDGE // 30_000
    for step in range(steps):
        before, after = (paying(30_000 * at, holder=holder) for at in (step, step + 1))
        loss = lost(before, after, loss)
        assert 30_000 * (step + 1) == loss.sat
    before, after = (paying(30_000 * at, holder=holder) for at in (steps, steps + 1))
    assert rule_of(after, before.content, loss) == GIVEN
    assert rule_of(paying(EDGE, holder=holder), before.content, loss) is None
    assert rule_of(paying(EDGE + 1, holder=holder), before.content, loss) == GIVEN


def test_losses_wear_off_in_a_tenth_of_a_day():
    full = Loss(EDGE, NOW)
    assert rule_of(paying(1000), paying(0).content, full) == GIVEN
    assert EDGE == lost(paying(0), paying(EDGE // 2), full, NOW + DAY // 20).sat
    assert EDGE == lost(paying(0), paying(EDGE), full, NOW + DAY // 10).sat
    assert EDGE == lost(paying(0), paying(EDGE), full, NOW + 400 * DAY).sat


def test_a_clock_that_was_wrong_once_wears_nothing_off_and_holds_nothing_up():
    full = lost(paying(0), paying(EDGE))
    back = lost(paying(0), paying(0), full, NOW - 10 * DAY)
    assert back == Loss(EDGE, NOW - 10 * DAY)
    ahead = lost(paying(0), paying(EDGE), NONE, NOW + 36_500 * DAY)
    today = lost(paying(0), paying(0), ahead, NOW)
    assert EDGE == today.sat
    assert 0 == lost(paying(0), paying(0), today, NOW + DAY).sat


def test_who_is_at_the_limit_still_gets_what_is_owed():
    full = Loss(EDGE, NOW)
    assert rule_of(paying(0), paying(0).content, full) is None
    assert lost(paying(EDGE), paying(0), full) == Loss(0, NOW)


def test_small_payments_to_us_count_up_to_the_limit_and_for_a_while():
    credit = lost(paying(0), paying(-30_000))
    assert credit == Loss(-30_000, NOW)
    assert EDGE == lost(paying(-30_000), paying(EDGE), credit).sat
    most = lost(paying(0), paying(-2 * EDGE))
    assert most == Loss(-EDGE, NOW)
    assert lost(paying(0), paying(0), most, NOW + DAY) == Loss(0, NOW + DAY)


def test_an_htlc_that_we_received_covers_no_loss():
    theirs = htlc(200_000, offered=False)
    with_it = proposed(500_000, 200_000, theirs, setup=setup_of(is_outbound=False))
    received = proposed(700_000, 200_000, setup=setup_of(is_outbound=False))
    failed = proposed(500_000, 400_000, setup=setup_of(is_outbound=False))
    full = Loss(EDGE, NOW)
    assert lost(with_it, received, full) == full
    assert lost(with_it, failed, full) == full
    assert (
        lost(with_it, proposed(701_000, 199_000, setup=setup_of(is_outbound=False)), full).sat == EDGE - 1000
    )


@pytest.mark.parametrize("is_outbound", [True, False])
def test_an_htlc_of_the_peers_that_comes_and_goes_with_the_feerate_costs_nothing(is_outbound):
    """It has an output at one feerate and none at another."""
    setup = setup_of(STATIC, is_outbound=is_outbound)
    low, high = (fees.commitment_fee(setup.format, feerate, 0) for feerate in (1000, 12_000))
    theirs = htlc(8000, offered=False)
    ours, peers = 500_000, 400_000
    if is_outbound:
        shown = proposed(ours - low, peers, theirs, setup=setup)
        hidden = proposed(ours - high, peers, setup=setup, feerate=12_000)
    else:
        shown = proposed(ours, peers - low, theirs, setup=setup)
        hidden = proposed(ours, peers - high, setup=setup, feerate=12_000)
    loss = NONE
    for _ in range(50):
        loss = lost(shown, hidden, loss)
        loss = lost(hidden, shown, loss)
    assert 0 == loss.sat


@pytest.mark.parametrize(("feerate", "most"), [(1000, 200_000), (12_000, 1_000_000)])
def test_more_may_be_lost_where_more_of_a_payment_has_no_output(feerate, most):
    """Outputs of HTLCs in channels without anchors pay fees of their own."""
    setup = setup_of(STATIC, is_outbound=False)
    before = proposed(10**9, 0, setup=setup, feerate=feerate)
    for given, rule in ((most, None), (most + 1, GIVEN)):
        item = proposed(10**9 - given, given, setup=setup, feerate=feerate)
        with pytest.raises(Refused) if rule else contextlib.nullcontext():
            policy.check_balance(item, before.content, NONE, NOW, LIMIT)


# The first


def test_the_first_commitment_has_no_htlcs():
    with pytest.raises(Refused, match="has HTLCs"):
        policy.check_first(proposed(500_000, 0, htlc(10_000), number=0))


def test_the_first_commitment_gives_the_peer_what_we_push():
    setup = replace(SETUP, push_msat=5_000_999)
    policy.check_first(proposed(900_000, 5000, setup=setup, number=0))
    with pytest.raises(Refused, match="gives the peer 5001 sat, we push 5000 sat"):
        policy.check_first(proposed(900_000, 5001, setup=setup, number=0))
    inbound = setup_of(is_outbound=False)
    policy.check_first(proposed(0, 900_000, setup=inbound, number=0))
