"""A channel as such: new, set up, asked for its points, spliced, forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import ANCHORS, DBID, STATIC, WALLET_INDEX, OneChannel

from signerd.core.state.book import ChannelId
from signerd.core.state.channel import ChannelState, Funding
from signerd.core.tx import script
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint
from signerd.core.wire import channel as wire
from signerd.errors import MalformedMessage, Refused


@pytest.fixture
def stub() -> OneChannel:
    channel = OneChannel()
    channel.ask(channel.new(), context=False)
    return channel


@pytest.fixture
def ready(stub) -> OneChannel:
    stub.ask(stub.set_up())
    return stub


@pytest.fixture
def spliceable() -> OneChannel:
    return OneChannel(dialect=Dialect.CORE_LIGHTNING).open()


def test_a_new_channel_is_a_stub_and_stays_what_it_is(stub):
    assert ChannelState() == stub.state
    stub.ask(stub.set_up())
    before = stub.state
    assert stub.answer(stub.new(), context=False).changes.empty
    assert before is stub.state


def test_a_new_channel_may_have_a_lower_number_than_another(stub):
    stub.ask(wire.NewChannel(bytes(stub.node.node_id), DBID - 1), context=False)
    assert 2 == len(stub.book.channels)


def test_refuses_a_new_channel_with_no_peer_or_no_number(stub):
    with pytest.raises(MalformedMessage, match="id of the channel's peer"):
        stub.answer(wire.NewChannel(b"\x02" + bytes(32), 9), context=False)
    assert stub.refusal(wire.NewChannel(stub.id.peer_id, 0), context=False) == "channel-reused"


FORGET = wire.ForgetChannel


def test_a_forgotten_stub_is_gone_and_never_comes_back(stub):
    stub.ask(FORGET(stub.id.peer_id, DBID), context=False)
    assert stub.book.channel(stub.id) is None
    assert stub.refusal(stub.new(), context=False) == "channel-reused"
    assert stub.refusal(wire.NewChannel(bytes(stub.node.node_id), DBID), context=False) == "channel-reused"
    assert stub.refusal(wire.GetPerCommitmentPoint(0)) == "channel-unknown"


def test_a_forgotten_channel_is_remembered_as_closed():
    """Its outputs may still be on chain; its per-commitment secrets must not be used by another."""
    channel = OneChannel().open()
    channel.ask(FORGET(channel.id.peer_id, DBID), context=False)
    assert channel.answer(FORGET(channel.id.peer_id, DBID), context=False).changes.empty
    assert channel.refusal(channel.new(), context=False) == "channel-reused"
    assert channel.refusal(channel.sign_remote(1)) == "channel-closing"
    assert channel.funding_signature_fits(
        channel.ask(channel.publish(0), context=False), channel.commitment(0, holder=True).tx
    )


def test_forgetting_what_is_not_known_changes_nothing(stub):
    assert stub.answer(FORGET(stub.id.peer_id, DBID + 1), context=False).changes.empty


# Keys and points


def test_tells_the_basepoints_in_the_order_of_the_wire(stub):
    reply = stub.ask(wire.GetChannelBasepoints(stub.id.peer_id, DBID), context=False)
    ours, told = stub.composer.keys.basepoints, reply.basepoints
    assert (ours.revocation, ours.payment) == (told.revocation, told.payment)
    assert (ours.htlc, ours.delayed, ours.funding) == (told.htlc, told.delayed_payment, reply.funding_pubkey)


def test_tells_no_basepoints_of_an_unknown_channel(stub):
    unknown = wire.GetChannelBasepoints(stub.id.peer_id, DBID + 1)
    assert stub.refusal(unknown, context=False) == "channel-unknown"


def test_tells_points_as_far_as_the_channel_needs_them_and_no_secret(stub):
    keys = stub.composer.keys
    for number in (0, 1):
        reply = stub.ask(wire.GetPerCommitmentPoint(number))
        assert (keys.per_commitment_point(number), None) == (
            reply.per_commitment_point,
            reply.old_commitment_secret,
        )
    assert stub.refusal(wire.GetPerCommitmentPoint(2)) == "policy-optional-fail-fast"
    stub.ask(stub.set_up())
    stub.ask(stub.sign_remote(0))
    stub.ask(stub.validate(0))
    assert keys.per_commitment_point(2) == stub.ask(wire.GetPerCommitmentPoint(2)).per_commitment_point
    for number in (3, 2**48, 2**64 - 1):
        assert stub.refusal(wire.GetPerCommitmentPoint(number)) == "policy-optional-fail-fast"


def test_says_whether_the_peer_knows_a_secret_of_ours(ready):
    known = ready.composer.keys.release_secret(40)
    assert ready.ask(wire.CheckFutureSecret(40, known)).correct
    assert not ready.ask(wire.CheckFutureSecret(41, known)).correct
    with pytest.raises(MalformedMessage, match="below 2"):
        ready.answer(wire.CheckFutureSecret(2**48, known))


@pytest.mark.parametrize(
    "message",
    [
        wire.GetPerCommitmentPoint(0),
        wire.CheckFutureSecret(0, bytes(32)),
        wire.CheckOutpoint(bytes(32), 0),
        wire.LockOutpoint(bytes(32), 0),
        wire.RevokeCommitmentTx(0),
        wire.ValidateRevocation(0, b"\x01" * 32),
    ],
)
def test_refuses_without_a_channel_what_is_about_one(stub, message):
    assert stub.refusal(message, context=False) == "no-channel-context"
    stub.id = replace(stub.id, dbid=DBID + 1)
    assert stub.refusal(message) == "channel-unknown"


# Parameters


def test_the_parameters_are_accepted_once_and_then_compared(ready):
    assert ready.answer(ready.set_up()).changes.empty
    ready.setup = replace(ready.setup, holder_delay=151)
    assert ready.refusal(ready.set_up()) == "channel-setup-changed"


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"holder_delay": 3}, "policy-channel-contest-delay-range-counterparty"),
        ({"counterparty_delay": 2017}, "policy-channel-contest-delay-range-holder"),
        ({"push_msat": 1_000_000_001}, "policy-routing-balanced"),
        ({"channel_type": b""}, "policy-channel-safe-type"),
        ({"channel_type": bytes.fromhex("101000")}, "policy-channel-safe-type"),
        ({"holder_shutdown_script": b"\x00\x14" + bytes(20)}, "policy-mutual-destination-allowlisted"),
    ],
)
def test_refuses_parameters_that_are_not_safe(stub, changed, rule):
    stub.setup = replace(stub.setup, **changed)
    assert stub.refusal(stub.set_up()) == rule
    assert stub.state.setup is None


@pytest.mark.parametrize("channel_type", [STATIC, ANCHORS, bytes.fromhex("04400000401000")])
def test_accepts_the_types_that_nodes_open(stub, channel_type):
    stub.setup = replace(stub.setup, channel_type=channel_type)
    stub.ask(stub.set_up())
    assert channel_type == stub.state.ready.channel_type


def test_zeros_before_a_channel_type_say_nothing(stub):
    stub.setup = replace(stub.setup, channel_type=b"\x00" + ANCHORS)
    stub.ask(stub.set_up())
    before = stub.state
    assert ANCHORS == before.ready.channel_type
    for again in (ANCHORS, b"\x00\x00" + ANCHORS):
        stub.setup = replace(stub.setup, channel_type=again)
        stub.ask(stub.set_up())
        assert before == stub.state


@pytest.mark.parametrize("form", [script.p2wpkh, script.p2tr])
def test_accepts_a_shutdown_script_of_the_wallet_key_that_is_named(stub, form):
    ours = form(stub.node.wallet_pubkey(WALLET_INDEX))
    stub.setup = replace(stub.setup, holder_shutdown_script=ours, holder_shutdown_index=WALLET_INDEX + 1)
    assert stub.refusal(stub.set_up()) == "policy-mutual-destination-allowlisted"
    stub.setup = replace(stub.setup, holder_shutdown_index=WALLET_INDEX)
    stub.ask(stub.set_up())
    assert ours == stub.state.ready.holder_shutdown_script


def test_refuses_a_channel_type_that_nobody_has_defined(stub):
    stub.setup = replace(stub.setup, channel_type=bytes.fromhex("100000"))
    with pytest.raises(MalformedMessage, match="static_remotekey"):
        stub.answer(stub.set_up())


def test_one_output_carries_one_channel(ready):
    book, first = ready.book, ready.id
    ready.id = ChannelId(first.peer_id, DBID + 1)
    ready.ask(ready.new(), context=False)
    assert ready.refusal(ready.set_up()) == "funding-taken"
    ready.funding = other_funding(ready)
    ready.ask(ready.set_up())
    assert book.channel_funded_by(ready.funding.outpoint) == ready.id
    assert book.channel_funded_by(replace(ready.funding.outpoint, txid=b"\x07" * 32, index=1)) == first


# Splices


def other_funding(channel: OneChannel, value_sat: int = 2_000_000) -> Funding:
    return replace(channel.funding, outpoint=Outpoint(b"\x08" * 32, 0), value_sat=value_sat)


def test_a_plain_node_may_move_the_funding(spliceable):
    spliceable.ask(spliceable.set_up(other_funding(spliceable)))
    assert 2 == len(spliceable.state.fundings)
    assert spliceable.answer(spliceable.set_up()).changes.empty


def test_a_hosted_node_may_not():
    channel = OneChannel().open()
    assert channel.refusal(channel.set_up(other_funding(channel))) == "channel-setup-changed"


def test_a_splice_keeps_to_the_size_of_channels(spliceable):
    too_much = other_funding(spliceable, 1_000_000_002)
    assert spliceable.refusal(spliceable.set_up(too_much)) == "policy-funding-max"


def test_an_outpoint_counts_as_buried_and_a_lock_of_another_changes_nothing(ready):
    outpoint = ready.funding.outpoint
    assert ready.ask(wire.CheckOutpoint(outpoint.txid, outpoint.index)).is_buried
    for locked in (outpoint, Outpoint(b"\x09" * 32, 0)):
        assert ready.answer(wire.LockOutpoint(locked.txid, locked.index)).changes.empty


def test_a_lock_moves_the_channel_to_its_new_funding(spliceable):
    """Commitment 0 exists for both fundings, as it does when an opening is replaced by another."""
    funding = other_funding(spliceable, 1_000_000)
    spliceable.ask(spliceable.set_up(funding))
    spliceable.ask(spliceable.validate(0, funding=funding))
    spliceable.ask(wire.LockOutpoint(funding.outpoint.txid, funding.outpoint.index))
    assert funding.outpoint == spliceable.state.in_force


def test_a_refusal_says_what_it_is_about(stub):
    stub.setup = replace(stub.setup, holder_delay=3)
    with pytest.raises(Refused, match="the delay that we impose on the peer is 3 blocks, not 4 to 2016"):
        stub.answer(stub.set_up())
