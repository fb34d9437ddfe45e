"""Well formed requests that ask for something wrong: a good one with one thing changed is refused by name.

A `Good` sees for itself that a refusal leaves the state as it was (tests/fuzz/witness.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import good_requests
from helpers.good_requests import Good
from helpers.spend import ANCHOR, COMPOSED, MINGLE, SPENDING, SWEEPS, Spend, spends

from signerd.core import handlers
from signerd.core.requests import Signed, SigningRequest
from signerd.core.state.book import Changes, ChannelId, MemoryBook
from signerd.core.tx.transaction import MAX_MONEY
from signerd.core.wire.composites import Side

ABOUT_ITS_CONTEXT = (2, 12, 13, 14, 16, 18, 19, 20, 21, 22, 29, 31, 32, 35, 36, 37, 40)
NAMES_ITS_CHANNEL = (4, 5, 10, 142, 143, 144, 146, 147, 149)
NEEDS_NO_CHANNEL = (24, 26, 30, 34)
"""Answered for any peer or context: an old script, an offer, a new channel, one that is gone."""


@pytest.fixture(scope="module")
def good():
    return good_requests.by_type()


def stranger(good) -> bytes:
    """A point that is nobody's peer."""
    return good[1].message.point


def test_every_message_is_of_one_kind_or_about_no_channel_at_all(good):
    with_transaction = {n for n, item in good.items() if {"tx", "psbt"} & set(dir(item.message))}
    assert with_transaction == set(SPENDING)
    about_a_channel = {
        n for n, item in good.items() if hasattr(item.message, "peer_id") or item.request.context is not None
    }
    assert about_a_channel == {*ABOUT_ITS_CONTEXT, *NAMES_ITS_CHANNEL, *NEEDS_NO_CHANNEL}
    assert about_a_channel < handlers.ANSWERED


# Amounts


def test_refuses_outputs_that_are_negative_or_more_than_all_money(good):
    for spend in spends(good):
        for index in range(len(spend.tx.outputs)):
            for value in (2**64 - 1, 2**63, MAX_MONEY + 1):
                refusal = spend.with_value(index, value).refusal()
                assert refusal.malformed
                assert "exceed" in refusal.reason


OVERSPENT = {
    "policy-htlc-other",
    "policy-onchain-fee-range",
    "policy-onchain-format-standard",
    "sweep-fee-range",
}
"""By which rules an only output is refused that holds more than what is spent."""


def test_refuses_outputs_that_are_together_more_than_all_money(good):
    for spend in spends(good):
        if len(spend.tx.outputs) > 1:
            refusal = spend.with_value(0, MAX_MONEY).refusal()
            assert (refusal.malformed, "exceed" in refusal.reason) == (True, True)
        else:
            assert spend.with_value(0, MAX_MONEY).refusal().rule in OVERSPENT


def test_refuses_a_composed_transaction_with_an_output_of_dust(good):
    for number in COMPOSED:
        spend = Spend.of(good[number])
        for index in range(len(spend.tx.outputs)):
            for value in (0, 1, 329):
                assert spend.with_value(index, value).refusal().rule in (
                    "policy-commitment",
                    "policy-htlc-other",
                )


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"channel_value": 0}, "policy-funding-max"),
        ({"channel_value": 2**63}, "policy-funding-max"),
        ({"channel_value": 2**64 - 1}, "policy-funding-max"),
        ({"push_value": 2**64 - 1}, "policy-routing-balanced"),
        ({"local_to_self_delay": 0}, "policy-channel-contest-delay-range-counterparty"),
        ({"local_to_self_delay": 65535}, "policy-channel-contest-delay-range-counterparty"),
        ({"remote_to_self_delay": 0}, "policy-channel-contest-delay-range-holder"),
        ({"remote_to_self_delay": 65535}, "policy-channel-contest-delay-range-holder"),
        ({"channel_type": b""}, "policy-channel-safe-type"),
        ({"local_shutdown_script": b"\x51"}, "policy-mutual-destination-allowlisted"),
        ({"remote_shutdown_script": b"\x51" * 84}, "channel-setup-size"),
    ],
    ids=str,
)
def test_refuses_parameters_out_of_their_range(good, changes, rule):
    request = good[31]
    stub = request.witness.copy()
    channel_id = ChannelId(request.request.context.node_id, request.request.context.dbid)
    stub.book.apply(Changes(channels={channel_id: None}))
    stub.book.apply(Changes(channels={channel_id: type(request.witness.book.channels[channel_id])()}))
    assert rule == replace(request, witness=stub).refusal(request.but(**changes)).rule


# HTLCs


def with_htlcs(request: Good, change) -> SigningRequest:
    return request.but(htlcs=tuple(change(request.message.htlcs)))


