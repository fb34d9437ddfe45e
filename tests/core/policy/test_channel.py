"""Which channels are set up: a good one, one parameter changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import OneChannel

from signerd.core.policy import channel as policy
from signerd.core.policy.limits import LIMITS
from signerd.errors import Refused

GOOD = OneChannel()


def rule_of(setup=GOOD.setup, funding=GOOD.funding, network="regtest") -> str | None:
    try:
        policy.check_setup(setup, funding, GOOD.node, LIMITS[network])
    except Refused as refused:
        return refused.rule
    return None


def test_every_network_has_its_limits():
    assert {"bitcoin": 144, "testnet": 4, "signet": 4, "regtest": 4} == {
        network: limits.min_delay for network, limits in LIMITS.items()
    }


@pytest.mark.parametrize(("network", "least"), [("bitcoin", 144), ("regtest", 4)])
@pytest.mark.parametrize(
    ("field", "side"), [("holder_delay", "counterparty"), ("counterparty_delay", "holder")]
)
def test_delays_lie_between_what_is_safe_and_what_is_bearable(network, least, field, side):
    rule = f"policy-channel-contest-delay-range-{side}"
    for delay, expected in ((least - 1, rule), (least, None), (2016, None), (2017, rule)):
        assert rule_of(replace(GOOD.setup, **{field: delay}), network=network) == expected


@pytest.mark.parametrize(
    ("value_sat", "rule"),
    [(0, "policy-funding-max"), (1, None), (1_000_000_001, None), (1_000_000_002, "policy-funding-max")],
)
def test_a_channel_holds_something_and_not_too_much(value_sat, rule):
    assert rule_of(funding=replace(GOOD.funding, value_sat=value_sat)) == rule


def test_no_more_is_pushed_than_there_is():
    value_msat = GOOD.funding.value_sat * 1000
    assert rule_of(replace(GOOD.setup, push_msat=value_msat)) is None
    assert rule_of(replace(GOOD.setup, push_msat=value_msat + 1)) == "policy-routing-balanced"


def test_a_shutdown_script_without_its_wallet_key_is_nobodys():
    setup = replace(GOOD.setup, holder_shutdown_script=b"\x51", holder_shutdown_index=None)
    assert rule_of(setup) == "policy-mutual-destination-allowlisted"
    assert rule_of(replace(setup, holder_shutdown_index=2**31)) == "policy-mutual-destination-allowlisted"
