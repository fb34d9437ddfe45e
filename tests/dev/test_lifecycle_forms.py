"""What a life asks has the forms and the order of what two real lightningd nodes asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from helpers import vectors
from helpers.lives import NOW, InMemory, account_of, keys_of

from signerd.core.tx.psbt import Psbt, PsbtInput, PsbtOutput
from signerd.core.tx.transaction import Transaction
from signerd.core.wire import codec
from signerd.core.wire.composites import Side
from signerd.dev import channel as channels
from signerd.dev import player
from signerd.dev.channel import Terms
from signerd.dev.lifecycle import Life
from signerd.dev.steps import Step, Steps

NODES = {
    f"{run['run']}-{node['node']}": node["steps"]
    for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"]
    for node in run["nodes"]
}
PROPRIETARY = 0xFC
NOT_FORWARDED, PREAPPROVE_CHECK, PREAPPROVE = 9, 51, 38

# Types of PSBT fields that lightningd adds or leaves out by the state of its wallet.
EITHER_WAY = {0x00, 0x04, PROPRIETARY}


def recorded() -> Iterator[Any]:
    for steps in NODES.values():
        for step in steps:
            yield codec.decode(bytes.fromhex(step["raw"]))


def lived() -> list[Any]:
    """A life with everything in it, as messages."""
    life, asked = Life(account_of(keys_of()), seed=b"a", now=NOW), []
    signer = InMemory(keys_of())

    def answer(step: Step) -> bytes:
        asked.append(codec.decode(step.raw))
        return signer(step)

    def steps() -> Steps[None]:
        for end in ("mutual", "ours", "theirs", "cheat"):
            terms = Terms(funder=Side.REMOTE, push_msat=400_000_000)
            channel = yield from life.open(terms if end in ("theirs", "cheat") else None)
            yield from life.pay(channel, 100_000_000)
            yield from life.receive(channel, 10_000_000)
            for side in Side:
                life.offer(channel, side, 5_000_000)
            yield from life.agree(channel)
            revoked = channel.newest(Side.REMOTE).number
            if end in ("mutual", "cheat"):
                yield from life.settle(channel)
            if end == "mutual":
                yield from life.close(channel)
            elif end == "ours":
                yield from life.force_close(channel)
                yield from life.sweep(channel)
            else:
                life.peer_closes(channel, revoked)
                yield from life.sweep(channel)

    player.play_at_once(answer, steps())
    return asked


def kinds(item: PsbtInput | PsbtOutput) -> frozenset[int]:
    return frozenset(key[0] for key, _ in item.fields.pairs) - EITHER_WAY


def forms(message: Any) -> Iterator[tuple[Any, ...]]:
    """What an input or output of the message's PSBT looks like: the types of its fields, and its sequence."""
    raw = message.tx.psbt if hasattr(message, "tx") else getattr(message, "psbt", None)
    if raw is None:
        return
    psbt = Psbt.parse(raw)
    if hasattr(message, "tx"):
        assert Transaction.parse(message.tx.raw).unsigned() == psbt.tx
    for tx_input, item in zip(psbt.tx.inputs, psbt.inputs, strict=True):
        sequence = tx_input.sequence >> 24 if message.TYPE in (5, 19, 35) else tx_input.sequence
        delay = "delay" if message.TYPE == 142 else sequence
        yield message.TYPE, "input", kinds(item), delay
    for output, item in zip(psbt.tx.outputs, psbt.outputs, strict=True):
        yield message.TYPE, "output", kinds(item), output.script[:2].hex()


def test_transactions_and_psbts_have_the_forms_of_lightningds():
    known = {form for message in recorded() for form in forms(message)}
    ours = {form for message in lived() for form in forms(message)}
    # Of spending what a peer's close has paid to us, and of coins other than taproot, nothing was recorded.
    assert {form for form in ours - known if form[0] != 7} == set()
    assert {form[0] for form in ours} >= {5, 7, 14, 19, 20, 21, 35, 142, 143, 144, 146, 147, 149}


def types(steps: list[dict[str, Any]]) -> list[int]:
    """Message types, without what never reaches a hosted node's signer, and with its word for approvals."""
    found = [int(step["raw"][:4], 16) for step in steps]
    return [PREAPPROVE if t == PREAPPROVE_CHECK else t for t in found if t != NOT_FORWARDED]


def excerpt(node: str, first: int, count: int) -> list[int]:
    """So many types of a recording from the first of a type on."""
    found = types(NODES[node])
    start = found.index(first)
    return found[start : start + count]


def asked_by(steps: Steps[object], signer: InMemory) -> list[int]:
    """The types of messages that some steps ask."""
    asked: list[int] = []

    def answer(step: Step) -> bytes:
        asked.append(int.from_bytes(step.raw[:2], "big"))
        return signer(step)

    player.play_at_once(answer, steps)
    return asked


@pytest.mark.parametrize(("funder", "node"), [(Side.LOCAL, "plain-a"), (Side.REMOTE, "plain-b")])
def test_opens_pays_and_closes_in_lightningds_order(funder, node):
    life, signer = Life(account_of(keys_of()), seed=b"a", now=NOW), InMemory(keys_of())
    opened = asked_by(life.open(Terms(funder=funder, channel_type=channels.ANCHORS)), signer)
    assert opened[1:] == excerpt(node, 30, len(opened) - 1)
    (channel,) = life.channels
    if funder is Side.LOCAL:
        # 14, the penalty in advance, is not asked while the peer has nothing to lose.
        assert asked_by(life.pay(channel, 100_000_000), signer) == excerpt(node, PREAPPROVE, 11)
    else:
        # Only the last 40 is later in the recording, after the main daemon has signed its next invoice.
        assert asked_by(life.receive(channel, 100_000_000), signer) == [*excerpt(node, 8, 12), 40]
    assert asked_by(life.close(channel), signer) == excerpt(node, 21, 2)


def test_pays_a_peer_with_something_to_lose_in_lightningds_order():
    life, signer = Life(account_of(keys_of()), seed=b"a", now=NOW), InMemory(keys_of())
    asked_by(life.open(Terms(funder=Side.REMOTE, push_msat=400_000_000)), signer)
    (channel,) = life.channels
    asked = asked_by(life.pay(channel, 2_000_123), signer)
    assert asked == [38, 1, 19, 20, 36, 14, 35, 40, 35, 40, 19, 36, 14]
    found = types(NODES["plain-a"])
    assert any(found[at : at + len(asked)] == asked for at in range(len(found)))
