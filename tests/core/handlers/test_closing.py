"""The mutual close pays us, the splice carries the channel on; a commitment passes for neither."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.one_channel import ANCHORS, STATIC, WALLET_INDEX, OneChannel, bitcoin_tx, offered

from signerd.core.keys import secp256k1
from signerd.core.state.channel import Funding
from signerd.core.tx import script
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import FINAL_SEQUENCE, Input, Outpoint, Output, Transaction
from signerd.core.wire import channel as channel_wire
from signerd.core.wire import closing as wire
from signerd.core.wire import commitment as commitment_wire
from signerd.core.wire import onchain
from signerd.errors import MalformedMessage

THEIRS = script.p2wpkh(b"\x02" + b"\x11" * 32)
FORMS = [script.p2wpkh, script.p2sh_p2wpkh, script.p2tr]


def opened(**more) -> OneChannel:
    """600,000 sat are ours, 400,000 the peer's."""
    more.setdefault("push_msat", 400_000_000 if more.get("is_outbound", True) else 600_000_000)
    return OneChannel(**more).open()


def close(
    channel: OneChannel,
    ours_sat: int,
    theirs_sat: int,
    *,
    ours: bytes | None = None,
    named: int | None = WALLET_INDEX,
    **changes,
) -> wire.SignMutualCloseTx:
    """A mutual close; `named` is the wallet index that its PSBT gives for our output."""
    key = channel.node.wallet_pubkey(WALLET_INDEX)
    ours = script.p2tr(key) if ours is None else ours
    outputs = [Output(value, to) for value, to in ((ours_sat, ours), (theirs_sat, THEIRS)) if value]
    outputs.sort(key=lambda output: (output.value, output.script))
    tx = Transaction(2, (Input(channel.funding.outpoint, FINAL_SEQUENCE),), tuple(outputs))
    tx = replace(tx, **changes)
    spent = [channel.composer.funding_output(channel.funding)] * len(tx.inputs)
    origins = {} if named is None else {
        index: (key, named) for index, output in enumerate(tx.outputs) if output.script == ours
    }  # fmt: skip
    return wire.SignMutualCloseTx(bitcoin_tx(tx, spent, origins=origins), channel.funding.counterparty_key)


@pytest.mark.parametrize("channel_type", [STATIC, ANCHORS])
@pytest.mark.parametrize("is_outbound", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_signs_a_mutual_close_and_nothing_new_after_it(channel_type, is_outbound, form):
    channel = opened(channel_type=channel_type, is_outbound=is_outbound)
    fee = 500
    values = (600_000 - fee, 400_000) if is_outbound else (600_000, 400_000 - fee)
    request = close(channel, *values, ours=form(channel.node.wallet_pubkey(WALLET_INDEX)))
    reply = channel.ask(request)
    assert channel.funding_signature_fits(reply, Transaction.parse(request.tx.raw))
    again = channel.answer(request)
    assert (reply, True) == (again.reply, again.changes.empty)
    assert channel.refusal(channel.sign_remote(1)) == "channel-closing"
    assert channel.refusal(channel.validate(1)) == "channel-closing"
    # The fee is negotiated, and the peer may be gone before it is agreed.
    channel.ask(close(channel, values[0] - 100, values[1]))
    channel.ask(channel.publish(0), context=False)


@pytest.fixture
def channel() -> OneChannel:
    return opened()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ours": b"\x00\x14" + bytes(20)}, "policy-mutual-destination-allowlisted"),
        ({"named": None}, "policy-mutual-destination-allowlisted"),
        ({"named": WALLET_INDEX + 1}, "policy-mutual-destination-allowlisted"),
        ({"named": 2**31 + WALLET_INDEX}, "policy-mutual-destination-allowlisted"),
        ({"version": 1}, "policy-onchain-format-standard"),
        ({"locktime": 1}, "policy-onchain-format-standard"),
    ],
)
def test_refuses_a_close_that_is_not_to_us_or_not_in_form(channel, change, rule):
    assert channel.refusal(close(channel, 599_000, 400_000, **change)) == rule


