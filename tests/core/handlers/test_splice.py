"""No splice takes from us: its first commitments, what the wallet adds, and the fee."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from helpers import plain_nodes, vectors
from helpers.family_player import context_of
from helpers.one_channel import OneChannel, bitcoin_tx, offered, received

from signerd.core.keys import secp256k1
from signerd.core.policy import splice
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState, Content, Funding
from signerd.core.tx import script
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import onchain as wire
from signerd.units import UnixTime

RULE = "splice-balance"
OURS, THEIRS = 600_000, 400_000
"""Satoshi before a splice, but for the fee."""
SOMEBODY = script.p2wpkh(b"\x02" * 33)
SIDES = pytest.mark.parametrize("holder", [True, False], ids=["ours", "theirs"])


def channel_of(*, is_outbound: bool = True) -> OneChannel:
    """At commitment 1, about to be spliced."""
    pushed = THEIRS if is_outbound else OURS
    channel = OneChannel(
        dialect=Dialect.CORE_LIGHTNING, is_outbound=is_outbound, push_msat=1000 * pushed
    ).open()
    channel.step(1)
    return channel


def moved(channel: OneChannel, value: int, key: bytes | None = None) -> Funding:
    funding = Funding(Outpoint(b"\x08" * 32, 0), value, key or channel.funding.counterparty_key)
    channel.ask(channel.set_up(funding))
    return funding


def first(channel: OneChannel, funding: Funding, ours: int, *, holder: bool, htlcs=(), number=1) -> Any:
    """The request for a commitment of the new funding that leaves us so much, and the peer all else."""
    channel.balances = (1000 * ours, 1000 * (funding.value_sat - ours))
    request = channel.validate if holder else channel.sign_remote
    return request(number, htlcs, funding=funding)


@SIDES
@pytest.mark.parametrize("is_outbound", [True, False])
@pytest.mark.parametrize(
    ("value", "least"),
    [(1_300_000, OURS), (1_000_000, OURS), (900_000, OURS - 100_000), (300_000, 0)],
    ids=["grows", "same size", "shrinks", "shrinks by more than the peer has"],
)
def test_our_balance_falls_by_what_leaves_the_channel_at_most(value, least, is_outbound, holder):
    channel = channel_of(is_outbound=is_outbound)
    funding = moved(channel, value)
    if least:
        for ours in (least, least - splice.ALLOWED_SAT):
            channel.answer(first(channel, funding, ours, holder=holder))
        short = first(channel, funding, least - splice.ALLOWED_SAT - 1, holder=holder)
        assert RULE == channel.refusal(short)
    channel.answer(first(channel, funding, least + 50_000, holder=holder))


@SIDES
@pytest.mark.parametrize("pending", [offered, received])
def test_a_splices_first_commitment_has_the_htlcs_in_force(pending, holder):
    channel, htlcs = channel_of(), [pending(1, 50_000_000)]
    mine = 50_000 * (pending is offered)
    channel.step(2, htlcs, (1000 * (OURS - mine), 1000 * (THEIRS - 50_000 + mine)))
    funding = moved(channel, 1_200_000)
    channel.balances = (channel.balances[0] + 200_000_000, channel.balances[1])
    request = channel.validate if holder else channel.sign_remote
    channel.answer(request(2, htlcs, funding=funding))
    for other in ([], [pending(2, 50_000_000)]):
        assert RULE == channel.refusal(request(2, other, funding=funding))


@SIDES
def test_a_splice_begins_with_the_commitment_in_force(holder):
    """A later one would be compared with nothing."""
    channel = channel_of()
    funding = moved(channel, 1_200_000)
    early = first(channel, funding, OURS + 200_000, holder=holder, number=2)
    assert channel.refusal(early) == "splice-number"
    channel.ask(first(channel, funding, OURS + 200_000, holder=holder))
    channel.ask(early)


def test_what_a_splice_has_paid_in_stays_ours_in_the_next_commitment():
    channel = channel_of()
    funding = moved(channel, 1_200_000)
    for holder in (True, False):
        channel.ask(first(channel, funding, OURS + 200_000, holder=holder))
    for holder in (True, False):
        later = first(channel, funding, OURS, holder=holder, number=2)
        assert channel.refusal(later) == "commitment-balance"


def test_a_peer_may_bring_a_new_funding_key_to_a_splice():
    channel = channel_of()
    rotated = channel.peer.channel(bytes(channel.node.node_id), 99)
    funding = moved(channel, 1_200_000, rotated.basepoints.funding)
    reply = channel.ask(first(channel, funding, OURS + 200_000, holder=False))
    tx = channel.commitment(1, holder=False, funding=funding).tx
    digest = channel.composer.funding_digest(tx, funding)
    ours = channel.composer.keys.basepoints.funding
    assert secp256k1.verify_compact(ours, reply.signature.signature, digest)
    moving = spending(channel, funding.value_sat, channel.composer.funding_output(funding).script)
    channel.ask(moving)


def spending(channel: OneChannel, value: int, carried: bytes, *, stated: bool = True) -> wire.SignSpliceTx:
    """A splice of the channel with 300,000 sat of somebody's."""
    inputs = (Input(channel.funding.outpoint, 0), Input(Outpoint(b"\x0a" * 32, 3), 0))
    tx = Transaction(2, inputs, (Output(value, carried),))
    added = Output(300_000, SOMEBODY) if stated else None
    spent = [channel.composer.funding_output(channel.funding), added]
    return wire.SignSpliceTx(bitcoin_tx(tx, spent), channel.funding.counterparty_key, 0)