BAD_HTLCS = {
    "none": (lambda items: (), "policy-commitment"),
    "one too few": (lambda items: items[1:], "policy-commitment"),
    "one twice": (lambda items: (*items, items[0]), "policy-commitment"),
    "over the limit": (lambda items: items[:1] * 1001, "policy-commitment-htlc-count-limit"),
    "an amount of nothing": (
        lambda items: (replace(items[0], amount_msat=0), *items[1:]),
        "policy-commitment",
    ),
    "a negative amount": (
        lambda items: (replace(items[0], amount_msat=2**64 - 1), *items[1:]),
        "policy-commitment",
    ),
    "more than all money": (
        lambda items: (replace(items[0], amount_msat=MAX_MONEY * 1000 + 1000), *items[1:]),
        "policy-commitment",
    ),
    "an expiry that is a time": (
        lambda items: (replace(items[0], cltv_expiry=2**32 - 1), *items[1:]),
        "policy-commitment-htlc-cltv-range",
    ),
    "the other side's": (
        lambda items: (replace(items[0], side=type(items[0].side)(1 - items[0].side)), *items[1:]),
        "policy-commitment",
    ),
}


@pytest.mark.parametrize("number", [19, 35])
@pytest.mark.parametrize("what", BAD_HTLCS)
def test_refuses_a_commitment_whose_htlcs_are(good, number, what):
    change, rule = BAD_HTLCS[what]
    assert len(good[number].message.htlcs) >= 2
    assert good[number].refusal(with_htlcs(good[number], change)).rule == rule


@pytest.mark.parametrize(("number", "payer"), [(19, Side.LOCAL), (35, Side.REMOTE)])
def test_refuses_another_expiry_of_an_htlc_that_its_broadcaster_receives(good, number, payer):
    """Only that one is in the commitment's script."""

    def later(items):
        return (replace(item, cltv_expiry=item.cltv_expiry + (item.side is payer)) for item in items)

    assert payer in {item.side for item in good[number].message.htlcs}
    assert good[number].refusal(with_htlcs(good[number], later)).rule == "policy-commitment"


@pytest.mark.parametrize("number", [19, 35])
def test_the_order_in_which_htlcs_come_changes_nothing(good, number):
    request = good[number]
    backwards = request.witness.copy().ask(with_htlcs(request, reversed))
    assert backwards == request.witness.copy().ask(request.request)
    assert isinstance(backwards, Signed)


# Contexts and channels


@pytest.mark.parametrize("number", ABOUT_ITS_CONTEXT)
def test_refuses_the_context_of_another_channel(good, number):
    request = good[number].request
    context = request.context
    for other in (
        replace(context, dbid=context.dbid + 77),
        replace(context, dbid=2**64 - 1),
        replace(context, node_id=stranger(good)),
    ):
        assert good[number].refusal(replace(request, context=other)).rule == "channel-unknown"
    for none in (None, replace(context, dbid=0)):
        assert good[number].refusal(replace(request, context=none)).rule in (
            "no-channel-context",
            "permission",
        )
    for broken in (context.node_id[:-1], b"", b"\x02" + b"\xff" * 32, context.node_id + b"\x00"):
        assert good[number].refusal(replace(request, context=replace(context, node_id=broken))).malformed


@pytest.mark.parametrize("number", NAMES_ITS_CHANNEL)
def test_refuses_another_channel_in_the_message(good, number):
    request = good[number]
    for changes in (
        {"dbid": request.message.dbid + 77},
        {"dbid": 0},
        {"dbid": 2**64 - 1},
        {"peer_id": stranger(good)},
        {"peer_id": bytes(33)},
    ):
        assert request.refusal(request.but(**changes)).rule == "channel-unknown"


def channel_of(request: Good) -> ChannelId:
    if request.message.TYPE in ABOUT_ITS_CONTEXT:
        return ChannelId(request.request.context.node_id, request.request.context.dbid)
    return ChannelId(request.message.peer_id, request.message.dbid)


def beside(request: Good, change) -> Good:
    """The same, when something else has happened to its channel."""
    witness = request.witness.copy()
    channel_id = channel_of(request)
    witness.book.apply(Changes(channels={channel_id: change(witness.book.channels[channel_id])}))
    return replace(request, witness=witness)


@pytest.mark.parametrize("number", [*ABOUT_ITS_CONTEXT, *NAMES_ITS_CHANNEL])
def test_refuses_what_is_about_an_unknown_channel(good, number):
    witness = replace(good[number].witness, book=MemoryBook(), counters={})
    request = replace(good[number], witness=witness)
    assert request.refusal(request.request).rule == "channel-unknown"


@pytest.mark.parametrize("number", [19, 35])
def test_refuses_a_new_commitment_of_a_channel_that_is_closed_or_forgotten(good, number):
    for change in (
        lambda channel: channel.close_mutually(),
        lambda channel: channel.publish_holder(channel.next_holder - 1),
        lambda channel: channel.forget(),
    ):
        request = beside(good[number], change)
        assert request.refusal(request.request).rule == "channel-closing"


def test_refuses_to_revoke_what_was_signed_for_the_chain(good):
    request = beside(good[40], lambda channel: channel.publish_holder(channel.next_holder - 1))
    assert request.refusal(request.request).rule == "revoke-published"


@pytest.mark.parametrize("number", [5, *SWEEPS, 16, 20, 146, ANCHOR, MINGLE])
def test_what_a_forgotten_channel_has_on_chain_can_still_be_brought_home(good, number):
    request = beside(good[number], lambda channel: channel.forget())
    assert isinstance(request.witness.ask(request.request), Signed)
