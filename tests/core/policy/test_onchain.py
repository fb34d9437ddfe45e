"""What the wallet does not sign. Each refusal breaks one thing of a request that is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import vectors
from helpers.wallet_requests import In, Out, Signing, Spending, change, listed, origin, wallet_input
from helpers.witnesses import signed
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.handlers import onchain
from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.core.policy import onchain as policy
from signerd.core.policy.onchain import Destination
from signerd.core.state.book import ChannelId
from signerd.core.state.channel import ChannelState, Content, Funding, Setup
from signerd.core.state.loss import Loss
from signerd.core.tx import script
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.psbt_map import Origin
from signerd.core.tx.sighash import Digests
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import codec, composites
from signerd.core.wire import onchain as wire
from signerd.errors import MalformedMessage, Refused
from signerd.units import Secret

PEER = NodeKeys.derive(Secret(b"\x02" * 32))
CHANNEL = ChannelId(PEER.node_id, 7)
SOMEBODY = script.p2wpkh(b"\x02" + b"\x11" * 32)
FEE_CAP = 150_000


def signing(dialect: Dialect = Dialect.HOSTED) -> Signing:
    return Signing(b"\x01" * 32, "regtest", dialect)


KEYS = signing().keys
OURS = KEYS.channel(CHANNEL.peer_id, CHANNEL.dbid)
THEIRS = PEER.channel(KEYS.node_id, CHANNEL.dbid).basepoints
GOOD = Spending((wallet_input(KEYS, 3),), (change(KEYS, 4, 99_000),))
BOTH = pytest.mark.parametrize("dialect", Dialect)


def refusal(signer: Signing, message) -> str:
    with pytest.raises((Refused, MalformedMessage)) as caught:
        signer.answer(message)
    return getattr(caught.value, "rule", "malformed")


def sighash(value: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"\x03", value.to_bytes(4, "little")),)


def prevout(spent: Output) -> tuple[Outpoint, tuple[tuple[bytes, bytes], ...]]:
    """An output, and the field that proves it."""
    before = Transaction(2, (Input(Outpoint(bytes(32), 0)),), (spent,))
    return Outpoint(before.txid, 0), ((b"\x00", before.serialize()),)


def foreign(spent: Output) -> In:
    outpoint, proof = prevout(spent)
    return In(outpoint, spent, proof)


SOMEBODYS = foreign(Output(50_000, SOMEBODY))


# Form


@BOTH
def test_signs_a_good_request(dialect):
    answer = signing(dialect).answer(GOOD.withdrawal())
    assert {0} == signed(GOOD.psbt(), answer)


FIRST = GOOD.inputs[0]
BAD = {
    "version 1": (GOOD.but(version=1), "policy-onchain-format-standard"),
    "version 3": (GOOD.but(version=3), "policy-onchain-format-standard"),
    "no outputs": (GOOD.but(outputs=()), "policy-onchain-format-standard"),
    "no inputs": (GOOD.but(inputs=()), "policy-onchain-format-standard"),
    "an input twice": (
        GOOD.but(inputs=(FIRST, replace(FIRST, utxo=None))),
        "policy-onchain-format-standard",
    ),
    "outputs above inputs": (GOOD.but(outputs=(change(KEYS, 4, 100_001),)), "policy-onchain-format-standard"),
    "too many bytes": (
        GOOD.but(outputs=GOOD.outputs + (Out(Output(0, SOMEBODY)),) * 1055),
        "policy-onchain-max-size",
    ),
    "an input without what it spends": (
        GOOD.but(inputs=(FIRST, In(Outpoint(b"\x05" * 32, 0), Output(1, b""), stated=False))),
        "onchain-utxo-missing",
    ),
    "our input without what it spends": (GOOD.but_input(fields=(), stated=False), "onchain-utxo-missing"),
    "another previous transaction": (
        GOOD.but_input(fields=wallet_input(KEYS, 5).fields),
        "malformed",
    ),
    "another amount than that of the previous transaction": (
        GOOD.but_input(spent=Output(100_001, FIRST.spent.script)),
        "malformed",
    ),
    "another key index": (
        GOOD.but_input(utxo=listed(FIRST.outpoint, FIRST.spent, 4)),
        "onchain-input-not-ours",
    ),
    "a hardened key index": (
        GOOD.but_input(utxo=listed(FIRST.outpoint, FIRST.spent, 2**31 + 3)),
        "onchain-input-not-ours",
    ),
    "an output of somebody": (
        GOOD.but(inputs=(replace(SOMEBODYS, utxo=listed(SOMEBODYS.outpoint, SOMEBODYS.spent, 3)),)),
        "onchain-input-not-ours",
    ),
    "a script of no form": (
        GOOD.but_input(
            fields=(), spent=Output(100_000, b"\x51"), utxo=listed(FIRST.outpoint, FIRST.spent, 3)
        ),
        "onchain-input-not-ours",
    ),
    "listed in two ways": (
        GOOD.but(extra=(listed(FIRST.outpoint, FIRST.spent, 4),)),
        "onchain-utxo-twice",
    ),
    "a redeem script beside segwit": (
        GOOD.but_input(fields=(*FIRST.fields, (b"\x04", script.p2wpkh(KEYS.wallet_pubkey(3))))),
        "onchain-script",
    ),
    "another redeem script": (
        Spending(
            (replace(wallet_input(KEYS, 3, form=script.p2sh_p2wpkh), fields=((b"\x04", SOMEBODY),)),),
            GOOD.outputs,
        ),
        "onchain-script",
    ),
    "a witness script": (GOOD.but_input(fields=(*FIRST.fields, (b"\x05", b"\x51"))), "onchain-script"),
    "a name that is another key's": (
        GOOD.but_output(fields=origin(KEYS, 5)),
        "policy-onchain-no-unknown-outputs",
    ),
    "a name for somebody's output": (
        GOOD.but_output(output=Output(99_000, SOMEBODY)),
        "policy-onchain-no-unknown-outputs",
    ),
    "a hardened name": (
        GOOD.but_output(
            fields=((b"\x02" + KEYS.wallet_pubkey(4), Origin(bytes(4), (2**31 + 4,)).serialize()),)
        ),
        "policy-onchain-no-unknown-outputs",
    ),
    "all as a fee": (GOOD.but(outputs=(change(KEYS, 4, 1_000),)), "policy-onchain-fee-range"),
}


@BOTH
@pytest.mark.parametrize("what", BAD)
def test_refuses_a_withdrawal_with(what, dialect):
    spending, rule = BAD[what]
    assert rule == refusal(signing(dialect), spending.withdrawal())


@BOTH
@pytest.mark.parametrize("value", [0, 2, 3, 0x41, 0x81, 0x82, 0x83, 0x100, 0xFFFF_FFFF])
def test_refuses_any_other_sighash_type_than_all(value, dialect):
    for form in (script.p2wpkh, script.p2tr) if value else (script.p2wpkh,):
        item = wallet_input(KEYS, 3, form=form)
        spending = GOOD.but(inputs=(replace(item, fields=(*item.fields, *sighash(value))),))
        assert "onchain-sighash" == refusal(signing(dialect), spending.withdrawal())


@BOTH
def test_signs_all_or_the_default_of_taproot(dialect):
    for form, values in ((script.p2wpkh, (1,)), (script.p2tr, (0, 1))):
        item = wallet_input(KEYS, 3, form=form)
        for value in values:
            spending = GOOD.but(inputs=(replace(item, fields=(*item.fields, *sighash(value))),))
            assert {0} == signed(spending.psbt(), signing(dialect).answer(spending.withdrawal()))


@BOTH
def test_leaves_what_is_not_listed_alone(dialect):
    legacy = foreign(Output(9_000, script.p2pkh(KEYS.wallet_pubkey(1))))
    for other in (SOMEBODYS, legacy, replace(wallet_input(KEYS, 9), utxo=None)):
        total = 100_000 + other.spent.value
        spending = GOOD.but(inputs=(other, FIRST), outputs=(change(KEYS, 4, total - 1_000),))
        answer = signing(dialect).answer(spending.withdrawal())
        assert {1} == signed(spending.psbt(), answer)


@BOTH
def test_signs_as_many_bytes_as_are_allowed(dialect):
    spending = GOOD.but(outputs=GOOD.outputs + (Out(Output(0, SOMEBODY)),) * 1054)
    assert len(spending.tx.without_witnesses()) in range(32_768 - 31, 32_769)
    assert {0} == signed(spending.psbt(), signing(dialect).answer(spending.withdrawal()))


@BOTH
def test_signs_nothing_and_says_so_if_nothing_is_listed(dialect):
    spending = GOOD.but_input(utxo=None)
    assert set() == signed(spending.psbt(), signing(dialect).answer(spending.withdrawal()))


@BOTH
def test_does_not_mind_what_the_list_says_of_amount_and_script(dialect):
    spending = GOOD.but_input(utxo=listed(FIRST.outpoint, Output(5, SOMEBODY), 3))
    assert {0} == signed(spending.psbt(), signing(dialect).answer(spending.withdrawal()))


# Fees


@BOTH
def test_allows_the_highest_feerate_and_not_a_satoshi_more(dialect):
    rich = wallet_input(KEYS, 3, value=10_000_000)
    some = GOOD.but(inputs=(rich,), outputs=(change(KEYS, 4, 0),) * 10)
    weight = 4 * len(some.tx.without_witnesses()) + 110
    most = ((FEE_CAP + 1) * weight - 1000) // 1000
    assert FEE_CAP == (most * 1000 + 999) // weight
    allowed, above = (
        some.but_output(9, output=Output(10_000_000 - fee, SOMEBODY), fields=()) for fee in (most, most + 1)
    )
    assert {0} == signed(allowed.psbt(), signing(dialect).answer(allowed.withdrawal()))
    assert "policy-onchain-fee-range" == refusal(signing(dialect), above.withdrawal())


def test_counts_the_money_of_others_as_a_fee_too():
    spending = GOOD.but(inputs=(FIRST, foreign(Output(1_000_000, SOMEBODY))))
    assert "policy-onchain-fee-range" == refusal(signing(), spending.withdrawal())


def test_a_foreign_witness_of_any_size_does_not_lift_the_limit_of_the_fee():
    fake = b"\x01\xfe" + (3_000_000).to_bytes(4, "little") + bytes(3_000_000)
    burnt = foreign(Output(100_000_000, SOMEBODY))
    spending = GOOD.but(inputs=(FIRST, replace(burnt, fields=(*burnt.fields, (b"\x08", fake)))))
    assert "policy-onchain-fee-range" == refusal(signing(), spending.withdrawal())


# Channels


def setup(**changes) -> Setup:
    values = {
        "is_outbound": True,
        "push_msat": 0,
        "holder_delay": 6,
        "counterparty_delay": 144,
        "holder_shutdown_script": b"",
        "holder_shutdown_index": None,
        "counterparty": THEIRS,
        "counterparty_shutdown_script": b"",
        "channel_type": bytes.fromhex("401000"),
    }
    return Setup(**(values | changes))


CONTENT = Content(0, 0, (), 0)
FUNDING_SCRIPT = script.funding(OURS.basepoints.funding, THEIRS.funding)
FUNDING_OUTPUT = Output(1_000_000, script.p2wsh(FUNDING_SCRIPT))
OPENING = Spending((wallet_input(KEYS, 3, value=1_050_000),), (Out(FUNDING_OUTPUT), change(KEYS, 4, 49_000)))


def channel_at(outpoint: Outpoint, *, countersigned: bool = True, **changes) -> ChannelState:
    funding = Funding(outpoint, FUNDING_OUTPUT.value, THEIRS.funding)
    channel = ChannelState().set_up(setup(**changes), funding)
    return channel.validate_holder(0, outpoint, CONTENT, Loss()) if countersigned else channel


def opening(spending: Spending = OPENING, dialect: Dialect = Dialect.HOSTED, **changes) -> Signing:
    """A signer that expects a channel to be funded by the first output."""
    signer = signing(dialect)
    signer.put(CHANNEL, channel_at(Outpoint(spending.tx.txid, 0), **changes))
    return signer


@BOTH
def test_funds_a_channel(dialect):
    signer = opening(dialect=dialect)
    assert {0} == signed(OPENING.psbt(), signer.answer(OPENING.withdrawal()))
    spend = onchain.spend_of(OPENING.psbt(), OPENING.utxos, signer.call)
    assert (Destination.CHANNEL, Destination.WALLET) == policy.destinations(spend)


LEGACY = foreign(Output(5_000, script.p2pkh(THEIRS.payment)))
UNFIT = {
    "another value": (
        OPENING.but_output(output=Output(999_999, FUNDING_OUTPUT.script)),
        "policy-onchain-output-match-commitment",
    ),
    "another script": (
        OPENING.but_output(
            output=Output(1_000_000, script.p2wsh(script.funding(THEIRS.funding, THEIRS.htlc)))
        ),
        "policy-onchain-output-scriptpubkey",
    ),
    "our wallet": (
        OPENING.but_output(
            output=Output(1_000_000, script.p2wpkh(KEYS.wallet_pubkey(4))), fields=origin(KEYS, 4)
        ),
        "policy-onchain-output-scriptpubkey",
    ),
    "an input that is not proven": (
        OPENING.but_input(fields=()),
        "policy-onchain-funding-non-malleable",
    ),
    "a malleable input": (
        OPENING.but(inputs=(*OPENING.inputs, LEGACY)),
        "policy-onchain-funding-non-malleable",
    ),
}


@BOTH
@pytest.mark.parametrize("what", UNFIT)
def test_refuses_to_fund_a_channel_with(what, dialect):
    spending, rule = UNFIT[what]
    assert rule == refusal(opening(spending, dialect), spending.withdrawal())


@BOTH
def test_refuses_to_fund_a_channel_before_the_peer_has_signed_the_way_back(dialect):
    signer = opening(dialect=dialect, countersigned=False)
    rule = "policy-onchain-initial-commitment-countersigned"
    assert rule == refusal(signer, OPENING.withdrawal())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"is_outbound": False}, "policy-onchain-no-fund-inbound"),
        ({"push_msat": 1000}, "policy-onchain-no-channel-push"),
    ],
)
def test_gives_money_to_a_peer_on_a_plain_node_only(changes, rule):
    assert rule == refusal(opening(**changes), OPENING.withdrawal())
    opening(dialect=Dialect.CORE_LIGHTNING, **changes).answer(OPENING.withdrawal())
    opening(push_msat=999).answer(OPENING.withdrawal())


@BOTH
def test_knows_the_funding_of_a_channel_by_the_id_that_it_will_have_once_signed(dialect):
    """An input in P2SH pushes its redeem script; whether the PSBT says so or not, the id depends on it."""
    wrapped = wallet_input(KEYS, 3, value=1_050_000, form=script.p2sh_p2wpkh)
    spending = OPENING.but(inputs=(wrapped,))
    push = script.push(script.p2wpkh(KEYS.wallet_pubkey(3)))
    tx = replace(spending.tx, inputs=(replace(spending.tx.inputs[0], script_sig=push),))
    signer = signing(dialect)
    signer.put(CHANNEL, channel_at(Outpoint(tx.txid, 0)))
    assert {0} == signed(spending.psbt(), signer.answer(spending.withdrawal()))
    signer.put(CHANNEL, channel_at(Outpoint(tx.txid, 0), countersigned=False))
    silent = spending.but_input(fields=wrapped.fields[:1])
    for request in (spending, silent):
        assert refusal(signer, request.withdrawal()).endswith(("countersigned", "non-malleable"))


def test_funds_a_splice_once_the_commitment_in_force_is_signed_for_it():
    signer = signing(Dialect.CORE_LIGHTNING)
    first = Outpoint(b"\x07" * 32, 0)
    outpoint = Outpoint(OPENING.tx.txid, 0)
    funding = Funding(outpoint, FUNDING_OUTPUT.value, THEIRS.funding)
    spliced = channel_at(first).splice(setup(), funding)
    signer.put(CHANNEL, spliced)
    rule = "policy-onchain-initial-commitment-countersigned"
    assert rule == refusal(signer, OPENING.withdrawal())
    signer.put(CHANNEL, spliced.validate_holder(0, outpoint, CONTENT, Loss()))
    assert {0} == signed(OPENING.psbt(), signer.answer(OPENING.withdrawal()))


# What carries a channel is never spent here


CARRIED = Outpoint(OPENING.tx.txid, 0)
STEAL = (Out(Output(999_000, SOMEBODY)),)


def carrier(spent: Output = FUNDING_OUTPUT, **changes) -> In:
    """The output that carries the channel, as an input; the PSBT may lie about it."""
    return replace(In(CARRIED, spent, sequence=0x8000_0000), **changes)


def close_of(**changes) -> composites.CloseInfo:
    values = {
        "channel_id": CHANNEL.dbid,
        "peer_id": CHANNEL.peer_id,
        "commitment_point": None,
        "option_anchors": True,
        "csv": 1,
    }
    return composites.CloseInfo(**(values | changes))


@BOTH
@pytest.mark.parametrize(
    "close",
    [
        None,
        close_of(),
        close_of(option_anchors=False),
        close_of(commitment_point=OURS.per_commitment_point(0)),
    ],
)
def test_never_takes_what_carries_a_channel_for_its_own(close, dialect):
    signer = opening(dialect=dialect)
    item = carrier(utxo=listed(CARRIED, FUNDING_OUTPUT, 3, close), fields=((b"\x05", FUNDING_SCRIPT),))
    spending = Spending((item,), STEAL)
    for message in (spending.withdrawal(), spending.mingle(CHANNEL)):
        assert "onchain-input-not-ours" == refusal(signer, message)


def test_never_takes_what_carries_a_channel_for_an_anchor():
    named = ((b"\x05", FUNDING_SCRIPT), (b"\x06" + OURS.basepoints.funding, bytes(8)))
    message = Spending((carrier(fields=named),), STEAL).anchorspend(CHANNEL)
    assert "anchor-missing" == refusal(opening(), message)
    assert "onchain-input-not-ours" == refusal(opening(dialect=Dialect.CORE_LIGHTNING), message)


ANCHOR_SCRIPT = script.anchor(OURS.basepoints.funding)
ANCHOR = Output(330, script.p2wsh(ANCHOR_SCRIPT))
ANCHOR_FIELDS = ((b"\x05", ANCHOR_SCRIPT), (b"\x06" + OURS.basepoints.funding, bytes(8)))


@BOTH
def test_gives_no_signature_that_spends_a_channel_even_if_told_that_it_is_something_else(dialect):
    signer = opening(dialect=dialect)
    anchor = carrier(ANCHOR, fields=ANCHOR_FIELDS)
    wallet = carrier(FIRST.spent, utxo=listed(CARRIED, FIRST.spent, 3))
    to_remote = Output(80_000, script.p2wpkh(OURS.basepoints.payment))
    close = carrier(to_remote, utxo=listed(CARRIED, to_remote, 0, close_of()))
    requests = [
        Spending((anchor, FIRST), GOOD.outputs).anchorspend(CHANNEL),
        Spending((wallet,), GOOD.outputs).withdrawal(),
        Spending((close,), (change(KEYS, 4, 79_000),)).withdrawal(),
    ]
    for message in requests:
        psbt = Psbt.parse(signer.answer(message))
        assert 0 in signed(message.psbt, psbt.serialize())
        digest = Digests(psbt.tx).segwit_v0(0, FUNDING_SCRIPT, FUNDING_OUTPUT.value)
        item = psbt.inputs[0]
        found = [*item.partial_signatures.values(), *(item.final_witness or ())[:1]]
        assert found
        for signature in found:
            for key in (OURS.basepoints.funding, THEIRS.funding):
                assert not secp256k1.verify_compact(key, secp256k1.from_der(signature[:-1]), digest)


# Fee bumps


BUMP = Spending((In(Outpoint(b"\x08" * 32, 1), ANCHOR, ANCHOR_FIELDS), FIRST), (change(KEYS, 4, 90_000),))


@BOTH
def test_spends_its_anchor(dialect):
    message = BUMP.anchorspend(CHANNEL)
    assert {0, 1} == signed(BUMP.psbt(), opening(dialect=dialect).answer(message))


def test_on_a_plain_node_leaves_an_anchor_alone_that_does_not_name_our_key():
    unnamed = BUMP.but_input(fields=ANCHOR_FIELDS[:1])
    answer = opening(dialect=Dialect.CORE_LIGHTNING).answer(unnamed.anchorspend(CHANNEL))
    assert {1} == signed(unnamed.psbt(), answer)
    assert {0, 1} == signed(unnamed.psbt(), opening().answer(unnamed.anchorspend(CHANNEL)))


@BOTH
@pytest.mark.parametrize(
    ("spending", "rule"),
    [
        (BUMP.but_input(fields=(*ANCHOR_FIELDS, *sighash(0x83))), "onchain-sighash"),
        (BUMP.but_input(fields=((b"\x05", b"\x51"), ANCHOR_FIELDS[1])), "onchain-script"),
        (BUMP.but_input(1, utxo=listed(FIRST.outpoint, FIRST.spent, 2)), "onchain-input-not-ours"),
        (BUMP.but(version=1), "policy-onchain-format-standard"),
        (BUMP.but_output(fields=origin(KEYS, 5)), "policy-onchain-no-unknown-outputs"),
    ],
)
def test_refuses_a_fee_bump_with_a_wrong_field(spending, rule, dialect):
    assert rule == refusal(opening(dialect=dialect), spending.anchorspend(CHANNEL))


@BOTH
def test_bumps_fees_for_channels_that_it_knows_only(dialect):
    for message in (BUMP.anchorspend(CHANNEL), BUMP.mingle(CHANNEL)):
        assert "channel-unknown" == refusal(signing(dialect), message)
    stub = signing(dialect)
    stub.put(CHANNEL, ChannelState())
    for message in (BUMP.anchorspend(CHANNEL), BUMP.mingle(CHANNEL)):
        assert "channel-not-set-up" == refusal(stub, message)


def test_lets_an_anchor_pay_for_the_commitment_and_no_more():
    """The fee of a fee bump is that of two transactions, and the commitment's part grows with its HTLCs."""
    rich = wallet_input(KEYS, 3, value=100_000_000)
    htlcs = tuple(Htlc(True, 10**6, bytes([number]) * 32, 500) for number in range(50))
    for count, most in ((0, 330_000), (50, 1_620_000)):
        signer = opening()
        contents = ((CARRIED, replace(CONTENT, htlcs=htlcs[:count])),)
        signer.put(CHANNEL, replace(signer.channel(CHANNEL), holder=contents))
        for fee, rules in ((most - 100_000, []), (most, ["policy-onchain-fee-range"])):
            spending = BUMP.but(inputs=(BUMP.inputs[0], rich), outputs=(change(KEYS, 4, 100_000_330 - fee),))
            if rules:
                assert rules == [refusal(signer, spending.anchorspend(CHANNEL))]
            else:
                assert {0, 1} == signed(spending.psbt(), signer.answer(spending.anchorspend(CHANNEL)))


