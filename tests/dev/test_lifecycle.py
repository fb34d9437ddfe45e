"""Lives of channels, played to signerd's core: of all kinds, with every transaction that comes of them."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from helpers import scripts
from helpers.lives import NOW, InMemory, Stored, account_of, changes_of, keys_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Output
from signerd.core.wire.composites import Side
from signerd.dev import channel as channels
from signerd.dev import invoices, player, random_life, spending, sweeping
from signerd.dev.chain import Chain
from signerd.dev.channel import Channel, Terms
from signerd.dev.choices import Tape
from signerd.dev.coins import Kind
from signerd.dev.lifecycle import Life
from signerd.dev.steps import OPENINGD, Step, Steps
from signerd.dev.updates import MAX_HTLCS
from signerd.dev.verify import WrongAnswer
from signerd.errors import UsageError

KEYS = keys_of()
ENDS = ("mutual", "ours", "theirs", "cheat")
TYPES = (channels.STATIC_REMOTEKEY, channels.ANCHORS, channels.ANCHORS_ALIAS_ZEROCONF)


def new_life(seed: bytes = b"a") -> Life:
    return Life(account_of(KEYS), seed=seed, now=NOW)


def whole_life(life: Life, *, funder: Side, channel_type: bytes, end: str) -> Steps[Channel]:
    """Opened, paid through, with three HTLCs each way in flight when it ends."""
    push = 0 if funder is Side.LOCAL else 300_000_000
    channel = yield from life.open(Terms(funder=funder, push_msat=push, channel_type=channel_type))
    if funder is Side.LOCAL:
        yield from life.pay(channel, 300_000_000)
    yield from life.receive(channel, 20_000_001)
    yield from life.change_feerate(channel, 1500)
    for by, amount in itertools.product(Side, (5_000_000, 30_000_000, 100_000)):
        life.offer(channel, by, amount)
    yield from life.agree(channel)
    yield from life.reconnect(channel)
    if end == "mutual":
        yield from life.settle(channel)
        yield from life.close(channel, rounds=2)
    elif end == "ours":
        yield from life.force_close(channel)
    elif end == "theirs":
        life.peer_closes(channel)
    else:
        revoked = channel.newest(Side.REMOTE).number
        yield from life.settle(channel)
        life.peer_closes(channel, revoked)
        assert channel.published
        sweeping.publish_their_htlc(life.world, channel, channel.published.payments[0])
    if channel.published:
        yield from life.sweep(channel)
    yield from life.forget(channel)
    return channel


def verify_all(chain: Chain) -> int:
    """Every transaction on the chain is one that Bitcoin's nodes accept; how many there are."""
    for confirmed in chain.confirmed:
        scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])
    return len(chain.confirmed)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("channel_type", TYPES)
@pytest.mark.parametrize("funder", Side)
def test_a_whole_life_is_signed_for_and_all_its_transactions_are_valid(funder, channel_type, end):
    life, signer = new_life(), InMemory(KEYS)
    player.play_at_once(signer, whole_life(life, funder=funder, channel_type=channel_type, end=end))
    anchors = channel_type != channels.STATIC_REMOTEKEY
    # HTLCs of 5,000 and 30,000 sat each way have outputs, those of 100 sat have none.
    expected = {
        "mutual": {21: 2, 5: 1},
        "ours": {5: 1, 146: 4, 142: 5} | ({147: 1, 149: 8} if anchors else {}),
        "theirs": {143: 8},
        "cheat": {144: 5},
    }[end]
    closing = {5, 21, 142, 143, 144, 146, 147, 149}
    assert expected == {kind: count for kind, count in signer.asked.items() if kind in closing}
    assert verify_all(life.world.chain) > (1 if end == "mutual" else 5) - (funder is Side.REMOTE)


def test_a_transaction_that_was_changed_after_signing_is_not_valid():
    life = new_life()
    steps = whole_life(life, funder=Side.LOCAL, channel_type=channels.ANCHORS, end="ours")
    player.play_at_once(InMemory(KEYS), steps)
    for confirmed in life.world.chain.confirmed:
        spent = [(item.value, item.script) for item in confirmed.spent]
        tx, (first, *others) = confirmed.tx, confirmed.tx.outputs
        for other in (
            replace(tx, outputs=(replace(first, value=first.value - 1), *others)),
            replace(tx, locktime=tx.locktime ^ 1),
            replace(tx, inputs=tuple(replace(item, sequence=item.sequence ^ 2) for item in tx.inputs)),
            replace(tx, inputs=tuple(replace(item, witness=item.witness[1:]) for item in tx.inputs)),
        ):
            with pytest.raises((scripts.Invalid, IndexError)):
                scripts.verify(other.serialize(), spent)
            with pytest.raises(scripts.Invalid):
                scripts.require_consensus(other.serialize(), spent)