@pytest.mark.parametrize(
    ("index", "value", "fits"), [(0, 1_299_000, True), (0, 1_299_001, False), (1, 1_299_000, False)]
)
def test_a_splice_has_the_output_that_its_commitments_spend(index, value, fits):
    channel = channel_of()
    request = spending(channel, 1_299_000, channel.composer.funding_output(channel.funding).script)
    told = Outpoint(Transaction.parse(request.tx.raw).txid, index)
    channel.ask(channel.set_up(Funding(told, value, channel.funding.counterparty_key)))
    if fits:
        channel.answer(request)
    else:
        assert channel.refusal(request) == "splice-funding"


def test_a_splice_burns_no_more_than_a_fee():
    channel = channel_of()
    carried = channel.composer.funding_output(channel.funding).script
    channel.answer(spending(channel, 1_299_000, carried))
    for value in (1_000_000, 1_300_001):
        assert channel.refusal(spending(channel, value, carried)) == "policy-onchain-fee-range"
    assert channel.refusal(spending(channel, 1_299_000, carried, stated=False)) == "onchain-utxo-missing"


# What the wallet adds: a real node's splice


NODE = vectors.load("cln_messages")["messages"]["lightningd"]["runs"][0]["nodes"][0]
SPLICED = ChannelId(bytes.fromhex(NODE["steps"][145]["on"]["node_id"]), 1)
ADDED = 100_000


def before_the_last_signature() -> tuple[Signer, MemoryBook, SigningRequest]:
    """All but the wallet's signature is there: the wallet adds 100,000 sat."""
    signer, book = Signer(plain_nodes.keys_of(NODE), "regtest", Dialect.CORE_LIGHTNING), MemoryBook()
    steps = NODE["steps"]
    last = max(number for number, step in enumerate(steps[:160]) if step["type"] == 7)
    requests = [SigningRequest(1, bytes.fromhex(step["raw"]), context_of(step["on"])) for step in steps]
    for request in requests[:last]:
        outcome = signer.handle(request, book, UnixTime(0))
        if isinstance(outcome, Signed):
            book.apply(outcome.changes)
    return signer, book, requests[last]


def give(channel: ChannelState, amount: int, *, holder: bool) -> ChannelState:
    """As if the new funding's commitment of one side had left the peer so much more of ours."""
    contents = channel.holder if holder else channel.signed.contents
    (old, before), (new, content) = contents
    ours, theirs = content.to_broadcaster_sat, content.to_other_sat
    changed = (ours - amount, theirs + amount) if holder else (ours + amount, theirs - amount)
    content = replace(content, to_broadcaster_sat=changed[0], to_other_sat=changed[1])
    contents = ((old, before), (new, content))
    return (
        replace(channel, holder=contents)
        if holder
        else replace(channel, signed=replace(channel.signed, contents=contents))
    )


@SIDES
def test_what_the_wallet_adds_has_to_be_ours_after_the_splice(holder):
    signer, book, request = before_the_last_signature()
    assert isinstance(signer.handle(request, book, UnixTime(0)), Signed)
    whole = book.channels[SPLICED]
    book.channels[SPLICED] = give(whole, splice.ALLOWED_SAT, holder=holder)
    assert isinstance(signer.handle(request, book, UnixTime(0)), Signed)
    for amount in (splice.ALLOWED_SAT + 1, ADDED):
        book.channels[SPLICED] = give(whole, amount, holder=holder)
        refused = signer.handle(request, book, UnixTime(0))
        assert isinstance(refused, Refusal)
        assert RULE == refused.rule


def test_the_wallet_adds_nothing_before_both_sides_have_a_commitment_for_it():
    signer, book, request = before_the_last_signature()
    whole = book.channels[SPLICED]
    for part in (
        replace(whole, signed=replace(whole.signed, contents=whole.signed.contents[:1])),
        replace(whole, holder=whole.holder[1:]),
    ):
        book.channels[SPLICED] = part
        refused = signer.handle(request, book, UnixTime(0))
        assert isinstance(refused, Refusal)
        assert RULE == refused.rule


def test_content_has_the_same_share_from_both_sides():
    channel = channel_of()
    composed = Content(OURS, THEIRS, (), 0)
    mirrored = Content(THEIRS, OURS, (), 0)
    ours, theirs = (
        splice.share(splice.Proposed(channel.setup, channel.funding, 1, content, holder))
        for content, holder in ((composed, True), (mirrored, False))
    )
    assert ours == theirs == OURS