@pytest.mark.parametrize(
    "change",
    [
        lambda tx: {"inputs": (replace(tx.inputs[0], sequence=0xFFFFFFFD),)},
        lambda tx: {"inputs": (*tx.inputs, Input(Outpoint(b"\x01" * 32, 0)))},
        lambda tx: {"outputs": tx.outputs[::-1]},
    ],
    ids=["sequence", "an input more", "order"],
)
def test_refuses_a_close_of_another_shape(channel, change):
    tx = Transaction.parse(close(channel, 599_000, 400_000).tx.raw)
    assert channel.refusal(close(channel, 599_000, 400_000, **change(tx))) == "policy-onchain-format-standard"


def test_refuses_a_close_with_a_third_output_or_none(channel):
    tx = Transaction.parse(close(channel, 500_000, 400_000).tx.raw)
    for outputs in ((*tx.outputs, Output(90_000, THEIRS)), ()):
        assert channel.refusal(close(channel, 500_000, 400_000, outputs=outputs)) == "policy-mutual-other"


def test_refuses_to_give_the_peer_more_than_its_share(channel):
    assert channel.refusal(close(channel, 589_000, 410_001)) == "policy-mutual-value-matches-commitment"
    channel.ask(close(channel, 589_000, 410_000))


def test_refuses_to_take_less_than_our_share():
    channel = opened(is_outbound=False)
    assert channel.refusal(close(channel, 589_999, 400_000)) == "policy-mutual-value-matches-commitment"
    channel.ask(close(channel, 590_000, 400_000))


@pytest.mark.parametrize(
    ("is_outbound", "refused", "answered"),
    [
        (True, (610_001, 389_000), (609_500, 390_000)),  # the peer gets less, and we get it
        (True, (599_500, 389_999), (599_500, 390_000)),  # the peer gets less, and the miner gets it
        (False, (610_001, 389_000), (610_000, 389_500)),  # we get more
    ],
)
def test_refuses_a_close_whose_fee_is_not_the_funders_alone(is_outbound, refused, answered):
    """As the reference signer, though it is to our advantage: the peer has not agreed to that."""
    channel = opened(is_outbound=is_outbound)
    assert channel.refusal(close(channel, *refused)) == "policy-mutual-value-matches-commitment"
    channel.ask(close(channel, *answered))


def test_refuses_to_burn_our_share(channel):
    """The funder has what is left, so only the fee shows it."""
    assert channel.refusal(close(channel, 400_000, 400_000)) == "policy-mutual-fee-range"
    assert channel.refusal(close(channel, 0, 400_000)) == "policy-mutual-fee-range"


def test_refuses_outputs_of_more_than_the_channel(channel):
    assert channel.refusal(close(channel, 601_000, 400_000)) == "policy-mutual-fee-range"


def test_a_side_with_nothing_needs_no_output():
    channel = OneChannel().open()
    channel.ask(close(channel, 999_000, 0))
    channel = OneChannel(is_outbound=False).open()
    channel.ask(close(channel, 0, 999_000))


def test_refuses_a_close_while_a_payment_is_pending(channel):
    htlcs = [offered(1, 50_000_000)]
    channel.balances = (550_000_000, 400_000_000)
    channel.ask(channel.validate(1, htlcs))
    assert channel.refusal(close(channel, 599_000, 400_000)) == "policy-mutual-no-pending-htlcs"


@pytest.mark.parametrize("kind", ["sign_remote", "validate"])
def test_refuses_a_close_before_both_sides_have_a_commitment(kind):
    channel = OneChannel()
    channel.ask(channel.new(), context=False)
    channel.ask(channel.set_up())
    channel.ask(getattr(channel, kind)(0))
    assert channel.refusal(close(channel, 999_000, 0)) == "policy-mutual-other"


def test_pays_only_to_the_script_that_was_agreed_at_the_opening():
    channel = OneChannel(push_msat=400_000_000)
    agreed = script.p2wpkh(channel.node.wallet_pubkey(WALLET_INDEX))
    channel.setup = replace(channel.setup, holder_shutdown_script=agreed, holder_shutdown_index=WALLET_INDEX)
    channel.open()
    assert channel.refusal(close(channel, 599_000, 400_000)) == "policy-mutual-destination-allowlisted"
    channel.ask(close(channel, 599_000, 400_000, ours=agreed, named=None))


def test_refuses_another_funding_key_of_the_peers(channel):
    request = replace(close(channel, 599_000, 400_000), remote_funding_key=channel.point(0))
    assert channel.refusal(request) == "funding-key"


