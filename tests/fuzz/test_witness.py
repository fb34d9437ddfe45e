"""The witness sees what must never happen: signers that do it are caught."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import OneChannel, received

from fuzz import made
from fuzz.lives import Life
from fuzz.witness import Witness, copy_of
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context, Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import Changes, MemoryBook
from signerd.core.wire import channel, codec, identity
from signerd.errors import StateError
from signerd.units import Secret

NAME = next(name for name in made.channels() if name.startswith("made, hosted, 401000, True"))
CHANNEL = made.channels()[NAME]
PAYING = OneChannel(push_msat=400_000_000)
"""The same, and the peer pays us."""
PAYING.balances = (600_000_000, 350_000_000)
CONTEXT = Context(CHANNEL.id.peer_id, CHANNEL.id.dbid, 0)


def opened() -> Witness:
    life: Life = next(life for life in made.lives() if life.name == NAME)
    return life.after(len(life.requests))


def request(message) -> SigningRequest:
    return SigningRequest(1, codec.encode(message), None if message.TYPE in made.MAIN_DAEMONS else CONTEXT)


class Altered(Signer):
    """Does what a good signer does, and then something else."""

    def __init__(self, change) -> None:
        super().__init__(NodeKeys.derive(Secret(made.SECRET)), "regtest")
        self.change = change

    def handle(self, asked, book, now):
        return self.change(super().handle(asked, book, now), book)


def altered(change) -> Witness:
    witness = opened()
    witness.signer = Altered(change)
    return witness


def caught(witness: Witness, message, *, saying: str) -> None:
    with pytest.raises(AssertionError, match=saying):
        witness.ask(request(message))


def test_a_good_signer_is_not_caught():
    witness = opened()
    htlcs = [received(1, 50_000_000)]
    assert isinstance(witness.ask(request(PAYING.sign_remote(1, htlcs))), Signed)
    assert isinstance(witness.ask(request(CHANNEL.revocation(0))), Signed)
    assert isinstance(witness.ask(request(PAYING.validate(1, htlcs))), Signed)
    assert isinstance(witness.ask(request(channel.RevokeCommitmentTx(0))), Signed)
    assert isinstance(witness.ask(request(channel.RevokeCommitmentTx(1))), Refusal)
    assert isinstance(witness.ask(request(CHANNEL.sign_remote(1))), Refusal)


def test_sees_a_second_commitment_of_the_same_number():
    witness = opened()
    before = copy_of(witness.book)
    witness.ask(request(PAYING.sign_remote(1, [received(1, 50_000_000)])))
    witness.book, witness.counters = before, {}
    caught(witness, PAYING.sign_remote(1, [received(2, 50_000_000)]), saying="two commitments 1 of theirs")


def test_sees_a_number_that_goes_back():
    witness = opened()
    before = copy_of(witness.book)
    witness.ask(request(CHANNEL.sign_remote(1)))
    witness.ask(request(CHANNEL.revocation(0)))
    witness.book = before
    caught(witness, CHANNEL.sign_remote(1), saying="a number went back")


def test_sees_the_secret_of_a_commitment_in_force():
    secret = CHANNEL.node.channel(CHANNEL.id.peer_id, CHANNEL.id.dbid).release_secret(0)
    point = CHANNEL.node.channel(CHANNEL.id.peer_id, CHANNEL.id.dbid).per_commitment_point(0)
    reply = codec.encode(channel.GetPerCommitmentPointReply(point, secret))
    witness = altered(lambda outcome, book: replace(outcome, reply=reply))
    caught(witness, channel.GetPerCommitmentPoint(0), saying="the secret of commitment 0")


def test_sees_an_answer_that_cannot_be_read():
    from signerd.errors import MalformedMessage

    witness = altered(lambda outcome, book: replace(outcome, reply=outcome.reply + b"\x00"))
    with pytest.raises(MalformedMessage):
        witness.ask(request(channel.GetPerCommitmentPoint(0)))


def test_sees_a_state_that_changed_before_the_answer_was_remembered():
    def change(outcome, book):
        book.apply(outcome.changes)
        return outcome

    caught(altered(change), CHANNEL.sign_remote(1), saying="before anybody remembered")


def test_sees_another_answer_to_the_same_question():
    points = iter(range(2))

    def change(outcome, book):
        keys = CHANNEL.node.channel(CHANNEL.id.peer_id, CHANNEL.id.dbid)
        point = keys.per_commitment_point(next(points))
        return replace(outcome, reply=codec.encode(channel.GetPerCommitmentPointReply(point, None)))

    caught(altered(change), channel.GetPerCommitmentPoint(0), saying="a repetition got another answer")


def test_sees_a_channel_that_opens_again():
    def change(outcome, book):
        state = replace(book.channels[CHANNEL.id], closing=False)
        return replace(outcome, changes=Changes(channels={CHANNEL.id: state}))

    witness = opened()
    witness.ask(request(CHANNEL.publish(0)))
    witness.signer = Altered(change)
    caught(witness, channel.GetPerCommitmentPoint(0), saying="no longer closing")


def test_sees_other_parameters():
    def change(outcome, book):
        state = book.channels[CHANNEL.id]
        other = replace(state, setup=replace(state.setup, holder_delay=1))
        return replace(outcome, changes=Changes(channels={CHANNEL.id: other}))

    caught(altered(change), channel.GetPerCommitmentPoint(0), saying="parameters of a channel changed")


def test_sees_a_channel_removed_that_had_parameters():
    witness = altered(lambda outcome, book: replace(outcome, changes=Changes(channels={CHANNEL.id: None})))
    caught(witness, channel.GetPerCommitmentPoint(0), saying="removed")


def test_sees_the_nodes_secret_unless_it_was_in_the_question():
    def change(outcome, book):
        return replace(outcome, reply=codec.encode(identity.DeriveSecretReply(made.SECRET)))

    witness = altered(change)
    with pytest.raises(AssertionError, match="the node's secret was given away"):
        witness.ask(SigningRequest(1, codec.encode(identity.DeriveSecret(b"label"))))
    witness.ask(SigningRequest(1, codec.encode(identity.DeriveSecret(made.SECRET))))


def test_sees_a_state_that_the_store_cannot_keep():
    def change(outcome, book):
        state = replace(book.channels[CHANNEL.id], next_holder="1")
        return replace(outcome, changes=Changes(channels={CHANNEL.id: state}))

    with pytest.raises(StateError):
        altered(change).ask(request(channel.GetPerCommitmentPoint(0)))


def test_sees_a_store_that_forgets():
    class Forgetful(MemoryBook):
        def commit(self, changes):
            if not self.channels:
                self.apply(changes)

    witness = opened()
    witness.store = Forgetful()
    witness.store.commit(Changes(channels=witness.book.channels))
    # Asked again, memory has nothing more to remember.
    caught(witness, CHANNEL.sign_remote(1), saying="from the store it is")
