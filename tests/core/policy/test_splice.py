"""What a wallet adds to a splice, with others who add and take out in the same transaction."""

from __future__ import annotations

import pytest
from helpers.one_channel import OneChannel
from helpers.wallet_requests import In, Out, Spending, wallet_input

from signerd.core.policy import ownership, splice
from signerd.core.policy.onchain import Destination, Spend
from signerd.core.state.channel import Funding
from signerd.core.tx import script
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint, Output
from signerd.errors import Refused

OURS, THEIRS, FEE = 600_000, 400_000, 2_000
SOMEBODY = script.p2wpkh(b"\x02" * 33)
WALLET, ELSEWHERE = Destination.WALLET, Destination.ELSEWHERE


def rule_of(channel: OneChannel, *, ours: int, added: int, theirs: int = 0, out=()) -> str | None:
    """Of a splice after which `ours` sat are ours; None if it may be signed.

    Our wallet pays in `added`, somebody `theirs`; `out` is what other outputs get, and whose they are.
    """
    value = 1_000_000 + added + theirs - FEE - sum(amount for amount, _ in out)
    carried = channel.composer.funding_output(channel.funding)
    inputs = [In(channel.funding.outpoint, carried), wallet_input(channel.node, 3, value=added)]
    if theirs:
        inputs.append(In(Outpoint(b"\x0a" * 32, 0), Output(theirs, SOMEBODY)))
    outputs = [Out(Output(value, carried.script)), *(Out(Output(amount, SOMEBODY)) for amount, _ in out)]
    spending = Spending(tuple(inputs), tuple(outputs))
    funding = Funding(Outpoint(spending.tx.txid, 0), value, channel.funding.counterparty_key)
    channel.ask(channel.set_up(funding))
    channel.balances = (1000 * ours, 1000 * (value - ours))
    channel.ask(channel.validate(0, funding=funding))
    channel.ask(channel.sign_remote(0, funding=funding))
    key = ownership.wallet_output(channel.node, 3, inputs[1].spent.script)
    spend = Spend(
        psbt=Psbt.parse(spending.psbt()),
        inputs={1: key},
        wallet_indices=frozenset({3}),
        keys=channel.node,
        book=channel.book,
        dialect=Dialect.CORE_LIGHTNING,
    )
    try:
        splice.require_added(spend, (Destination.CHANNEL, *(whose for _, whose in out)))
    except Refused as refused:
        return refused.rule
    return None


@pytest.mark.parametrize("is_outbound", [True, False])
@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"added": 100_000}, OURS + 100_000 - FEE),
        ({"added": 100_000, "out": [(30_000, WALLET)]}, OURS + 70_000 - FEE),
        ({"added": 100_000, "out": [(30_000, ELSEWHERE)]}, OURS + 70_000 - FEE),
        ({"added": 100_000, "theirs": 50_000}, OURS + 100_000),
        ({"added": 100_000, "theirs": 50_000, "out": [(40_000, ELSEWHERE)]}, OURS + 100_000),
        ({"added": 100_000, "theirs": 50_000, "out": [(60_000, ELSEWHERE)]}, OURS + 90_000 - FEE),
    ],
    ids=[
        "we add",
        "with change",
        "and pay somebody",
        "both add",
        "the peer has change",
        "the peer adds less",
    ],
)
def test_what_the_wallet_adds_is_ours_after_the_splice(changes, least, is_outbound):
    def ruled(ours: int) -> str | None:
        pushed = THEIRS if is_outbound else OURS
        channel = OneChannel(dialect=Dialect.CORE_LIGHTNING, is_outbound=is_outbound, push_msat=1000 * pushed)
        return rule_of(channel.open(), ours=ours, **changes)

    assert ruled(least - splice.ALLOWED_SAT) is None
    assert ruled(least - splice.ALLOWED_SAT - 1) == "splice-balance"
    assert ruled(least + 1) is None