@BOTH
def test_pays_for_an_htlc_and_leaves_the_htlc_alone(dialect):
    htlc = In(Outpoint(b"\x08" * 32, 2), Output(25_000, script.p2wsh(b"\x51")), sequence=1)
    spending = Spending((htlc, FIRST), (Out(Output(25_000, SOMEBODY)), change(KEYS, 4, 99_000)))
    assert {1} == signed(spending.psbt(), opening(dialect=dialect).answer(spending.mingle(CHANNEL)))
    wrong = spending.but_output(1, fields=origin(KEYS, 5))
    assert "policy-onchain-no-unknown-outputs" == refusal(opening(dialect=dialect), wrong.mingle(CHANNEL))


# Closed channels


@pytest.mark.parametrize(
    ("spent", "csv"),
    [
        (script.p2wpkh(OURS.basepoints.payment), 1),
        (script.p2wsh(script.to_remote_delayed(OURS.basepoints.payment)), 1),
        (script.p2wsh(script.to_remote_delayed(OURS.basepoints.payment, 4032)), 4032),
    ],
)
@BOTH
def test_brings_home_what_a_channel_paid_us_long_after_it_was_forgotten(spent, csv, dialect):
    output = Output(80_000, spent)
    outpoint, proof = prevout(output)
    item = In(outpoint, output, proof, sequence=csv, utxo=listed(outpoint, output, 0, close_of(csv=csv)))
    spending = Spending((item,), (change(KEYS, 4, 79_000),))
    signer = signing(dialect)
    assert {0} == signed(spending.psbt(), signer.answer(spending.withdrawal()))
    other = spending.but_input(utxo=listed(outpoint, output, 0, close_of(csv=csv, channel_id=8)))
    assert "onchain-input-not-ours" == refusal(signer, other.withdrawal())


