"""Commitments: a valid request, one thing changed, the rule's name; the same answer to the same request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import ANCHORS, STATIC, OneChannel, bitcoin_tx, offered, psbt_of, received

from signerd.core.handlers import composing
from signerd.core.keys import secp256k1
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import channel as channel_wire
from signerd.core.wire.composites import BitcoinSignature, BitcoinTx, Side
from signerd.errors import MalformedMessage

TYPES = pytest.mark.parametrize("channel_type", [STATIC, ANCHORS], ids=["static", "anchors"])
HTLCS = (offered(1, 50_000_000), received(2, 60_000_000, 600), offered(3, 50_000_000))
WITH_HTLCS = (500_000_000, 340_000_000)
"""Balances beside HTLCS, of a channel in which 400,000 sat were pushed."""


def opened(channel_type: bytes = ANCHORS, **more) -> OneChannel:
    return OneChannel(channel_type=channel_type, push_msat=400_000_000, **more).open()


def with_htlcs(channel_type: bytes = ANCHORS, **more) -> OneChannel:
    """Both sides at commitment 1, which holds HTLCS."""
    channel = opened(channel_type, **more)
    channel.step(1, HTLCS, WITH_HTLCS)
    return channel


@pytest.fixture
def channel() -> OneChannel:
    return opened()


def changed_tx(request: BitcoinTx, channel: OneChannel, **changes) -> BitcoinTx:
    """The same request for another transaction, with a PSBT that agrees with it."""
    tx = replace(Transaction.parse(request.raw), **changes)
    more = [Output(1, b"\x51")] * (len(tx.inputs) - 1)
    return bitcoin_tx(tx, [channel.composer.funding_output(channel.funding), *more])


# The peer's commitment


@TYPES
def test_signs_the_peers_commitment(channel_type):
    channel = opened(channel_type)
    channel.balances = WITH_HTLCS
    reply = channel.ask(channel.sign_remote(1, HTLCS))
    composed = channel.commitment(1, HTLCS, holder=False)
    assert 3 == len(composed.htlc_outputs())
    assert channel.funding_signature_fits(reply, composed.tx)
    assert composed.txid == channel.state.signed.contents[0][1].txid


def test_gives_the_same_signature_to_the_same_request(channel):
    request = channel.sign_remote(1)
    first = channel.ask(request)
    again = channel.answer(request)
    assert first == again.reply
    assert again.changes.empty


def test_the_order_in_which_htlcs_are_listed_does_not_matter(channel):
    channel.balances = WITH_HTLCS
    request = channel.sign_remote(1, HTLCS)
    first = channel.ask(request)
    again = channel.answer(replace(request, htlcs=request.htlcs[::-1]))
    assert (first, True) == (again.reply, again.changes.empty)


def test_never_signs_a_number_twice_with_other_contents(channel):
    channel.ask(channel.sign_remote(1))
    channel.feerate += 1
    assert channel.refusal(channel.sign_remote(1)) == "commitment-retry-same"


def test_signs_no_commitment_beside_the_next(channel):
    assert channel.refusal(channel.sign_remote(2)) == "commitment-skipped"
    channel.ask(channel.sign_remote(1))
    assert channel.refusal(channel.sign_remote(0)) == "commitment-revoked"
    assert channel.refusal(channel.sign_remote(2)) == "commitment-previous-revoked"


COMPOSITIONS = {
    "version": lambda tx: {"version": 1},
    "lock time": lambda tx: {"locktime": 0},
    "sequence": lambda tx: {"inputs": (replace(tx.inputs[0], sequence=0xFFFFFFFF),)},
    "another input": lambda tx: {"inputs": (*tx.inputs, Input(Outpoint(b"\x01" * 32, 0)))},
    "order": lambda tx: {"outputs": tx.outputs[::-1]},
    "an output more": lambda tx: {"outputs": (*tx.outputs, Output(1000, b"\x00\x14" + bytes(20)))},
    "an output less": lambda tx: {"outputs": tx.outputs[1:]},
    "an output twice": lambda tx: {"outputs": (*tx.outputs, tx.outputs[-1])},
    "a value of an anchor": lambda tx: {"outputs": (replace(tx.outputs[0], value=331), *tx.outputs[1:])},
}


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("kind", ["sign_remote", "validate"])
def test_refuses_every_other_transaction(channel, name, kind):
    channel.balances = WITH_HTLCS
    request = getattr(channel, kind)(1, HTLCS)
    changes = COMPOSITIONS[name](Transaction.parse(request.tx.raw))
    changed = replace(request, tx=changed_tx(request.tx, channel, **changes))
    assert channel.refusal(changed) == "policy-commitment"


def test_refuses_a_commitment_of_another_output(channel):
    request = channel.sign_remote(1)
    elsewhere = (replace(Transaction.parse(request.tx.raw).inputs[0], outpoint=Outpoint(b"\x05" * 32, 0)),)
    changed = replace(request, tx=changed_tx(request.tx, channel, inputs=elsewhere))
    assert channel.refusal(changed) == "commitment-funding"


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h[1:],
        lambda h: (*h, h[0]),
        lambda h: (replace(h[0], payment_hash=bytes(32)), *h[1:]),
        lambda h: (replace(h[0], amount_msat=h[0].amount_msat + 1000), *h[1:]),
        lambda h: (replace(h[0], side=Side.REMOTE), *h[1:]),
        # Who offers an HTLC has its expiry in no script, only in the lock time of its HTLC transaction.
        lambda h: tuple(replace(item, cltv_expiry=601) for item in h),
        lambda h: (*h, offered(9, 2**64 - 1)),
    ],
    ids=["one less", "one twice", "hash", "amount", "side", "expiry", "overflow"],
)
@pytest.mark.parametrize("kind", ["sign_remote", "validate"])
def test_refuses_a_list_of_htlcs_that_is_not_the_transactions(channel, change, kind):
    channel.balances = WITH_HTLCS
    request = getattr(channel, kind)(1, HTLCS)
    assert channel.refusal(replace(request, htlcs=change(request.htlcs))) == "policy-commitment"


def test_refuses_another_funding_key_of_the_peers(channel):
    request = channel.sign_remote(1)
    assert channel.refusal(replace(request, remote_funding_key=channel.point(0))) == "funding-key"


def test_refuses_another_point_of_the_peers(channel):
    request = channel.sign_remote(1)
    assert (
        channel.refusal(replace(request, remote_per_commitment_point=channel.point(2))) == "policy-commitment"
    )


def test_refuses_a_psbt_of_another_transaction(channel):
    request, other = channel.sign_remote(1), channel.sign_remote(2)
    lying = BitcoinTx(request.tx.raw, other.tx.psbt)
    assert channel.refusal(replace(request, tx=lying)) == "psbt-transaction"


def test_refuses_a_psbt_without_the_witness_scripts(channel):
    request = channel.sign_remote(1)
    tx, spent = Transaction.parse(request.tx.raw), channel.composer.funding_output(channel.funding)
    bare = BitcoinTx(request.tx.raw, psbt_of(tx, [spent]))
    assert channel.refusal(replace(request, tx=bare)) == "policy-commitment-scripts"


def test_refuses_a_psbt_that_lies_about_the_funding(channel):
    request = channel.sign_remote(1)
    tx, spent = Transaction.parse(request.tx.raw), channel.composer.funding_output(channel.funding)
    for lie in (replace(spent, value=spent.value + 1), replace(spent, script=b"\x00\x14" + bytes(20))):
        lying = BitcoinTx(request.tx.raw, psbt_of(tx, [lie]))
        assert channel.refusal(replace(request, tx=lying)) == "psbt-spent-output"
    lying = BitcoinTx(request.tx.raw, psbt_of(tx, [spent], sighash=0x83))
    assert channel.refusal(replace(request, tx=lying)) == "psbt-sighash"


def test_refuses_more_htlcs_than_a_commitment_may_have_before_reading_on(channel):
    request = channel.sign_remote(1)
    many = replace(request, htlcs=(offered(1, 10**6),) * 1001, tx=BitcoinTx(b"", b""))
    assert channel.refusal(many) == "policy-commitment-htlc-count-limit"
    many = replace(channel.validate(1), htlcs=(offered(1, 10**6),) * 1001, tx=BitcoinTx(b"", b""))
    assert channel.refusal(many) == "policy-commitment-htlc-count-limit"


def test_refuses_htlcs_in_the_first_commitment():
    channel = OneChannel(push_msat=400_000_000)
    channel.ask(channel.new(), context=False)
    channel.ask(channel.set_up())
    channel.balances = WITH_HTLCS
    assert channel.refusal(channel.sign_remote(0, HTLCS)) == "policy-commitment-first-no-htlcs"


def test_refuses_to_begin_with_more_for_the_peer_than_is_pushed():
    channel = OneChannel(push_msat=400_000_000)
    channel.ask(channel.new(), context=False)
    channel.ask(channel.set_up())
    channel.balances = (599_000_000, 401_000_000)
    for request in (channel.sign_remote(0), channel.validate(0)):
        assert channel.refusal(request) == "policy-commitment-initial-funding-value"


def test_refuses_a_commitment_of_a_channel_without_parameters():
    channel = OneChannel()
    channel.ask(channel.new(), context=False)
    assert channel.refusal(channel.sign_remote(0)) == "channel-not-set-up"


def test_the_feerate_of_the_first_commitment_may_be_left_out():
    channel = OneChannel()
    channel.ask(channel.new(), context=False)
    channel.ask(channel.set_up())
    for request in (channel.sign_remote(0), channel.validate(0)):
        channel.ask(replace(request, feerate=0))


# Our own commitment


@TYPES
def test_validates_and_revokes(channel_type):
    channel = opened(channel_type)
    channel.balances = WITH_HTLCS
    reply = channel.ask(channel.validate(1, HTLCS))
    keys = channel.composer.keys
    assert (None, keys.per_commitment_point(2)) == (
        reply.old_commitment_secret,
        reply.next_per_commitment_point,
    )
    reply = channel.ask(channel_wire.RevokeCommitmentTx(0))
    assert (keys.release_secret(0), keys.per_commitment_point(2)) == (
        reply.old_commitment_secret,
        reply.next_per_commitment_point,
    )


@pytest.mark.parametrize("made", [composing._holder_keys, composing._holder_point])
def test_what_the_commitment_after_a_valid_one_needs_is_made_ahead(channel, made):
    made.cache_clear()
    channel.answer(channel.validate(1)).ahead()
    misses = made.cache_info().misses
    channel.composer.holder_keys(2)
    channel.composer.holder_point(3)
    assert made.cache_info().misses == misses
    channel.composer.holder_keys(3)
    channel.composer.holder_point(4)
    assert made.cache_info().misses == misses + 1


def test_the_same_validation_and_revocation_again_change_nothing(channel):
    validation, revocation = channel.validate(1), channel_wire.RevokeCommitmentTx(0)
    replies = [channel.ask(validation), channel.ask(revocation)]
    again = [channel.answer(validation), channel.answer(revocation)]
    assert replies == [answer.reply for answer in again]
    assert all(answer.changes.empty for answer in again)


@TYPES
@pytest.mark.parametrize("which", [None, 0, 2], ids=["commitment", "first htlc", "last htlc"])
@pytest.mark.parametrize("fault", ["wrong", "zero", "sighash", "other message's"])
def test_refuses_a_wrong_signature_of_the_peers(channel_type, which, fault):
    channel = opened(channel_type)
    channel.balances = WITH_HTLCS
    request = channel.validate(1, HTLCS)
    good = request.signature if which is None else request.htlc_signatures[which]
    bad = {
        "wrong": replace(good, signature=good.signature[:-1] + bytes([good.signature[-1] ^ 1])),
        "zero": replace(good, signature=bytes(64)),
        "sighash": replace(good, sighash=0x83 if good.sighash == 1 else 1),
        "other message's": replace(good, signature=request.htlc_signatures[1].signature),
    }[fault]
    if which is None:
        changed = replace(request, signature=bad)
    else:
        signatures = list(request.htlc_signatures)
        signatures[which] = bad
        changed = replace(request, htlc_signatures=tuple(signatures))
    assert channel.refusal(changed) == "policy-revoke-new-commitment-signed"


@pytest.mark.parametrize("which", [0, 9, 10, 19])
def test_refuses_a_wrong_signature_among_many(channel, which):
    """So many are verified by two threads."""
    htlcs = tuple(offered(number, 5_000_000) for number in range(1, 21))
    channel.balances = (500_000_000, 400_000_000)
    request = channel.validate(1, htlcs)
    signatures = list(request.htlc_signatures)
    signatures[which] = replace(signatures[which], signature=signatures[which - 1].signature)
    changed = replace(request, htlc_signatures=tuple(signatures))
    assert channel.refusal(changed) == "policy-revoke-new-commitment-signed"
    channel.ask(request)


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: (*s, s[0]), lambda s: (), lambda s: s[::-1]])
def test_refuses_any_other_list_of_htlc_signatures(channel, change):
    channel.balances = WITH_HTLCS
    request = channel.validate(1, HTLCS)
    changed = replace(request, htlc_signatures=change(request.htlc_signatures))
    assert channel.refusal(changed) == "policy-revoke-new-commitment-signed"


def test_a_signature_that_is_wrong_leaves_nothing_behind(channel):
    request, before = channel.validate(1), channel.state
    wrong = replace(request, signature=BitcoinSignature(b"\x01" * 64, 1))
    assert channel.refusal(wrong) == "policy-revoke-new-commitment-signed"
    assert before is channel.state
    assert channel.refusal(channel_wire.RevokeCommitmentTx(0)) == "revoke-not-validated"


def test_gives_away_nothing_of_ours_without_an_htlc_that_we_offered():
    channel = with_htlcs()
    channel.balances = (350_000_000, 490_000_000)
    assert channel.refusal(channel.sign_remote(2, HTLCS)) == "commitment-balance"
    assert channel.refusal(channel.validate(2, HTLCS)) == "commitment-balance"


def test_what_is_given_away_little_by_little_adds_up_on_both_sides():
    channel = opened()
    given = 40_000_000
    for number in (1, 2):
        ours, theirs = channel.balances
        channel.step(number, balances=(ours - given, theirs + given))
    assert channel.state.holder_loss.sat == channel.state.counterparty_loss.sat == 80_000
    ours, theirs = channel.balances
    channel.balances = (ours - given, theirs + given)
    assert channel.refusal(channel.sign_remote(3)) == "commitment-balance"
    assert channel.refusal(channel.validate(3)) == "commitment-balance"


def test_what_is_given_away_with_a_commitment_counts_once_however_often_it_comes():
    channel = opened()
    ours, theirs = channel.balances
    channel.balances = (ours - 60_000_000, theirs + 60_000_000)
    for _ in range(3):
        channel.ask(channel.sign_remote(1))
        channel.ask(channel.validate(1))
    channel.ask(channel.revocation(0))
    channel.ask(channel_wire.RevokeCommitmentTx(0))
    assert channel.state.holder_loss.sat == channel.state.counterparty_loss.sat == 60_000


def test_a_hosted_node_has_a_limit_for_what_is_in_flight():
    for dialect, rule in (
        (Dialect.HOSTED, "policy-commitment-htlc-inflight-limit"),
        (Dialect.CORE_LIGHTNING, ""),
    ):
        channel = opened(value_sat=40_000_000, dialect=dialect)
        htlcs = [replace(HTLCS[0], side=Side.LOCAL, amount_msat=16_777_217_000)]
        channel.balances = (channel.balances[0] - 16_777_217_000, channel.balances[1])
        for request in (channel.sign_remote(1, htlcs), channel.validate(1, htlcs)):
            if rule:
                assert channel.refusal(request) == rule
            else:
                channel.answer(request)


def test_an_htlc_that_we_offered_may_be_paid_or_fail():
    for balances in ((500_000_000, 440_000_000), (550_000_000, 390_000_000), (600_000_000, 340_000_000)):
        channel = with_htlcs()
        channel.step(2, HTLCS[1:2], balances)


def test_an_htlc_of_the_peers_may_be_paid_or_fail():
    for balances in ((560_000_000, 340_000_000), (500_000_000, 400_000_000)):
        channel = with_htlcs()
        channel.step(2, (HTLCS[0], HTLCS[2]), balances)


@TYPES
def test_the_feerate_may_change(channel_type):
    channel = with_htlcs(channel_type)
    for number, feerate in enumerate((5000, 253, 20_000), start=2):
        channel.feerate = feerate
        channel.step(number, HTLCS)


# The peer's revocation


def test_keeps_the_peers_secret(channel):
    channel.ask(channel.sign_remote(1))
    request = channel.revocation(0)
    assert channel_wire.ValidateRevocationReply() == channel.ask(request)
    assert channel.answer(request).changes.empty
    assert 1 == channel.state.next_counterparty_revocation


@pytest.mark.parametrize("wrong", [bytes(32), secp256k1.ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_refuses_a_secret_that_is_none(channel, wrong):
    channel.ask(channel.sign_remote(1))
    with pytest.raises(MalformedMessage, match="not a valid private key"):
        channel.answer(channel_wire.ValidateRevocation(0, wrong))


def test_refuses_a_secret_of_another_number(channel):
    channel.ask(channel.sign_remote(1))
    wrong = replace(channel.revocation(1), revoke_num=0)
    assert channel.refusal(wrong) == "revocation-secret"


# For the chain


@TYPES
@pytest.mark.parametrize("dialect", Dialect)
def test_signs_our_current_commitment_for_the_chain(channel_type, dialect):
    channel = with_htlcs(channel_type, dialect=dialect)
    request = channel.publish(1, HTLCS)
    reply = channel.ask(request, context=False)
    assert channel.funding_signature_fits(reply, Transaction.parse(request.tx.raw))
    again = channel.answer(request, context=False)
    assert (reply, True) == (again.reply, again.changes.empty)


def test_never_signs_a_revoked_commitment_for_the_chain():
    channel = opened()
    revoked = channel.publish(0)
    channel.step(1, HTLCS, WITH_HTLCS)
    assert channel.refusal(revoked, context=False) == "commitment-revoked"
    assert channel.refusal(replace(revoked, commit_num=1), context=False) == "policy-commitment"


def test_signs_for_the_chain_only_what_was_validated(channel):
    request = channel.publish(0)
    channel.balances = (300_000_000, 700_000_000)
    other = replace(channel.publish(0), tx=channel.publish(0).tx)
    assert channel.refusal(other, context=False) == "policy-commitment"
    assert channel.refusal(replace(request, commit_num=1), context=False) == "commitment-skipped"


def test_never_revokes_what_was_signed_for_the_chain(channel):
    channel.ask(channel.validate(1))
    channel.ask(channel.publish(0), context=False)
    assert channel.refusal(channel_wire.RevokeCommitmentTx(0)) == "revoke-published"
    assert channel.refusal(channel.sign_remote(1)) == "channel-closing"


def test_signs_for_the_chain_nothing_of_a_stranger(channel):
    request = channel.publish(0)
    assert channel.refusal(replace(request, dbid=99), context=False) == "channel-unknown"
    assert (
        channel.refusal(replace(request, remote_funding_key=channel.point(0)), context=False) == "funding-key"
    )