def again(channel: OneChannel, request: wire.SignMutualCloseTx) -> commitment_wire.SignCommitmentTx:
    """As lightningd has a close signed once more, before it publishes it."""
    return commitment_wire.SignCommitmentTx(
        channel.id.peer_id, channel.id.dbid, request.tx, request.remote_funding_key, 0
    )


def test_the_close_is_signed_once_more_under_the_same_rules(channel):
    request = close(channel, 599_000, 400_000)
    first = channel.ask(request)
    assert first.signature == channel.ask(again(channel, request), context=False).signature
    short = again(channel, close(channel, 400_000, 400_000))
    assert channel.refusal(short, context=False) == "policy-mutual-fee-range"


def test_a_commitment_is_no_mutual_close(channel):
    revoked = channel.publish(0)
    channel.step(1)
    assert channel.refusal(wire.SignMutualCloseTx(revoked.tx, revoked.remote_funding_key)) in (
        "policy-mutual-destination-allowlisted",
        "policy-mutual-other",
        "policy-onchain-format-standard",
    )


# Splices


@pytest.fixture
def plain() -> OneChannel:
    return opened(dialect=Dialect.CORE_LIGHTNING)


def splice(
    channel: OneChannel, *, to: bytes | None = None, index: int = 0, **changes
) -> onchain.SignSpliceTx:
    carried = channel.composer.funding_output(channel.funding).script if to is None else to
    wallet = Input(Outpoint(b"\x0a" * 32, 3), 0xFFFFFFFD)
    ours = Input(channel.funding.outpoint, 0)
    inputs = (wallet, ours) if index else (ours, wallet)
    tx = Transaction(2, inputs, (Output(1_200_000, carried), Output(50_000, THEIRS)))
    tx = replace(tx, **changes)
    funding, other = channel.composer.funding_output(channel.funding), Output(300_000, THEIRS)
    spent = [other, funding] if index else [funding, other]
    return onchain.SignSpliceTx(bitcoin_tx(tx, spent), channel.funding.counterparty_key, index)


@pytest.mark.parametrize("index", [0, 1])
def test_signs_the_funding_that_a_splice_spends(plain, index):
    request = splice(plain, index=index)
    reply = plain.ask(request)
    tx = Transaction.parse(request.tx.raw)
    digest = plain.composer.funding_digest(tx, plain.funding, index)
    ours = plain.composer.keys.basepoints.funding
    assert secp256k1.verify_compact(ours, reply.signature.signature, digest)
    assert (tx.txid,) == plain.state.splices
    repeated = plain.answer(request)
    assert (reply, True) == (repeated.reply, repeated.changes.empty)


def test_a_whole_splice_moves_the_channel(plain):
    plain.step(1)
    moving = splice(plain)
    plain.ask(moving)
    txid = Transaction.parse(moving.tx.raw).txid
    funding = Funding(Outpoint(txid, 0), 1_200_000, plain.funding.counterparty_key)
    plain.ask(plain.set_up(funding))
    plain.balances = (800_000_000, 400_000_000)
    plain.ask(plain.validate(1, funding=funding))
    plain.ask(plain.sign_remote(1, funding=funding))
    plain.ask(moving)
    plain.ask(channel_wire.LockOutpoint(txid, 0))
    plain.funding = funding
    plain.step(2)
    assert funding.outpoint == plain.state.in_force
    plain.ask(close(plain, 799_000, 400_000))


def test_refuses_a_splice_that_does_not_carry_the_channel_on(plain):
    assert plain.refusal(splice(plain, to=THEIRS)) == "splice-funding"


def test_refuses_to_sign_a_commitment_as_a_splice(plain):
    revoked = plain.publish(0)
    plain.step(1)
    assert plain.refusal(onchain.SignSpliceTx(revoked.tx, revoked.remote_funding_key, 0)) == "splice-funding"


def test_refuses_an_input_that_does_not_fund_the_channel(plain):
    request = splice(plain)
    assert plain.refusal(replace(request, input_index=1)) == "commitment-funding"
    assert plain.refusal(replace(request, remote_funding_key=plain.point(0))) == "funding-key"
    with pytest.raises(MalformedMessage, match="no input 2"):
        plain.answer(replace(request, input_index=2))


def test_a_splice_ends_with_the_channel(plain):
    plain.ask(close(plain, 599_000, 400_000))
    assert plain.refusal(splice(plain)) == "channel-closing"


def test_a_hosted_node_does_not_splice(channel):
    assert channel.refusal(splice(channel)) == "splice-unsupported"