def test_takes_a_commitment_point_for_that_of_our_own_commitment_on_a_hosted_node():
    """As the reference signer does; only the current commitment's output is not the peer's to take."""
    point = OURS.per_commitment_point(0)
    keys = policy.ownership.CommitmentKeys.derive(point, own=OURS.basepoints, other=THEIRS)
    witness_script = script.to_local(
        revocation_key=keys.revocation, delayed_key=keys.delayed, to_self_delay=144
    )
    output = Output(80_000, script.p2wsh(witness_script))
    outpoint, proof = prevout(output)
    close = close_of(commitment_point=point)
    item = In(outpoint, output, proof, sequence=144, utxo=listed(outpoint, output, 0, close))
    spending = Spending((item,), (change(KEYS, 4, 79_000),))
    signer = opening()
    assert {0} == signed(spending.psbt(), signer.answer(spending.withdrawal()))
    assert "onchain-input-not-ours" == refusal(opening(dialect=Dialect.CORE_LIGHTNING), spending.withdrawal())
    assert "channel-unknown" == refusal(signing(), spending.withdrawal())
    channel = signer.channel(CHANNEL)
    signer.put(CHANNEL, channel.validate_holder(1, CARRIED, CONTENT, Loss()).revoke_holder(0))
    assert "onchain-input-not-ours" == refusal(signer, spending.withdrawal())


