"""While a splice waits for its blocks: what it gave us at first stays ours, in whatever order it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import OneChannel, bitcoin_tx, offered, received

from signerd.core.policy import splice
from signerd.core.state.channel import Funding
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import channel as wire
from signerd.core.wire import onchain

OURS, VALUE, ADDED = 600_000, 1_000_000, 200_000
"""Satoshi before the splice, but for the fee, and what we add."""
RULE = "splice-balance"
OPENERS = pytest.mark.parametrize("is_outbound", [True, False], ids=["we opened", "they opened"])
SIDES = pytest.mark.parametrize("holder", [True, False], ids=["ours", "theirs"])


def plain(*, is_outbound: bool = True) -> OneChannel:
    channel = OneChannel(
        dialect=Dialect.CORE_LIGHTNING,
        is_outbound=is_outbound,
        push_msat=1000 * (VALUE - OURS if is_outbound else OURS),
    )
    return channel.open()


def moved(channel: OneChannel, value: int, txid: bytes = b"\x08" * 32) -> Funding:
    funding = Funding(Outpoint(txid, 0), value, channel.funding.counterparty_key)
    channel.ask(channel.set_up(funding))
    return funding


def commitment(channel: OneChannel, number: int, ours: int, funding: Funding, *, holder: bool, htlcs=()):
    """The request for one that leaves us so much, and the peer all else that is in no HTLC."""
    pending = sum(htlc.amount_msat for htlc in htlcs)
    channel.balances = (1000 * ours, 1000 * (funding.value_sat - ours) - pending)
    return (channel.validate if holder else channel.sign_remote)(number, htlcs, funding=funding)


def begin(channel: OneChannel, number: int, ours: int, funding: Funding) -> None:
    """Both sides' first commitments."""
    for holder in (True, False):
        channel.ask(commitment(channel, number, ours, funding, holder=holder))


def advance(channel: OneChannel, number: int, ours: int = OURS, htlcs=()) -> None:
    """The funding in force goes on alone."""
    pending = sum(htlc.amount_msat for htlc in htlcs)
    channel.step(number, htlcs, (1000 * ours, 1000 * (channel.funding.value_sat - ours) - pending))


def spliced(value: int, ours: int, *, is_outbound: bool = True) -> tuple[OneChannel, Funding]:
    """At commitment 1, of both fundings."""
    channel = plain(is_outbound=is_outbound)
    advance(channel, 1)
    funding = moved(channel, value)
    begin(channel, 1, ours, funding)
    return channel, funding


def spending(channel: OneChannel, spent: Funding, value: int) -> tuple[onchain.SignSpliceTx, Funding]:
    """A splice without a wallet's inputs, and where it carries the channel."""
    script = channel.composer.funding_output(spent).script
    tx = Transaction(2, (Input(spent.outpoint, 0),), (Output(value, script),))
    request = onchain.SignSpliceTx(
        bitcoin_tx(tx, [channel.composer.funding_output(spent)]), spent.counterparty_key, 0
    )
    return request, Funding(Outpoint(tx.txid, 0), value, spent.counterparty_key)


@OPENERS
@SIDES
@pytest.mark.parametrize(
    ("value", "ours"),
    [(VALUE + ADDED, OURS + ADDED), (VALUE - ADDED, OURS), (VALUE - ADDED, OURS - ADDED)],
    ids=["we add", "the peer takes out", "we take out"],
)
@pytest.mark.parametrize("number", [2, 4], ids=["the next", "after two that the splice left out"])
def test_a_later_commitment_of_a_splice_keeps_to_the_one_in_force(number, value, ours, holder, is_outbound):
    """The funding in force goes first: nothing is left to compare the splice's with but that."""
    channel, funding = spliced(value, ours, is_outbound=is_outbound)
    for between in range(2, number + 1):
        advance(channel, between)
    for short in (0, splice.ALLOWED_SAT):
        channel.answer(commitment(channel, number, ours - short, funding, holder=holder))
    for short in (splice.ALLOWED_SAT + 1, ADDED):
        assert RULE == channel.refusal(commitment(channel, number, ours - short, funding, holder=holder))


@SIDES
def test_small_differences_do_not_add_up(holder):
    channel, funding = spliced(VALUE + ADDED, OURS + ADDED)
    for number in (2, 3, 4):
        advance(channel, number)
        least = OURS + ADDED - splice.ALLOWED_SAT
        assert RULE == channel.refusal(commitment(channel, number, least - 1, funding, holder=holder))
        channel.ask(commitment(channel, number, least, funding, holder=holder))


