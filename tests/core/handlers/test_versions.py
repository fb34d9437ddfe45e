"""Older hsmd wire versions: what a node that agreed on 4 or 5 is told, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import plain_nodes, vectors
from helpers.family_player import context_of
from helpers.one_channel import OneChannel, offered

from signerd.core import startup
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire.channel import GetPerCommitmentPoint, RevokeCommitmentTx
from signerd.store.state_db import StateDb
from signerd.units import Secret, UnixTime

SESSIONS = vectors.load("cln_messages")["messages"]["sessions"]
OLD = next(item for item in SESSIONS if "protocol 5" in item["about"])
POINTS = [item for item in OLD["steps"] if item["type"] == 18 and item["outcome"] == "reply"]
PLAIN = Dialect.CORE_LIGHTNING
NOW = UnixTime(0)


def speaking(version: int, dialect: Dialect = PLAIN) -> OneChannel:
    """A channel with both commitments 0, of a node that speaks this version."""
    channel = OneChannel(dialect=dialect)
    channel.book.node = channel.book.node.agree(version)
    return channel.open()


def secret_of(channel: OneChannel, number: int) -> bytes:
    return channel.composer.keys.release_secret(number)


def signed(signer: Signer, raw: bytes, book, context=None) -> Signed:
    outcome = signer.handle(SigningRequest(1, raw, context), book, NOW)
    assert isinstance(outcome, Signed)
    return outcome


def test_in_version_5_points_come_with_revoked_secrets_as_core_lightning_tells_them():
    signer, book = Signer(plain_nodes.keys_of(OLD), OLD["network"], PLAIN), MemoryBook()
    book.apply(signed(signer, bytes.fromhex(OLD["init"]), book).changes)
    last = max(codec.decode(bytes.fromhex(item["raw"])).n for item in POINTS[:5])
    for step in POINTS[:5]:
        where = ChannelId(bytes.fromhex(step["on"]["node_id"]), step["on"]["dbid"])
        book.channels[where] = ChannelState(setup=OneChannel().setup, next_holder=last)
        answer = signed(signer, bytes.fromhex(step["raw"]), book, context_of(step["on"]))
        assert step["reply"] == answer.reply.hex()
        assert answer.changes.empty
    assert [0, 1, 2, 3, 100] == [codec.decode(bytes.fromhex(item["raw"])).n for item in POINTS[:5]]


@pytest.mark.parametrize("version", [4, 5])
def test_no_point_comes_with_a_secret_that_is_not_revoked(version):
    channel = speaking(version)
    channel.step(1)
    told = {number: channel.ask(GetPerCommitmentPoint(number)).old_commitment_secret for number in range(4)}
    assert {0: None, 1: None, 2: secret_of(channel, 0), 3: None} == told


def test_in_version_6_no_point_comes_with_a_secret():
    channel = speaking(6)
    channel.step(1)
    assert channel.ask(GetPerCommitmentPoint(2)).old_commitment_secret is None


@pytest.mark.parametrize("version", [5, 6])
def test_since_version_5_a_validation_revokes_nothing(version):
    channel = speaking(version)
    assert channel.ask(channel.validate(1)).old_commitment_secret is None
    assert channel.state.next_holder == 1


def test_in_version_4_a_validation_revokes_the_commitment_before():
    channel = speaking(4)
    assert channel.ask(channel.validate(0)).old_commitment_secret is None
    for number in (1, 2, 3):
        reply = channel.ask(channel.validate(number))
        assert secret_of(channel, number - 1) == reply.old_commitment_secret
        assert number + 1 == channel.state.next_holder
        again = channel.answer(channel.validate(number))
        assert (reply, True) == (again.reply, again.changes.empty)
        assert channel.refusal(channel.publish(number - 1), context=False) == "commitment-revoked"
    assert secret_of(channel, 2) == channel.ask(RevokeCommitmentTx(2)).old_commitment_secret
    assert channel.funding_signature_fits(
        channel.ask(channel.publish(3), context=False), channel.commitment(3, holder=True).tx
    )


def test_in_version_4_nothing_is_revoked_for_a_commitment_that_is_not_signed():
    channel = speaking(4)
    wrong = replace(channel.validate(1), signature=channel.validate(0).signature)
    assert channel.refusal(wrong) == "policy-revoke-new-commitment-signed"
    htlcs = [offered(1, 50_000_000)]
    channel.balances = (channel.balances[0] - 50_000_000, channel.balances[1])
    assert (
        channel.refusal(replace(channel.validate(1, htlcs), htlc_signatures=()))
        == "policy-revoke-new-commitment-signed"
    )
    assert channel.state.next_holder == 1


def test_in_version_4_a_commitment_that_was_signed_for_the_chain_is_not_revoked():
    channel = speaking(4)
    channel.ask(channel.publish(0), context=False)
    assert channel.refusal(channel.validate(1)) == "channel-closing"


def test_the_version_outlives_a_restart(tmp_path):
    signer = Signer(plain_nodes.keys_of(OLD), OLD["network"], PLAIN)
    init = codec.decode(bytes.fromhex(OLD["init"]))
    for oldest, newest, agreed in ((3, 4, 4), (5, 5, 5), (5, 6, 6)):
        raw = codec.encode(replace(init, min_version=oldest, max_version=newest))
        with StateDb(tmp_path / "db") as store:
            store.commit(signed(signer, raw, store).changes)
        with StateDb(tmp_path / "db") as store:
            assert agreed == store.node.hsm_version
            assert signed(signer, raw, store).changes.empty


def test_a_hosted_nodes_init_changes_nothing():
    signer = Signer(NodeKeys.derive(Secret(b"\x21" * 32)), "regtest")
    raw = codec.encode(replace(codec.decode(startup.init_request()), min_version=5, max_version=5))
    assert signed(signer, raw, MemoryBook()).changes.empty