# Destinations


def judged(spending: Spending, dialect: Dialect = Dialect.HOSTED) -> tuple[Destination, ...]:
    return policy.destinations(onchain.spend_of(spending.psbt(), spending.utxos, signing(dialect).call))


def test_knows_an_unnamed_output_by_the_keys_near_those_that_it_spends():
    near = [Out(Output(1_000, script.p2tr(KEYS.wallet_pubkey(index)))) for index in (0, 4, 103)]
    far = Out(Output(1_000, script.p2tr(KEYS.wallet_pubkey(104))))
    found = judged(GOOD.but(outputs=(*near, far, Out(Output(90_000, SOMEBODY)))))
    assert [Destination.WALLET] * 3 + [Destination.ELSEWHERE] * 2 == list(found)


def test_knows_where_a_channel_that_was_agreed_on_pays_its_change():
    """Fee bumps pay to the key that a mutual close would pay to."""
    signer = opening(holder_shutdown_index=5_000)
    change_far_away = Out(Output(90_000, script.p2tr(KEYS.wallet_pubkey(5_000))))
    spending = BUMP.but(outputs=(change_far_away,))
    spend = onchain.spend_of(spending.psbt(), spending.utxos, signer.call, shutdown_index=5_000)
    assert (Destination.WALLET,) == policy.destinations(spend)
    signer.answer(spending.anchorspend(CHANNEL))


