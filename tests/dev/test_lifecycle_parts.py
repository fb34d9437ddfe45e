"""The parts of a life: updates that both sides agree on, choices, the chain, and the player."""

from __future__ import annotations

import pytest
from helpers.lives import NOW, InMemory, account_of, keys_of
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire.composites import Side
from signerd.dev import player
from signerd.dev.chain import START, Chain
from signerd.dev.channel import Terms
from signerd.dev.choices import Choices, Dice, Tape
from signerd.dev.lifecycle import Life
from signerd.dev.updates import COMMITTED, PROPOSED, Updates
from signerd.dev.verify import WrongAnswer
from signerd.errors import UsageError

TOTAL = 1_000_000_000


def some_updates() -> Updates:
    return Updates(
        CommitmentFormat.ANCHORS_ZERO_FEE_HTLC,
        Side.LOCAL,
        {Side.LOCAL: TOTAL // 2, Side.REMOTE: TOTAL // 2},
        feerate_per_kw=1000,
        reserve_sat=10_000,
    )


class Dance:
    """Two sides that propose, sign and revoke in any order that is legal."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.updates = some_updates()
        self.due = {Side.LOCAL: False, Side.REMOTE: False}

    def step(self) -> None:
        side = self.choices.among(tuple(Side))
        room = self.updates.room_msat(side)
        removable = [p for p in self.updates.payments if p.removable]
        kind = self.choices.below(4)
        if kind == 0 and room:
            self.updates.offer(side, self.choices.between(1, room), bytes(32), 500)
        elif kind == 1 and removable:
            self.updates.remove(self.choices.among(removable), fulfil=self.choices.one_in(2))
        elif kind == 2 and self.updates.affords(feerate := self.choices.between(253, 3000)):
            self.updates.change_feerate(feerate)
        else:
            self.sign_or_revoke(side)

    def sign_or_revoke(self, side: Side) -> None:
        if self.due[side]:
            self.updates.revoke(side)
            self.due[side] = False
        elif self.updates.pending(side):
            self.updates.sign(side)
            self.due[side] = True

    def finish(self) -> None:
        while any(self.due.values()) or any(self.updates.pending(side) for side in Side):
            for side in Side:
                self.sign_or_revoke(side)


@given(st.lists(st.integers(0, 2**20), max_size=200))
def test_money_is_neither_made_nor_lost_and_both_sides_end_with_the_same(tape):
    dance = Dance(Tape(tape))
    for _ in range(len(tape) // 3):
        dance.step()
        for side in Side:
            view = dance.updates.view(side)
            assert sum(view.balances.values()) + sum(p.amount_msat for p in view.payments) == TOTAL
            assert min(view.balances.values()) >= 0
    dance.finish()
    ours, theirs = (dance.updates.view(side) for side in Side)
    assert ours == theirs
    assert all(payment.added.stage == COMMITTED for payment in dance.updates.payments)


def test_an_update_reaches_its_receivers_commitment_first():
    updates = some_updates()
    payment = updates.offer(Side.LOCAL, 1000, bytes(32), 500)
    assert payment.added.stage == PROPOSED
    seen = []
    for act, side in (
        (updates.sign, Side.REMOTE),
        (updates.revoke, Side.REMOTE),
        (updates.sign, Side.LOCAL),
        (updates.revoke, Side.LOCAL),
    ):
        act(side)
        seen.append([bool(updates.view(whose).payments) for whose in Side])
    assert seen == [[False, True], [False, True], [True, True], [True, True]]
    assert payment.removable
    assert not updates.quiet


def test_nothing_is_offered_that_leaves_the_funder_without_the_fee():
    updates = some_updates()
    assert 0 < updates.room_msat(Side.LOCAL) < TOTAL // 2 - 10_000_000
    assert updates.room_msat(Side.REMOTE) == TOTAL // 2 - 10_000_000
    updates.change_feerate(400_000)
    assert updates.room_msat(Side.LOCAL) == updates.room_msat(Side.REMOTE) == 0
    assert not updates.affords(10**6)


def test_the_same_seed_and_the_same_tape_choose_the_same():
    for make in (lambda: Dice(b"a"), lambda: Tape(range(100))):
        one, other = make(), make()
        assert [one.between(5, 9) for _ in range(50)] == [other.between(5, 9) for _ in range(50)]
    assert [Tape([7]).below(5), Tape([]).below(5)] == [2, 0]
    assert len({Dice(bytes([seed])).fresh() for seed in range(50)}) == 50
    assert all(5 <= Dice(b"b").between(5, 9) <= 9 for _ in range(50))


def test_the_chain_waits_for_locks_and_takes_no_double_spend():
    chain, script = Chain(), b"\x00\x14" + bytes(20)
    coin = chain.coin(Output(1000, script))
    spending = Transaction(
        2, (Input(Outpoint(coin.txid, 0), sequence=10),), (Output(900, script),), locktime=START + 20
    )
    chain.publish(spending)
    assert chain.confirmed[0].height == START + 21
    assert chain.confirmed[0].spent == (Output(1000, script),)
    with pytest.raises(UsageError, match="is spent"):
        chain.publish(spending)
    again = Outpoint(spending.txid, 0)
    assert chain.unspent(again)
    with pytest.raises(UsageError, match="pays more"):
        chain.publish(Transaction(2, (Input(again),), (Output(901, script),)))


def test_what_cannot_be_is_refused_by_name():
    life, signer = Life(account_of(keys_of()), seed=b"a", now=NOW), InMemory(keys_of())
    channel = player.play_at_once(signer, life.open(Terms(value_sat=500_000)))
    for steps in (
        life.pay(channel, 500_000_000),
        life.receive(channel, 1),
        life.change_feerate(channel, 500_000),
        life.sweep(channel),
    ):
        with pytest.raises(UsageError):
            player.play_at_once(signer, steps)
    player.play_at_once(signer, life.pay(channel, 1000))
    player.play_at_once(signer, life.close(channel))
    with pytest.raises(UsageError, match="closed"):
        player.play_at_once(signer, life.force_close(channel))


def test_an_answer_to_something_else_is_wrong():
    life, signer = Life(account_of(keys_of()), seed=b"a", now=NOW), InMemory(keys_of())
    with pytest.raises(WrongAnswer, match="type 130 does not answer"):
        player.play_at_once(lambda _step: b"\x00\x82", life.open())
    assert not signer.asked
