"""Sweeps pay to our wallet, and spend what is ours to spend: after a delay, with a preimage, as a penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from helpers.one_channel import ANCHORS, STATIC, WALLET_INDEX, OneChannel, bitcoin_tx, offered, received

from signerd.core.keys import commitment as keys_of
from signerd.core.keys import secp256k1
from signerd.core.tx import htlc_transaction, script
from signerd.core.tx.commitment import Kind
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import sweep as wire
from signerd.core.wire.channel import ForgetChannel
from signerd.core.wire.composites import BitcoinTx
from signerd.errors import MalformedMessage

HTLCS = (offered(1, 50_000_000, 700), received(2, 60_000_000, 600))
TYPES = pytest.mark.parametrize("channel_type", [STATIC, ANCHORS], ids=["static", "anchors"])
FEE = 1000


def living(channel_type: bytes = ANCHORS, **more) -> OneChannel:
    """Both sides at commitment 2; 1 is revoked, both hold HTLCS."""
    channel = OneChannel(channel_type=channel_type, push_msat=400_000_000, **more).open()
    channel.step(1, HTLCS, (550_000_000, 340_000_000))
    channel.step(2, HTLCS)
    return channel


@dataclass
class Case:
    """A sweep: its request with the outer transaction to be chosen, and whose key has to sign."""

    outpoint: Outpoint
    output: Output
    witness_script: bytes
    sequence: int
    locktime: int
    key: bytes
    kind: type[Any]
    before: tuple[Any, ...]

    def tx(self, channel: OneChannel) -> Transaction:
        ours = script.p2tr(channel.node.wallet_pubkey(WALLET_INDEX))
        outputs = (Output(self.output.value - FEE, ours),)
        return Transaction(2, (Input(self.outpoint, self.sequence),), outputs, self.locktime)

    def request(
        self, channel: OneChannel, tx: Transaction | None = None, *, named: int | None = WALLET_INDEX
    ) -> Any:
        tx = self.tx(channel) if tx is None else tx
        key = channel.node.wallet_pubkey(WALLET_INDEX)
        origins = {} if named is None else dict.fromkeys(range(len(tx.outputs)), (key, named))
        more = [Output(1, b"\x51")] * (len(tx.inputs) - 1)
        whole = bitcoin_tx(tx, [self.output, *more], witness_script=self.witness_script, origins=origins)
        return self.of(channel, whole)

    def of(self, channel: OneChannel, tx: BitcoinTx) -> Any:
        tail = (channel.id.peer_id, channel.id.dbid)
        if self.kind is wire.SignAnyRemoteHtlcToUs:
            return self.kind(*self.before, tx, self.witness_script, channel.setup.format.anchors, 0, *tail)
        return self.kind(*self.before, tx, self.witness_script, 0, *tail)


def delayed(channel: OneChannel) -> Case:
    composed = channel.commitment(2, HTLCS, holder=True)
    index, item = next((i, o) for i, o in enumerate(composed.outputs) if o.kind is Kind.TO_LOCAL)
    assert item.witness_script is not None
    return Case(
        Outpoint(composed.txid, index), item.output, item.witness_script,
        sequence=160, locktime=0, key=composed.terms.keys.delayed,
        kind=wire.SignAnyDelayedPaymentToUs, before=(2,),
    )  # fmt: skip


def second_stage(channel: OneChannel) -> Case:
    composed = channel.commitment(2, HTLCS, holder=True)
    tx = htlc_transaction.compose_for(composed, composed.htlc_outputs()[0][0], feerate_per_kw=channel.feerate)
    return replace(delayed(channel), outpoint=Outpoint(tx.txid, 0), output=tx.outputs[0])


def claimed(channel: OneChannel, side: str) -> Case:
    composed = channel.commitment(2, HTLCS, holder=False)
    which = {"theirs": True, "ours": False}[side]
    index, item = next((i, o) for i, o in composed.htlc_outputs() if o.htlc and o.htlc.offered is which)
    assert item.witness_script is not None
    assert item.htlc is not None
    return Case(
        Outpoint(composed.txid, index), item.output, item.witness_script,
        sequence=1 if channel.setup.format.anchors else 0,
        locktime=0 if which else item.htlc.cltv_expiry,
        key=composed.terms.keys.other_htlc,
        kind=wire.SignAnyRemoteHtlcToUs, before=(channel.point(2),),
    )  # fmt: skip


def penalty(channel: OneChannel, kind: Kind = Kind.TO_LOCAL) -> Case:
    composed = channel.commitment(1, HTLCS, holder=False)
    index, item = next((i, o) for i, o in enumerate(composed.outputs) if o.kind is kind)
    assert item.witness_script is not None
    return Case(
        Outpoint(composed.txid, index), item.output, item.witness_script,
        sequence=0, locktime=0, key=composed.terms.keys.revocation,
        kind=wire.SignAnyPenaltyToUs, before=(channel.theirs.release_secret(1),),
    )  # fmt: skip


CASES = {
    "delayed": delayed,
    "second stage": second_stage,
    "with preimage": lambda channel: claimed(channel, "theirs"),
    "timed out": lambda channel: claimed(channel, "ours"),
    "penalty": penalty,
    "penalty on an HTLC": lambda channel: penalty(channel, Kind.HTLC),
}
ALL = pytest.mark.parametrize("name", CASES)

OLDER = {
    wire.SignAnyDelayedPaymentToUs: wire.SignDelayedPaymentToUs,
    wire.SignAnyRemoteHtlcToUs: wire.SignRemoteHtlcToUs,
    wire.SignAnyPenaltyToUs: wire.SignPenaltyToUs,
}


@TYPES
@ALL
@pytest.mark.parametrize("dialect", Dialect)
def test_signs_a_sweep_to_our_wallet(channel_type, name, dialect):
    channel = living(channel_type, dialect=dialect)
    case = CASES[name](channel)
    request = case.request(channel)
    answer = channel.answer(request, context=False)
    assert answer.changes.empty
    signature = answer.reply.signature
    plain_claim = case.kind is wire.SignAnyRemoteHtlcToUs and dialect is Dialect.CORE_LIGHTNING
    assert signature.sighash == (0x83 if plain_claim and channel_type == ANCHORS else 1)
    digest = Digests(case.tx(channel)).segwit_v0(0, case.witness_script, case.output.value, signature.sighash)
    assert secp256k1.verify_compact(case.key, signature.signature, digest)
    fields = [*case.before, request.tx, request.wscript]
    if case.kind is wire.SignAnyRemoteHtlcToUs:
        fields.append(request.option_anchors)
    assert answer.reply == channel.ask(OLDER[case.kind](*fields))


@ALL
def test_refuses_a_sweep_to_anybody_else(name):
    channel = living()
    case = CASES[name](channel)
    tx = case.tx(channel)
    rule = "policy-sweep-destination-allowlisted"
    foreign = Output(tx.outputs[0].value, b"\x00\x14" + bytes(20))
    assert channel.refusal(case.request(channel, replace(tx, outputs=(foreign,))), context=False) == rule
    assert channel.refusal(case.request(channel, named=None), context=False) == rule
    assert channel.refusal(case.request(channel, named=WALLET_INDEX + 1), context=False) == rule
    assert channel.refusal(case.request(channel, replace(tx, outputs=())), context=False) == rule
    # Outputs of nothing weigh, and the fee may grow with the weight.
    padded = replace(tx, outputs=(tx.outputs[0], *(Output(0, tx.outputs[0].script),) * 2))
    assert channel.refusal(case.request(channel, padded), context=False) == "policy-sweep-other"
    beside = replace(tx, outputs=(Output(330, tx.outputs[0].script), foreign))
    assert channel.refusal(case.request(channel, beside), context=False) == rule


@ALL
def test_refuses_a_sweep_of_another_shape(name):
    channel = living()
    case = CASES[name](channel)
    tx = case.tx(channel)
    for changed, rule in (
        (replace(tx, version=1), "policy-sweep-version"),
        (replace(tx, locktime=tx.locktime + 1), "policy-sweep-locktime"),
        (replace(tx, inputs=(Input(case.outpoint, 77),)), "policy-sweep-sequence"),
        (replace(tx, inputs=(*tx.inputs, Input(Outpoint(b"\x01" * 32, 0)))), "policy-sweep-other"),
    ):
        assert channel.refusal(case.request(channel, changed), context=False) == rule


@ALL
def test_refuses_a_sweep_that_burns_what_it_spends(name):
    channel = living()
    case = CASES[name](channel)
    tx = case.tx(channel)
    rich = replace(case, output=replace(case.output, value=case.output.value + 200_000))
    assert channel.refusal(rich.request(channel, tx), context=False) == "sweep-fee-range"
    poor = replace(case, output=replace(case.output, value=tx.outputs[0].value - 1))
    assert channel.refusal(poor.request(channel, tx), context=False) == "sweep-fee-range"


@ALL
def test_refuses_a_sweep_whose_psbt_lies(name):
    channel = living()
    case = CASES[name](channel)
    tx = case.tx(channel)
    other = replace(case, output=replace(case.output, script=b"\x00\x20" + bytes(32)))
    assert channel.refusal(other.request(channel), context=False) == "psbt-spent-output"
    elsewhere = case.request(channel, replace(tx, inputs=(Input(Outpoint(b"\x01" * 32, 0), case.sequence),)))
    mixed = BitcoinTx(tx.serialize(), elsewhere.tx.psbt)
    assert channel.refusal(case.of(channel, mixed), context=False) == "psbt-transaction"
    longer = case.request(channel, replace(tx, outputs=tx.outputs * 2))
    mixed = BitcoinTx(tx.serialize(), longer.tx.psbt)
    assert channel.refusal(case.of(channel, mixed), context=False) == "psbt-transaction"
    origins = {0: (channel.node.wallet_pubkey(WALLET_INDEX), WALLET_INDEX)}
    unsaid = case.of(channel, bitcoin_tx(tx, [None], origins=origins))
    assert channel.refusal(unsaid, context=False) == "psbt-spent-output"
    single = case.of(channel, bitcoin_tx(tx, [case.output], origins=origins, sighash=0x83))
    assert channel.refusal(single, context=False) == "psbt-sighash"


@ALL
def test_refuses_a_second_input_an_unknown_channel_and_another_script(name):
    channel = living()
    case = CASES[name](channel)
    request = case.request(channel)
    assert channel.refusal(replace(request, input=1), context=False) == "policy-sweep-other"
    assert channel.refusal(replace(request, dbid=99), context=False) == "channel-unknown"
    assert channel.refusal(replace(request, wscript=b"\x51"), context=False) in (
        "policy-commitment-scripts",
        "policy-sweep-other",
    )


def test_refuses_a_delayed_output_of_a_commitment_that_does_not_exist():
    channel = living()
    request = replace(delayed(channel).request(channel), commit_num=3)
    assert channel.refusal(request, context=False) == "commitment-skipped"


@pytest.mark.parametrize("secret", [bytes(32), secp256k1.ORDER.to_bytes(32, "big")])
def test_refuses_a_revocation_secret_that_is_none(secret):
    channel = living()
    with pytest.raises(MalformedMessage, match="not a valid private key"):
        channel.answer(replace(penalty(channel).request(channel), revocation_secret=secret), context=False)


def test_a_secret_of_another_commitment_opens_nothing():
    channel = living()
    request = replace(penalty(channel).request(channel), revocation_secret=channel.theirs.release_secret(0))
    assert channel.refusal(request, context=False) == "policy-sweep-other"


def test_sweeps_a_channel_that_was_forgotten():
    channel = living()
    request = penalty(channel).request(channel)
    reply = channel.ask(request, context=False)
    channel.ask(ForgetChannel(channel.id.peer_id, channel.id.dbid), context=False)
    assert reply == channel.ask(request, context=False)


def test_tells_where_an_old_close_paid_us():
    channel = OneChannel()
    base = channel.composer.keys.basepoints.payment
    asked = wire.GetOutputScriptpubkey(channel.id.dbid, channel.id.peer_id, None)
    assert script.p2wpkh(base) == channel.ask(asked, context=False).script
    point = channel.point(3)
    told = channel.ask(replace(asked, commitment_point=point), context=False).script
    assert script.p2wpkh(keys_of.derive_point(base, point)) == told