def test_the_name_of_another_wallet_says_nothing_on_a_plain_node_and_is_refused_on_a_hosted_one():
    path = Origin(b"\x01\x02\x03\x04", (84 | 1 << 31, 0, 5)).serialize()
    theirs = Out(Output(50_000, SOMEBODY), ((b"\x02" + THEIRS.funding, path),))
    spending = GOOD.but(outputs=(theirs, change(KEYS, 4, 49_000)))
    rule = "policy-onchain-no-unknown-outputs"
    assert rule == refusal(signing(), spending.withdrawal())
    found = judged(spending, Dialect.CORE_LIGHTNING)
    assert (Destination.ELSEWHERE, Destination.WALLET) == found


# Whatever is sent


def raw_requests() -> list[bytes]:
    """Recorded and made, of every kind."""
    recorded = [bytes.fromhex(case["raw"]) for case in vectors.load("onchain")["cases"]]
    made = [GOOD.withdrawal(), OPENING.withdrawal(), BUMP.anchorspend(CHANNEL), BUMP.mingle(CHANNEL)]
    wallet = [raw for raw in recorded if raw[:2] in (b"\x00\x07", b"\x00\x93", b"\x00\x95")]
    return [*wallet[::7], *(codec.encode(message) for message in made)]


REQUESTS = raw_requests()


@BOTH
@given(data=st.data())
def test_answers_or_refuses_whatever_is_sent(dialect, data):
    raw = bytearray(data.draw(st.sampled_from(REQUESTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(2, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    signer = opening(dialect=dialect)
    try:
        message = codec.decode(bytes(raw))
        answer = signer.answer(message)
    except (Refused, MalformedMessage):
        return
    signed(message.psbt, answer)
    assert signer.answer(message) == answer


def test_a_list_of_many_inputs_costs_no_more_than_they_do():
    """As many as fit, each listed; and a list as long as the wire allows, of which none is there."""
    items = tuple(wallet_input(KEYS, index, value=1_000) for index in range(600))
    spending = Spending(items, (change(KEYS, 1, 590_000),))
    assert set(range(600)) == signed(spending.psbt(), signing().answer(spending.withdrawal()))
    utxo = composites.Utxo(bytes(32), 0, 0, 0, False, b"", None, False)
    message = wire.SignWithdrawal((utxo,) * 65_535, GOOD.psbt())
    assert set() == signed(GOOD.psbt(), signing().answer(message))
