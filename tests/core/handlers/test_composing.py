"""What we compose for the peer is what the peer composes for itself, and the other way round."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import ANCHORS, STATIC, OneChannel, offered, received

from signerd.core.handlers import composing
from signerd.core.handlers.composing import Composer
from signerd.core.tx import commitment, script
from signerd.core.tx.transaction import Output
from signerd.core.wire.composites import Side
from signerd.errors import Refused

HTLCS = (offered(1, 50_000_000), received(2, 60_000_000, 600))


def mirrored(channel: OneChannel) -> tuple[Composer, list]:
    """The same channel as the peer sees it: its keys, the sides exchanged."""
    setup = replace(
        channel.setup,
        is_outbound=not channel.setup.is_outbound,
        holder_delay=channel.setup.counterparty_delay,
        counterparty_delay=channel.setup.holder_delay,
        counterparty=channel.composer.keys.basepoints,
    )
    other = {Side.LOCAL: Side.REMOTE, Side.REMOTE: Side.LOCAL}
    return Composer(channel.theirs, setup), [replace(htlc, side=other[htlc.side]) for htlc in HTLCS]


@pytest.mark.parametrize("channel_type", [STATIC, ANCHORS])
@pytest.mark.parametrize("is_outbound", [True, False])
def test_both_sides_compose_the_same_commitments(channel_type, is_outbound):
    channel = OneChannel(channel_type=channel_type, is_outbound=is_outbound)
    ours = channel.composer
    theirs, exchanged = mirrored(channel)
    seen = replace(channel.funding, counterparty_key=ours.keys.basepoints.funding)
    values = {"to_broadcaster_sat": 500_000, "to_other_sat": 300_000}
    assert ours.obscuring_factor == theirs.obscuring_factor
    for number in (0, 7):
        point = channel.point(number)
        known = replace(ours.counterparty(channel.funding, number, point, HTLCS), **values)
        own = replace(theirs.holder(seen, number, exchanged), **values)
        assert known == own
        point = ours.keys.per_commitment_point(number)
        known = replace(theirs.counterparty(seen, number, point, exchanged), **values)
        assert known == replace(ours.holder(channel.funding, number, HTLCS), **values)


def test_the_funding_output_needs_both_keys():
    channel = OneChannel()
    ours, funding = channel.composer, channel.funding
    two_of_two = script.funding(funding.counterparty_key, ours.keys.basepoints.funding)
    assert Output(funding.value_sat, script.p2wsh(two_of_two)) == ours.funding_output(funding)


def test_a_content_that_is_remembered_composes_the_same_transaction():
    channel = OneChannel(push_msat=400_000_000)
    channel.balances = (550_000_000, 340_000_000)
    composed = channel.commitment(3, HTLCS, holder=True)
    content = composing.content_of(composed, channel.feerate)
    again = composing.compose(channel.composer.holder(channel.funding, 3), content)
    assert (composed.tx, composed.txid) == (again.tx, content.txid)
    assert [item.htlc for _, item in composed.htlc_outputs()] == list(content.htlcs)


def test_says_what_differs():
    channel = OneChannel()
    composed = channel.commitment(0, holder=True)
    other = replace(composed.tx, locktime=5)
    psbt = composing.read(channel.tx_of(composed))[1]
    assert composed.tx == composing.recompose(composed.terms, composed.tx, psbt).tx
    with pytest.raises(Refused, match="not commitment 0 of the channel: the locktime is 5, expected"):
        composing.recompose(composed.terms, other, psbt)


@pytest.mark.parametrize("lease", [{"to_remote_csv": 4032}, {"to_self_delay": 4032}])
def test_says_that_a_channel_is_leased(lease):
    channel = OneChannel(push_msat=400_000_000)
    terms = channel.commitment(0, holder=True).terms
    tx, psbt = composing.read(channel.tx_of(commitment.compose(replace(terms, **lease))))
    with pytest.raises(Refused) as caught:
        composing.recompose(terms, tx, psbt)
    assert caught.value.rule == "lease-unsupported"