@OPENERS
@pytest.mark.parametrize("make", [offered, received])
def test_payments_go_on_while_a_splice_waits(make, is_outbound):
    channel, funding = spliced(VALUE + ADDED, OURS + ADDED, is_outbound=is_outbound)
    mine, sign = (0, 1) if make is received else (50_000, -1)
    steps = [(OURS - mine, [make(1, 50_000_000)]), (OURS + 50_000 * sign, []), (OURS + 50_000 * sign, [])]
    for number, (ours, htlcs) in enumerate(steps, 2):
        advance(channel, number, ours, htlcs)
        for holder in (True, False):
            channel.ask(commitment(channel, number, ours + ADDED, funding, holder=holder, htlcs=htlcs))
        # The opener pays another feerate in both.
        channel.feerate += 500


@OPENERS
@SIDES
def test_a_lock_reckons_anew(holder, is_outbound):
    """Two attempts at a splice: what they gave us is told apart by the one that is locked in."""
    channel, chosen = spliced(VALUE + ADDED, OURS + ADDED, is_outbound=is_outbound)
    rival = moved(channel, VALUE + 2 * ADDED, b"\x0b" * 32)
    begin(channel, 1, OURS + 2 * ADDED, rival)
    old = channel.funding
    # As if the splice were signed: its transaction is not what is looked at here.
    channel.book.channels[channel.id] = channel.state.sign_splice(chosen.outpoint.txid)
    channel.ask(wire.LockOutpoint(chosen.outpoint.txid, 0))
    assert chosen.outpoint == channel.state.in_force
    channel.funding = chosen
    advance(channel, 2, OURS + ADDED)
    for funding, ours in ((rival, OURS + 2 * ADDED), (old, OURS)):
        channel.answer(commitment(channel, 2, ours, funding, holder=holder))
        short = commitment(channel, 2, ours - splice.ALLOWED_SAT - 1, funding, holder=holder)
        assert RULE == channel.refusal(short)


# At commitment 0


@OPENERS
@pytest.mark.parametrize("value", [800_000, VALUE, 1_300_000])
def test_an_opening_of_both_sides_may_be_replaced_by_one_with_other_amounts(value, is_outbound):
    channel = plain(is_outbound=is_outbound)
    funding = moved(channel, value)
    begin(channel, 0, 300_000, funding)
    channel.ask(wire.LockOutpoint(funding.outpoint.txid, 0))
    replaced, channel.funding = channel.funding, funding
    advance(channel, 1, 300_000)
    again = commitment(channel, 1, 0, replaced, holder=False)
    assert channel.refusal(again) == "splice-number"


@SIDES
def test_a_channel_that_has_paid_nothing_yet_is_not_spliced_away(holder):
    """Its first commitments look like those of an opening that is replaced; the splice does not."""
    channel = plain()
    splicing, funding = spending(channel, channel.funding, VALUE - 1000)
    channel.ask(channel.set_up(funding))
    channel.ask(commitment(channel, 0, OURS - 1000, funding, holder=not holder))
    channel.answer(splicing)
    taking = commitment(channel, 0, 0, funding, holder=holder)
    before = channel.state
    channel.ask(taking)
    assert RULE == channel.refusal(splicing)
    channel.book.channels[channel.id] = before
    channel.ask(splicing)
    assert RULE == channel.refusal(taking)


def test_no_lock_without_a_splice_replaces_what_a_signed_splice_is_compared_with():
    channel = plain()
    worthless = moved(channel, 10_000)
    begin(channel, 0, 0, worthless)
    splicing, funding = spending(channel, channel.funding, VALUE - 1000)
    channel.ask(splicing)
    assert channel.answer(wire.LockOutpoint(worthless.outpoint.txid, 0)).changes.empty
    channel.ask(channel.set_up(funding))
    assert RULE == channel.refusal(commitment(channel, 0, 0, funding, holder=False))


# What a splice spends


def test_a_splice_spends_the_funding_in_force():
    """What was added to the one before is not in the commitments that the next one is compared with."""
    channel, funding = spliced(VALUE + ADDED, OURS + ADDED)
    beyond, _ = spending(channel, funding, VALUE + ADDED - 1000)
    assert channel.refusal(beyond) == "splice-funding"
    splicing, _ = spending(channel, channel.funding, VALUE - 1000)
    channel.answer(splicing)
    tx = Transaction.parse(splicing.tx.raw)
    both = replace(tx, inputs=(*tx.inputs, Input(funding.outpoint, 0)))
    spent = [channel.composer.funding_output(known) for known in (channel.funding, funding)]
    request = onchain.SignSpliceTx(bitcoin_tx(both, spent), funding.counterparty_key, 0)
    assert channel.refusal(request) == "splice-funding"


def test_the_signature_of_a_splice_is_told_again_after_its_lock():
    channel = plain()
    advance(channel, 1)
    splicing, funding = spending(channel, channel.funding, VALUE - 1000)
    channel.ask(channel.set_up(funding))
    begin(channel, 1, OURS - 1000, funding)
    reply = channel.ask(splicing)
    channel.ask(wire.LockOutpoint(funding.outpoint.txid, 0))
    assert funding.outpoint == channel.state.in_force
    assert reply == channel.ask(splicing)
