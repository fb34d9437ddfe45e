"""Whole lives of a channel, by any valid moves, and a commitment as full as they come."""

from __future__ import annotations

import pytest
from helpers.one_channel import ANCHORS, STATIC, OneChannel, offered, received
from hypothesis import given, settings
from hypothesis import strategies as st

from signerd.core.wire import channel as channel_wire
from signerd.core.wire import codec
from signerd.core.wire.composites import Side

TYPES = pytest.mark.parametrize("channel_type", [STATIC, ANCHORS], ids=["static", "anchors"])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([253, 1000, 2500])), max_size=6),
    st.sampled_from([STATIC, ANCHORS]),
    st.booleans(),
)
def test_any_valid_life_is_answered(moves, channel_type, is_outbound):
    """HTLCs come and are paid, at changing feerates; every request goes over the wire's bytes."""
    channel = OneChannel(
        channel_type=channel_type, is_outbound=is_outbound, value_sat=2_000_000, push_msat=900_000_000
    ).open()
    pending: list = []
    for number, (ours, theirs, feerate) in enumerate(moves, start=1):
        held, given_away = channel.balances
        for htlc in pending:  # all that was pending is paid
            held += htlc.amount_msat * (htlc.side is Side.REMOTE)
            given_away += htlc.amount_msat * (htlc.side is Side.LOCAL)
        pending = [offered(10 * number + i, 700_000 + 9_000_000 * i) for i in range(ours)]
        pending += [received(10 * number + 5 + i, 800_000 + 8_000_000 * i) for i in range(theirs)]
        held -= sum(h.amount_msat for h in pending if h.side is Side.LOCAL)
        given_away -= sum(h.amount_msat for h in pending if h.side is Side.REMOTE)
        channel.feerate = feerate
        channel.balances = (held, given_away)
        for request in (
            channel.sign_remote(number, pending),
            channel.revocation(number - 1),
            channel.validate(number, pending),
            channel_wire.RevokeCommitmentTx(number - 1),
        ):
            channel.ask(codec.decode(codec.encode(request)))
        for which in range(len(channel.commitment(number, pending, holder=False).htlc_outputs())):
            channel.ask(channel.remote_htlc(number, pending, which))
    assert (len(moves) + 1, len(moves) + 1, len(moves)) == (
        channel.state.next_holder,
        channel.state.next_counterparty,
        channel.state.next_counterparty_revocation,
    )


@TYPES
def test_a_full_commitment_is_signed_and_validated(channel_type):
    """483 HTLCs a side (BOLT 2 max_accepted_htlcs)."""
    channel = OneChannel(channel_type=channel_type, value_sat=900_000_000, push_msat=400_000_000_000).open()
    htlcs = [offered(n, 2_000_000 + n) for n in range(483)]
    htlcs += [received(1000 + n, 2_000_000 + n, 700 + n) for n in range(483)]
    total = sum(h.amount_msat for h in htlcs[:483])
    held, given_away = channel.balances
    channel.balances = (held - total, given_away - total)
    channel.ask(channel.sign_remote(1, htlcs))
    channel.ask(channel.validate(1, htlcs))
    for which in (0, 482, 965):
        channel.ask(channel.remote_htlc(1, htlcs, which))