@pytest.mark.parametrize("dialect", Dialect)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tape=st.lists(st.integers(0, 2**20), min_size=50, max_size=300), moves=st.integers(5, 40))
def test_any_valid_life_is_signed_for_and_all_its_transactions_are_valid(dialect, tape, moves):
    life, signer = new_life(), InMemory(KEYS, dialect=dialect)
    plain = dialect is Dialect.CORE_LIGHTNING
    player.play_at_once(signer, random_life.live(life, Tape(tape), moves=moves, plain=plain))
    assert verify_all(life.world.chain)


@pytest.mark.parametrize(
    "end",
    ["theirs", pytest.param("ours", marks=pytest.mark.slow), pytest.param("cheat", marks=pytest.mark.slow)],
)
def test_483_htlcs_on_each_side_are_signed_for_and_swept(end):
    life, signer = new_life(), InMemory(KEYS)

    def crowd() -> Steps[None]:
        terms = Terms(funder=Side.REMOTE, value_sat=10_000_000, push_msat=5 * 10**9, feerate_per_kw=253)
        channel = yield from life.open(terms)
        for by in Side:
            for _ in range(MAX_HTLCS):
                life.offer(channel, by, 2_000_000 + by)
        yield from life.agree(channel)
        crowded = channel.newest(Side.REMOTE)
        assert len(crowded.payments) == 2 * MAX_HTLCS
        assert not channel.updates.room_msat(Side.LOCAL)
        with pytest.raises(UsageError, match="can be offered"):
            life.offer(channel, Side.LOCAL, 1)
        if end == "ours":
            yield from life.force_close(channel)
        else:
            if end == "cheat":
                yield from life.settle(channel)
            life.peer_closes(channel, crowded.number)
        yield from life.sweep(channel)

    player.play_at_once(signer, crowd())
    assert signer.asked[{"theirs": 143, "ours": 146, "cheat": 144}[end]] >= 2 * MAX_HTLCS
    assert verify_all(life.world.chain) > 2 * MAX_HTLCS


def test_a_signer_that_starts_anew_for_each_request_answers_all_the_same(tmp_path):
    reborn = Stored(KEYS, tmp_path / "signerd.db", restarts=lambda: True)
    for end in ENDS:
        life = Life(account_of(KEYS), seed=end.encode(), now=NOW, first_dbid=1 + ENDS.index(end))
        steps = whole_life(life, funder=Side.LOCAL, channel_type=channels.ANCHORS, end=end)
        player.play_at_once(reborn, steps)
    reborn.close()


def test_the_wallets_coins_of_each_kind_are_spent():
    life = new_life()
    payee = Output(50_000, b"\x00\x14" + bytes(20))
    for kind, change in itertools.product(Kind, (Kind.P2TR, Kind.P2WPKH)):
        for _ in range(2):
            life.world.wallet.deposit(30_000, kind)
        player.play_at_once(InMemory(KEYS), spending.withdraw(life.world, [payee], change=change))
    assert verify_all(life.world.chain) == 6


def test_a_channel_closes_to_where_both_said_at_its_opening():
    life, signer = new_life(), InMemory(KEYS)
    channel = player.play_at_once(signer, life.open(Terms(upfront_shutdown=True)))
    player.play_at_once(signer, life.close(channel))
    (closed,) = [c.tx for c in life.world.chain.confirmed if c.tx.inputs[0].outpoint == channel.funding]
    assert [output.script for output in closed.outputs] == [life.world.wallet.script(channel.final_index)]


def test_invoices_and_keysends_are_judged():
    life, signer = new_life(), InMemory(KEYS)

    def steps() -> Steps[str]:
        channel = yield from life.open()
        yield from invoices.approve_keysend(channel.peer, bytes(32), 5)
        return (yield from invoices.issue(life.world, bytes(32), None))

    assert player.play_at_once(signer, steps()).startswith("lnbcrt1")


# A judge that lets anything pass would make all of the above worthless.


def told_for_the_first_time(step: Step) -> bool:
    """Base points and the first per-commitment point: whether they are right shows when they are used."""
    kind = int.from_bytes(step.raw[:2], "big")
    return kind == 10 or (kind == 18 and step.context is not None and step.context.capabilities == OPENINGD)


def test_every_judge_notices_a_changed_answer():
    life, signer, noticed = new_life(), InMemory(KEYS), Counter()

    def answer(step: Step) -> bytes:
        reply = signer(step)
        step.judge(reply)
        if not told_for_the_first_time(step):
            for other in changes_of(reply):
                with pytest.raises(WrongAnswer):
                    step.judge(other)
                noticed[int.from_bytes(step.raw[:2], "big")] += 1
        return reply

    def all_ends() -> Steps[None]:
        for end in ENDS:
            yield from whole_life(life, funder=Side.LOCAL, channel_type=channels.ANCHORS, end=end)

    player.play_at_once(answer, all_ends())
    assert set(noticed) == set(signer.asked) - {10}
    assert set(noticed) >= {5, 7, 8, 14, 19, 20, 21, 35, 40, 142, 143, 144, 146, 147, 149}
