"""A payment each way, for people to see: what the demo tells of it."""

from __future__ import annotations

import time
from collections import Counter

from signerd.dev import player
from signerd.dev.channel import Channel
from signerd.dev.lifecycle import Life
from signerd.dev.node import HostedNode
from signerd.dev.steps import Step, Steps

_PAID_SAT, _RECEIVED_SAT = 50_000, 20_000
_SIGNATURES = frozenset({5, 7, 8, 14, 19, 20, 21})
"""Messages that ask for signatures."""


async def show_payment(node: HostedNode) -> str:
    """Open a channel, pay through it and be paid, with the node's signer: one sentence on what was done.

    Raises WrongAnswer, or RequestRefused.
    """
    now = time.time()
    # Peers and channel numbers that this node has not had.
    life = Life(player.account_of(node), seed=str(now).encode(), now=int(now), first_dbid=int(now))
    asked: Counter[int] = Counter()

    async def answer(step: Step) -> bytes:
        asked[int.from_bytes(step.raw[:2], "big")] += 1
        return await node.ask(step.raw, context=player.context_of(step.context))

    channel: Channel = await player.play_to(answer, _pay_and_be_paid(life))
    signatures = sum(count for kind, count in asked.items() if kind in _SIGNATURES)
    return (
        f"a channel of {channel.terms.value_sat:,} sat opened, {_PAID_SAT:,} sat paid and "
        f"{_RECEIVED_SAT:,} sat received: {asked.total()} requests answered, {signatures} of them with "
        "signatures, each verified"
    )


def _pay_and_be_paid(life: Life) -> Steps[Channel]:
    channel = yield from life.open()
    yield from life.pay(channel, _PAID_SAT * 1000)
    yield from life.receive(channel, _RECEIVED_SAT * 1000)
    return channel
