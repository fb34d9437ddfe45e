"""What a node asks besides its channels' dance: offers, gossip, its wallet's addresses; and who judges it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from helpers import scripts, vectors
from helpers.lives import NOW, InMemory, Refused, account_of, changes_of, keys_of
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.tx import bech32, bolt12
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Output
from signerd.core.wire import codec
from signerd.core.wire.composites import Side
from signerd.dev import channel as channels
from signerd.dev import gossip, identity, offers, player, spending
from signerd.dev.channel import Channel, Terms
from signerd.dev.choices import Dice
from signerd.dev.coins import Kind
from signerd.dev.gossip import Card, Price
from signerd.dev.lifecycle import Life
from signerd.dev.offers import Asked
from signerd.dev.peer import Peer
from signerd.dev.random_asides import Asides
from signerd.dev.splicing import Move
from signerd.dev.steps import Step, Steps
from signerd.dev.sweeping import Manner
from signerd.dev.verify import WrongAnswer

KEYS = keys_of()


def new_life() -> Life:
    return Life(account_of(KEYS), seed=b"a", now=NOW)


def recorded_invoices() -> list[str]:
    runs = vectors.load("cln_messages")["messages"]["lightningd"]["runs"]
    raw = [
        step["raw"] for run in runs for node in run["nodes"] for step in node["steps"] if step["type"] == 51
    ]
    found = {codec.decode(bytes.fromhex(item)).invstring for item in raw}
    return sorted(text for text in found if text.startswith("lni1"))


@pytest.mark.parametrize("text", recorded_invoices())
def test_a_real_nodes_invoice_is_signed_under_our_merkle_root(text):
    stream = bech32.octets(bech32.split(text)[1])
    records = {record.kind: record.value for record in bolt12.records(stream)}
    assert offers.write(records) == stream
    digest = secp256k1.tagged_hash(b"lightninginvoicesignature", offers.merkle_root(records))
    assert secp256k1.verify_schnorr(records[176][1:], records[240], digest)


@given(st.dictionaries(st.integers(0, 2**16 - 1), st.binary(max_size=300), min_size=1, max_size=40))
def test_the_core_and_the_counterparty_find_the_same_merkle_root(records):
    if any(not 240 <= kind <= 1000 for kind in records) and not 240 <= min(records) <= 1000:
        assert offers.merkle_root(records) == bolt12.merkle_root(bolt12.records(offers.write(records)))


def test_an_invoice_says_what_is_asked():
    life = new_life()
    channel = player.play_at_once(InMemory(KEYS), life.open())
    asked = Asked(
        preimage=b"\x05" * 32, amount_msat=7000, quantity=7, note=b"hi", expiry=60, hops=(0, 2), mpp=True
    )
    read = bolt12.read(offers.invoice(life.world, channel.peer, asked))
    assert (read.amount_msat, read.created_at, read.relative_expiry) == (7000, NOW, 60)
    assert (read.payment_hash, read.node_id) == (
        hashlib.sha256(asked.preimage).digest(),
        channel.peer.node_id,
    )
    assert read.chain_hash == CHAIN_HASHES["regtest"]


def some_asides(life: Life, channel: Channel) -> Steps[None]:
    world, peer = life.world, channel.peer
    card = Card(alias=b"\xff" * 32, features=bytes(9), addresses=(b"\xff" + bytes(9),), appended=b"more")
    yield from gossip.announce_node(world, card)
    yield from gossip.announce_channel(world, channel, features=b"\x01", appended=b"x", by_channeld=True)
    yield from gossip.update_channel(world, channel, Price(alias=bytes(8), appended=b"more", age=60))
    yield from offers.approve(world, peer, Asked(preimage=world.dice.fresh(), amount_msat=1))
    for tweak in (b"", b"tweak"):
        yield from offers.sign_request(world, {0: b"\x05", 240: b"", 2**15: bytes(300)}, tweak)
        yield from offers.sign_request_as_node(world, {0: b""}, tweak)
    yield from offers.sign_invoice(world, {168: bytes(32)})
    yield from identity.derive_secret(world, offers.NODE_ALIAS_BASE)
    for key in (None, peer.node_id):
        yield from identity.check_address(world, 5, key)


def closed_by_older_nodes(life: Life) -> Steps[None]:
    """What onchaind asks itself: on our commitment, on the peer's, on one that is revoked."""
    for end in ("ours", "theirs", "cheat"):
        terms = Terms(
            channel_type=channels.STATIC_REMOTEKEY, dual=True, home=Kind.P2WPKH, their_home=Kind.P2WPKH
        )
        channel = yield from life.open(terms)
        yield from life.pay(channel, 300_000_000)
        for side in Side:
            life.offer(channel, side, 50_000_000)
        yield from life.agree(channel)
        revoked = channel.newest(Side.REMOTE).number
        if end == "ours":
            yield from life.force_close(channel)
        else:
            if end == "cheat":
                yield from life.settle(channel)
            life.peer_closes(channel, revoked)
        yield from life.sweep(channel, Manner(older=True, keep=True))


