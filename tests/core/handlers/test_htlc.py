"""HTLC transactions of both sides' commitments: rebuilt from what is remembered, and nothing else signed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import (
    ANCHORS,
    STATIC,
    Htlc,
    OneChannel,
    Side,
    bitcoin_tx,
    hash_of,
    offered,
    psbt_of,
    received,
)

from signerd.core.keys import secp256k1
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import commitment as wire
from signerd.core.wire.composites import BitcoinTx
from signerd.errors import MalformedMessage, Refused

TYPES = pytest.mark.parametrize("channel_type", [STATIC, ANCHORS], ids=["static", "anchors"])
HTLCS = (offered(1, 50_000_000), received(2, 60_000_000, 600), offered(3, 50_000_000))
WITH_HTLCS = (500_000_000, 340_000_000)


def with_htlcs(channel_type: bytes = ANCHORS, **more) -> OneChannel:
    """Both sides at commitment 1, which holds HTLCS."""
    channel = OneChannel(channel_type=channel_type, push_msat=400_000_000, **more).open()
    channel.step(1, HTLCS, WITH_HTLCS)
    return channel


def htlc_signature_fits(channel: OneChannel, reply, request, composed, which: int) -> bool:
    index, output = composed.htlc_outputs()[which]
    sighash = 0x83 if channel.setup.format.anchors else 1
    tx = Transaction.parse(request.tx.raw)
    assert Outpoint(composed.txid, index) == tx.inputs[0].outpoint
    digest = Digests(tx).segwit_v0(0, output.witness_script, output.output.value, sighash)
    keys = composed.terms.keys
    key = keys.other_htlc if isinstance(request, wire.SignRemoteHtlcTx) else keys.own_htlc
    return reply.signature.sighash == sighash and secp256k1.verify_compact(
        key, reply.signature.signature, digest
    )


@TYPES
@pytest.mark.parametrize("which", range(3))
def test_signs_the_htlc_transactions_of_the_peers_commitment(channel_type, which):
    channel = with_htlcs(channel_type)
    request = channel.remote_htlc(1, HTLCS, which)
    answer = channel.answer(request)
    assert answer.changes.empty
    composed = channel.commitment(1, HTLCS, holder=False)
    assert htlc_signature_fits(channel, answer.reply, request, composed, which)


@TYPES
@pytest.mark.parametrize("which", range(3))
def test_signs_the_htlc_transactions_of_our_own_commitment(channel_type, which):
    channel = with_htlcs(channel_type)
    request = channel.local_htlc(1, HTLCS, which)
    reply = channel.ask(request, context=False)
    composed = channel.commitment(1, HTLCS, holder=True)
    assert htlc_signature_fits(channel, reply, request, composed, which)
    older = wire.SignLocalHtlcTx(1, request.tx, request.wscript, request.option_anchors)
    assert reply == channel.ask(older)


def test_the_sighash_follows_the_channel_and_not_the_flag():
    for channel_type, sighash in ((STATIC, 1), (ANCHORS, 0x83)):
        channel = with_htlcs(channel_type)
        request = channel.remote_htlc(1, HTLCS)
        flipped = replace(request, option_anchors=not request.option_anchors)
        assert sighash == channel.ask(flipped).signature.sighash


def test_signs_an_htlc_of_the_commitment_before_until_it_is_far_behind():
    channel = with_htlcs()
    request = channel.remote_htlc(1, HTLCS)
    channel.step(2, HTLCS)
    channel.ask(request)
    channel.step(3, HTLCS)
    assert channel.refusal(request) == "htlc-unknown"


def test_signs_no_htlc_of_a_commitment_that_it_did_not_sign():
    channel = OneChannel(push_msat=400_000_000).open()
    channel.balances = WITH_HTLCS
    assert channel.refusal(channel.remote_htlc(1, HTLCS)) == "htlc-unknown"


def test_signs_no_htlc_of_a_transaction_that_is_no_commitment_of_ours():
    """The same script and value elsewhere: an output that somebody else has made."""
    channel = with_htlcs()
    for request, composed in (
        (channel.remote_htlc(1, HTLCS), channel.commitment(1, HTLCS, holder=False)),
        (channel.local_htlc(1, HTLCS), channel.commitment(1, HTLCS, holder=True)),
    ):
        tx = Transaction.parse(request.tx.raw)
        elsewhere = replace(tx.inputs[0], outpoint=replace(tx.inputs[0].outpoint, txid=b"\x0b" * 32))
        moved = bitcoin_tx(replace(tx, inputs=(elsewhere,)), [composed.htlc_outputs()[0][1].output])
        assert channel.refusal(replace(request, tx=moved), context=request.TYPE == 20) == "htlc-unknown"


def test_signs_no_htlc_of_a_commitment_of_ours_that_is_not_current():
    channel = with_htlcs()
    request = channel.local_htlc(1, HTLCS)
    for number, rule in ((0, "commitment-revoked"), (2, "commitment-skipped")):
        assert channel.refusal(replace(request, commit_num=number), context=False) == rule
    channel.step(2, HTLCS)
    assert channel.refusal(request, context=False) == "commitment-revoked"
    assert channel.refusal(replace(request, commit_num=2), context=False) == "htlc-unknown"
    assert channel.refusal(replace(request, input=1), context=False) == "policy-htlc-other"


HTLC_CHANGES = {
    "version": lambda tx: {"version": 1},
    "lock time": lambda tx: {"locktime": tx.locktime + 1},
    "sequence": lambda tx: {"inputs": (replace(tx.inputs[0], sequence=7),)},
    "value": lambda tx: {"outputs": (replace(tx.outputs[0], value=tx.outputs[0].value - 1),)},
    "destination": lambda tx: {"outputs": (replace(tx.outputs[0], script=b"\x00\x14" + bytes(20)),)},
    "an input more": lambda tx: {"inputs": (*tx.inputs, Input(Outpoint(b"\x01" * 32, 0)))},
    "an output more": lambda tx: {"outputs": (*tx.outputs, Output(1, b"\x51"))},
    "no output": lambda tx: {"outputs": ()},
}


@TYPES
@pytest.mark.parametrize("name", HTLC_CHANGES)
@pytest.mark.parametrize("which", range(3))
def test_refuses_every_other_htlc_transaction(channel_type, name, which):
    """With SINGLE | ANYONECANPAY the output at index 0 is all that a signature protects."""
    channel = with_htlcs(channel_type)
    for request, composed in (
        (channel.remote_htlc(1, HTLCS, which), channel.commitment(1, HTLCS, holder=False)),
        (channel.local_htlc(1, HTLCS, which), channel.commitment(1, HTLCS, holder=True)),
    ):
        tx = Transaction.parse(request.tx.raw)
        changed = replace(tx, **HTLC_CHANGES[name](tx))
        spent = composed.htlc_outputs()[which][1].output
        more = [Output(1, b"\x51")] * (len(changed.inputs) - 1)
        lying = replace(request, tx=bitcoin_tx(changed, [spent, *more]))
        assert channel.refusal(lying, context=request.TYPE == 20) == "policy-htlc-other"


def test_refuses_an_htlc_transaction_with_another_script():
    channel = with_htlcs()
    request, other = channel.remote_htlc(1, HTLCS, 0), channel.remote_htlc(1, HTLCS, 2)
    assert channel.refusal(replace(request, wscript=b"\x51")) == "policy-commitment-scripts"
    foreign = channel.local_htlc(1, HTLCS).wscript
    assert channel.refusal(replace(request, wscript=foreign)) == "htlc-unknown"
    assert channel.refusal(replace(request, tx=other.tx, wscript=foreign)) == "htlc-unknown"


def test_refuses_an_htlc_transaction_for_another_point():
    channel = with_htlcs()
    request = channel.remote_htlc(1, HTLCS)
    assert channel.refusal(replace(request, remote_per_commitment_point=channel.point(0))) == "htlc-unknown"


def test_reads_an_htlc_transaction_in_an_unusual_form():
    """More fields in the PSBT, a witness on the transaction: the same answer."""
    channel = with_htlcs()
    request = channel.remote_htlc(1, HTLCS)
    tx = Transaction.parse(request.tx.raw)
    spent = channel.commitment(1, HTLCS, holder=False).htlc_outputs()[0][1].output
    finished = replace(tx, inputs=(replace(tx.inputs[0], witness=(b"\x01",)),))
    unusual = BitcoinTx(finished.serialize(), psbt_of(tx, [spent]))
    assert channel.ask(request) == channel.ask(replace(request, tx=unusual))


def test_refuses_an_htlc_psbt_that_lies():
    channel = with_htlcs()
    request = channel.remote_htlc(1, HTLCS)
    tx = Transaction.parse(request.tx.raw)
    spent = channel.commitment(1, HTLCS, holder=False).htlc_outputs()[0][1].output
    lie = psbt_of(tx, [replace(spent, value=spent.value - 1)])
    assert channel.refusal(replace(request, tx=BitcoinTx(request.tx.raw, lie))) == "psbt-spent-output"
    lie = psbt_of(tx, [spent], sighash=1)
    assert channel.refusal(replace(request, tx=BitcoinTx(request.tx.raw, lie))) == "psbt-sighash"
    truth = BitcoinTx(request.tx.raw, psbt_of(tx, [spent], sighash=0x83))
    assert channel.ask(request) == channel.ask(replace(request, tx=truth))
    with pytest.raises(MalformedMessage):
        channel.answer(replace(request, tx=BitcoinTx(request.tx.raw, request.tx.psbt[:-1])))


def test_signs_as_the_dialect_has_it():
    signatures = set()
    for dialect, nonce in ((Dialect.HOSTED, Nonce.PLAIN), (Dialect.CORE_LIGHTNING, Nonce.LOW_R_FROM_ZERO)):
        channel = with_htlcs(dialect=dialect)
        request = channel.remote_htlc(1, HTLCS)
        signature = channel.ask(request).signature
        index, output = channel.commitment(1, HTLCS, holder=False).htlc_outputs()[0]
        digest = Digests(Transaction.parse(request.tx.raw)).segwit_v0(
            0, output.witness_script, output.output.value, 0x83
        )
        assert signature.signature == channel.composer.keys.sign_htlc(digest, channel.point(1), nonce)
        signatures.add(signature.signature)
        assert index
    assert 2 == len(signatures)


@pytest.mark.parametrize("channel_type", [STATIC, ANCHORS])
@pytest.mark.parametrize("side", [Side.LOCAL, Side.REMOTE])
@pytest.mark.parametrize("second", [(60_000_000, 600), (50_000_000, 601)], ids=["amount", "expiry"])
def test_parts_of_one_payment_are_told_apart_by_their_output(channel_type, side, second):
    parts = (Htlc(side, 50_000_000, hash_of(9), 600), Htlc(side, second[0], hash_of(9), second[1]))
    sent = sum(part.amount_msat for part in parts)
    ours, theirs = (600_000_000, 400_000_000)
    held = (ours - sent, theirs) if side is Side.LOCAL else (ours, theirs - sent)
    channel = OneChannel(channel_type=channel_type, push_msat=theirs).open()
    channel.step(1, parts, held)
    for which in (0, 1):
        channel.ask(channel.remote_htlc(1, parts, which))
        channel.ask(channel.local_htlc(1, parts, which), context=False)


def test_the_peers_early_timeout_of_a_later_part_is_refused():
    parts = tuple(Htlc(Side.REMOTE, 50_000_000, hash_of(9), expiry) for expiry in (600, 5000))
    channel = OneChannel(channel_type=ANCHORS, push_msat=400_000_000).open()
    channel.step(1, parts, (600_000_000, 300_000_000))
    message = channel.remote_htlc(1, parts, 1)
    composed = channel.commitment(1, parts, holder=False)
    _, output = composed.htlc_outputs()[1]
    assert output.htlc.cltv_expiry == 5000
    early = replace(Transaction.parse(message.tx.raw), locktime=600)
    tx = bitcoin_tx(early, [output.output], witness_script=output.witness_script, scripts=[b""])
    with pytest.raises(Refused, match="locktime") as caught:
        channel.ask(replace(message, tx=tx))
    assert caught.value.rule == "policy-htlc-other"
