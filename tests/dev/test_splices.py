"""A channel's funding moves, signed for by a plain node's signer: every attempt, every end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from helpers import scripts, vectors
from helpers.lives import NOW, InMemory, Refused, Stored, account_of, keys_of

from signerd.core.tx.psbt import Psbt
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire.composites import Side
from signerd.dev import player
from signerd.dev.channel import Channel, Terms
from signerd.dev.lifecycle import Life
from signerd.dev.splicing import Move, Stage
from signerd.dev.steps import Step, Steps
from signerd.errors import UsageError

KEYS = keys_of()
ENDS = ("mutual", "ours", "ours before it is locked", "ours before it is mined", "theirs", "cheat")
IN, OUT = 100_000, -60_000
RUN = vectors.load("cln_messages")["messages"]["lightningd"]["runs"][0]
RECORDED = {node["node"]: node["steps"] for node in RUN["nodes"]}


def new_life() -> Life:
    return Life(account_of(KEYS), seed=b"a", now=NOW)


def plain() -> InMemory:
    return InMemory(KEYS, dialect=Dialect.CORE_LIGHTNING)


def opened(life: Life) -> Steps[Channel]:
    channel = yield from life.open(Terms(funder=Side.REMOTE, push_msat=400_000_000))
    yield from life.pay(channel, 30_000_000)
    return channel


def spliced_life(life: Life, *, by: Side, amount: int, end: str, funding_last: bool) -> Steps[Channel]:
    """Attempts that are given up, one that is replaced, payments while it is open, and some end."""
    channel = yield from opened(life)
    for side in Side:
        life.offer(channel, side, 5_000_000)
    yield from life.agree(channel)
    for until in (Stage.SET_UP, Stage.COMMITTED):
        assert (yield from life.splice(channel, Move(by=by, amount_sat=amount, until=until))) is None
    yield from life.splice(channel, Move(by=by, amount_sat=amount, funding_last=funding_last))
    yield from life.pay(channel, 10_000_000)
    better = yield from life.splice(channel, Move(by=by, amount_sat=amount, fee_sat=1000))
    assert better is not None
    for side in Side:
        life.offer(channel, side, 4_000_000)
    yield from life.agree(channel)
    yield from life.reconnect(channel)
    revoked = channel.newest(Side.REMOTE).number
    if end != "ours before it is mined":
        yield from life.confirm_splice(channel, better)
    yield from life.pay(channel, 1_000_000)
    if "before" not in end:
        yield from life.lock_splice(channel)
        yield from life.pay(channel, 1_000_000)
        assert channel.value_sat == 1_000_000 + amount
    if end == "mutual":
        yield from life.settle(channel)
        yield from life.close(channel)
    elif end.startswith("ours"):
        yield from life.force_close(channel)
    else:
        life.peer_closes(channel, revoked if end == "cheat" else None)
    if channel.published:
        yield from life.sweep(channel)
    yield from life.forget(channel)
    return channel


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("by", "amount"), list(itertools.product(Side, (IN, OUT))))
def test_a_spliced_life_is_signed_for_and_all_its_transactions_are_valid(by, amount, end):
    life, signer = new_life(), plain()
    steps = spliced_life(life, by=by, amount=amount, end=end, funding_last=amount == IN)
    player.play_at_once(signer, steps)
    for confirmed in life.world.chain.confirmed:
        scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])
    # Four attempts of ours, each signed once before all else, and two more times by those that get so far; or
    # the peer's two that are not given up.
    assert signer.asked[29] == {Side.LOCAL: 4 + 2 * 2, Side.REMOTE: 2}[by]


def asked_by(steps: Steps[Any], signer: InMemory) -> list[Any]:
    asked: list[Any] = []

    def answer(step: Step) -> bytes:
        asked.append(codec.decode(step.raw))
        return signer(step)

    player.play_at_once(answer, steps)
    return asked


def types(asked: list[Any]) -> list[int]:
    return [message.TYPE for message in asked]


@pytest.mark.parametrize(("by", "node"), [(Side.LOCAL, "a"), (Side.REMOTE, "b")])
def test_splices_in_lightningds_order_and_forms(by, node):
    life, signer = new_life(), plain()
    channel = player.play_at_once(signer, opened(life))
    move = Move(by=by, amount_sat=IN)
    asked = asked_by(life.splice(channel, move), signer)
    player.play_at_once(signer, life.confirm_splice(channel, channel.splices[0]))
    locked = asked_by(life.lock_splice(channel), signer)
    recorded = [step["type"] for step in RECORDED[node]]
    wanted = types([*asked, *locked])
    assert any(recorded[at : at + len(wanted)] == wanted for at in range(len(recorded)))

    def forms(messages: list[Any]) -> list[frozenset[int]]:
        """Which fields the PSBTs have for the channel's funding, without lightningd's own notes."""
        fields = [Psbt.parse(item.tx.psbt).inputs[0].fields for item in messages if item.TYPE == 29]
        return [frozenset(key[0] for key, _ in pairs.pairs) - {0xFC} for pairs in fields]

    found = [codec.decode(bytes.fromhex(step["raw"])) for step in RECORDED[node] if step["type"] == 29]
    assert forms(asked) == forms(found)


def test_a_splice_survives_a_signer_that_starts_anew_for_each_request(tmp_path):
    life, memory = new_life(), plain()
    stored = Stored(KEYS, tmp_path / "signerd.db", dialect=Dialect.CORE_LIGHTNING, restarts=lambda: True)

    def both(step: Step) -> bytes:
        reply = stored(step)
        assert reply == memory(step), step.name
        return reply

    player.play_at_once(both, spliced_life(life, by=Side.LOCAL, amount=OUT, end="cheat", funding_last=True))
    assert stored.restarted > 100
    stored.close()


@pytest.mark.parametrize(
    ("by", "rule"), [(Side.LOCAL, "unsupported-message"), (Side.REMOTE, "channel-setup-changed")]
)
def test_a_hosted_signer_refuses_splices_and_the_channel_goes_on(by, rule):
    life, signer = new_life(), InMemory(KEYS)
    channel = player.play_at_once(signer, opened(life))
    with pytest.raises(Refused, match=rule):
        player.play_at_once(signer, life.splice(channel, Move(by=by, amount_sat=IN)))
    player.play_at_once(signer, life.pay(channel, 1_000_000))
    player.play_at_once(signer, life.close(channel))


def test_a_splice_waits_and_takes_no_more_than_there_is():
    life, signer = new_life(), plain()
    channel = player.play_at_once(signer, opened(life))
    for amount in (-400_000, 500):
        with pytest.raises(UsageError, match="can"):
            player.play_at_once(signer, life.splice(channel, Move(amount_sat=amount)))
    with pytest.raises(UsageError, match="no splice"):
        player.play_at_once(signer, life.lock_splice(channel))
    life.offer(channel, Side.LOCAL, 1_000_000)
    with pytest.raises(UsageError, match="wait"):
        player.play_at_once(signer, life.splice(channel, Move(amount_sat=OUT)))
    player.play_at_once(signer, life.settle(channel))
    splice = player.play_at_once(signer, life.splice(channel, Move(amount_sat=OUT)))
    with pytest.raises(UsageError, match="same amount"):
        player.play_at_once(signer, life.splice(channel, Move(amount_sat=IN)))
    with pytest.raises(UsageError, match="splices"):
        player.play_at_once(signer, life.close(channel))
    before = channel.updates.room_msat(Side.LOCAL)
    player.play_at_once(signer, life.confirm_splice(channel, splice))
    player.play_at_once(signer, life.lock_splice(channel))
    assert channel.updates.room_msat(Side.LOCAL) == before + -OUT * 10