def test_every_judge_of_these_notices_a_changed_answer():
    noticed: Counter[int] = Counter()

    def noticing(signer: InMemory, *, secrets: set[bytes]) -> Any:
        def answer(step: Step) -> bytes:
            reply, kind = signer(step), int.from_bytes(step.raw[:2], "big")
            step.judge(reply)
            # A secret that is asked for the first time can be any.
            if kind in {2, 3, 6, 12, 13, 14, 16, 25, 28, 29, 41} or (kind == 27 and step.raw in secrets):
                for other in changes_of(reply):
                    with pytest.raises(WrongAnswer):
                        step.judge(other)
                    noticed[kind] += 1
            secrets.add(step.raw)
            return reply

        return answer

    life = new_life()
    answer = noticing(InMemory(KEYS), secrets=set())
    channel = player.play_at_once(answer, life.open())
    player.play_at_once(answer, some_asides(life, channel))
    player.play_at_once(answer, closed_by_older_nodes(life))
    life = new_life()
    answer = noticing(InMemory(KEYS, dialect=Dialect.CORE_LIGHTNING), secrets=set())
    channel = player.play_at_once(answer, life.open())
    player.play_at_once(answer, life.splice(channel, Move(amount_sat=50_000)))
    assert set(noticed) == {2, 3, 6, 12, 13, 14, 16, 25, 27, 28, 29, 41}


def test_what_older_nodes_ask_brings_everything_home():
    life, signer = new_life(), InMemory(KEYS)
    player.play_at_once(signer, closed_by_older_nodes(life))
    assert not {142, 143, 144, 146} & set(signer.asked)
    assert {12: 3, 13: 4, 16: 2}.items() <= signer.asked.items()
    before = life.world.wallet.balance_sat
    assert before > 3 * 600_000
    for confirmed in life.world.chain.confirmed:
        scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])


@pytest.mark.parametrize("plain", [False, True])
def test_asides_of_every_kind_are_answered(plain):
    life, signer = new_life(), InMemory(KEYS, dialect=Dialect.CORE_LIGHTNING if plain else Dialect.HOSTED)
    channel = player.play_at_once(signer, life.open())
    asides = Asides(life, Dice(b"a"), plain=plain)
    signer.asked.clear()
    for _ in range(150):
        player.play_at_once(signer, asides.aside(channel))
    assert set(signer.asked) == {1, 3, 4, 6, 7, 8, 22, 25, 27, 28, 38, 39, 41} | (set() if plain else {2})
    for confirmed in life.world.chain.confirmed:
        scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])


@pytest.mark.parametrize("funder", Side)
def test_opens_by_v2_in_dualopends_order(funder):
    life, asked = new_life(), []
    signer = InMemory(KEYS)

    def answer(step: Step) -> bytes:
        asked.append((int.from_bytes(step.raw[:2], "big"), step.context and step.context.capabilities))
        return signer(step)

    player.play_at_once(answer, life.open(Terms(funder=funder, dual=True)))
    by_dualopend = [kind for kind, capabilities in asked if capabilities == 344]
    assert by_dualopend == [18, 18, 31, 19, 35, 32, 37]


def test_one_transaction_funds_several_channels():
    life, signer = new_life(), InMemory(KEYS)
    terms = [Terms(), Terms(channel_type=channels.STATIC_REMOTEKEY, value_sat=200_000), Terms(dual=True)]
    opened = player.play_at_once(signer, life.open_together(terms))
    assert signer.asked[7] == 1
    assert [channel.funding.index for channel in opened] == [0, 1, 2]
    assert len({channel.funding.txid for channel in opened}) == 1
    for channel in opened:
        player.play_at_once(signer, life.pay(channel, 1_000_000))
        player.play_at_once(signer, life.close(channel))
    for confirmed in life.world.chain.confirmed:
        scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])


@pytest.mark.parametrize("kind", Kind)
def test_signs_its_own_part_of_a_transaction_with_others(kind):
    life = new_life()
    life.world.wallet.deposit(100_000, kind)
    payee = Output(50_000, b"\x00\x14" + bytes(20))
    steps = spending.join(life.world, [payee], Peer(b"somebody"))
    signed = player.play_at_once(InMemory(KEYS), steps)
    assert all(item.witness for item in signed.inputs)
    (confirmed,) = life.world.chain.confirmed
    scripts.verify(signed.serialize(), [(item.value, item.script) for item in confirmed.spent])


@pytest.mark.parametrize(
    ("funder", "rule"),
    [(Side.LOCAL, "policy-onchain-no-channel-push"), (Side.REMOTE, "policy-onchain-no-fund-inbound")],
)
def test_both_pay_for_an_opening_by_v2_and_a_hosted_signer_refuses_that(funder, rule):
    terms = Terms(funder=funder, push_msat=300_000_000, dual=True)
    life, signer = new_life(), InMemory(KEYS, dialect=Dialect.CORE_LIGHTNING)
    channel = player.play_at_once(signer, life.open(terms))
    assert signer.asked[7] == 1
    (confirmed,) = life.world.chain.confirmed
    assert channel.funding.txid == confirmed.tx.txid
    assert len(confirmed.tx.inputs) == 2
    scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])
    player.play_at_once(signer, life.pay(channel, 1_000_000))
    life = new_life()
    with pytest.raises(Refused, match=rule):
        player.play_at_once(InMemory(KEYS), life.open(terms))
