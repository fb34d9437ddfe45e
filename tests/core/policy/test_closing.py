"""A mutual close is compared with every commitment that may still be published."""

from __future__ import annotations

import pytest
from helpers.one_channel import OneChannel, offered

from signerd.core.policy import closing as policy
from signerd.core.policy.closing import Balances
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.errors import Refused


@pytest.fixture
def channel() -> OneChannel:
    return OneChannel(push_msat=400_000_000).open()


FEE = 1124 + 660


def test_the_balances_are_those_of_both_sides_commitments(channel):
    assert (Balances(600_000 - FEE, 400_000),) * 2 == policy.balances(channel.state, channel.funding)


def test_a_commitment_that_is_validated_and_not_in_force_counts_too(channel):
    channel.balances = (550_000_000, 450_000_000)
    channel.ask(channel.validate(1))
    found = policy.balances(channel.state, channel.funding)
    assert Balances(550_000 - FEE, 450_000) in found
    assert 3 == len(found)


@pytest.mark.parametrize("kind", ["sign_remote", "validate"])
def test_an_htlc_of_either_side_is_pending(channel, kind):
    channel.balances = (550_000_000, 400_000_000)
    channel.ask(getattr(channel, kind)(1, [offered(1, 50_000_000)]))
    with pytest.raises(Refused, match="HTLCs pending"):
        policy.balances(channel.state, channel.funding)


def test_a_splice_has_an_output_that_needs_both_sides():
    carried = b"\x00\x20" + b"\x01" * 32
    tx = Transaction(2, (Input(Outpoint(bytes(32), 0)),), (Output(1, b"\x51"), Output(2, carried)))
    policy.require_splice(tx, [b"\x52", carried])
    with pytest.raises(Refused, match="carries the channel on"):
        policy.require_splice(tx, [b"\x52"])
