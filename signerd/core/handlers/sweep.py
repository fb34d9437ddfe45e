"""What brings our outputs home after a unilateral close, and what punishes a revoked one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers import composing
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys import commitment, secp256k1
from signerd.core.policy import sweep as policy
from signerd.core.policy.limits import LIMITS
from signerd.core.state.book import ChannelId
from signerd.core.tx import script, signing, sweep
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.sighash import Digests
from signerd.core.tx.sweep import Sweep
from signerd.core.tx.transaction import Output, Transaction
from signerd.core.wire import composites
from signerd.core.wire import sweep as wire
from signerd.core.wire.commitment import SignTxReply
from signerd.errors import MalformedMessage, Refused

_Delayed = wire.SignDelayedPaymentToUs | wire.SignAnyDelayedPaymentToUs
_Htlc = wire.SignRemoteHtlcToUs | wire.SignAnyRemoteHtlcToUs
_Penalty = wire.SignPenaltyToUs | wire.SignAnyPenaltyToUs


def sign_delayed(message: _Delayed, call: Call) -> Answer:
    """hsmd types 12 and 142: our own output, or that of our HTLC transaction, once its delay is over."""
    channel_id = _channel_id(message, call)
    channel, composer = composing.channel_of(call, channel_id)
    number = message.commit_num
    if number >= channel.next_holder:
        raise Refused("commitment-skipped", f"our commitment {number} does not exist yet")
    expected = sweep.of_delayed(
        message.wscript, composer.holder_keys(number), composer.setup.counterparty_delay
    )
    digest, sighash = _digest(message, call, composer, expected)
    signature = composer.keys.sign_delayed(digest, number, signing.nonce_of(message.TYPE, call.dialect))
    return _signed(signature, sighash)


def sign_counterparty_htlc(message: _Htlc, call: Call) -> Answer:
    """hsmd types 13 and 143: an HTLC on the peer's commitment, with its preimage or after its expiry."""
    _, composer = composing.channel_of(call, _channel_id(message, call))
    point = message.remote_per_commitment_point
    expected = sweep.of_counterparty_htlc(
        message.wscript, composer.counterparty_keys(point), anchors=composer.setup.format.anchors
    )
    digest, sighash = _digest(message, call, composer, expected)
    signature = composer.keys.sign_htlc(digest, point, signing.nonce_of(message.TYPE, call.dialect))
    return _signed(signature, sighash)


def sign_penalty(message: _Penalty, call: Call) -> Answer:
    """hsmd types 14 and 144: what a peer that published a revoked commitment loses to us."""
    _, composer = composing.channel_of(call, _channel_id(message, call))
    secret = message.revocation_secret
    if not secp256k1.is_secret(secret):
        raise MalformedMessage("the revocation secret is not a valid private key")
    keys = composer.counterparty_keys(commitment.point_of(secret))
    digest, sighash = _digest(message, call, composer, sweep.of_penalty(message.wscript, keys))
    signature = composer.keys.sign_penalty(digest, secret, signing.nonce_of(message.TYPE, call.dialect))
    return _signed(signature, sighash)


def get_output_scriptpubkey(message: wire.GetOutputScriptpubkey, call: Call) -> Answer:
    """hsmd type 24: the P2WPKH script to which the peer's commitment paid us."""
    basepoint = call.channel_keys(ChannelId(message.peer_id, message.channel_id)).basepoints.payment
    point = message.commitment_point
    key = basepoint if point is None else commitment.derive_point(basepoint, point)
    return Answer(wire.GetOutputScriptpubkeyReply(script.p2wpkh(key)))


def _channel_id(message: _Delayed | _Htlc | _Penalty, call: Call) -> ChannelId:
    """The channel that the message names; the context's, where the message has no room for one."""
    if isinstance(
        message,
        wire.SignAnyDelayedPaymentToUs | wire.SignAnyRemoteHtlcToUs | wire.SignAnyPenaltyToUs,
    ):
        if message.input:
            raise Refused("policy-sweep-other", f"a sweep has one input: there is no {message.input}")
        return ChannelId(message.peer_id, message.dbid)
    return call.channel_id


def _digest(
    message: _Delayed | _Htlc | _Penalty, call: Call, composer: composing.Composer, expected: Sweep
) -> tuple[bytes, int]:
    """What is to be signed, and its sighash type. Raises Refused unless it is a sweep to our wallet."""
    tx, psbt = Transaction.parse(message.tx.raw), Psbt.parse(message.tx.psbt)
    sweep.require(expected, tx)
    policy.require_destination(tx, psbt.outputs, call.keys)
    spent = _spent(tx, psbt, message.wscript)
    policy.require_fee(tx, spent_sat=spent.value, witness_script=message.wscript, limits=LIMITS[call.network])
    sighash = signing.sighash_of(message.TYPE, call.dialect, composer.setup.format)
    if psbt.inputs[0].sighash not in (None, sighash):
        raise Refused("psbt-sighash", f"the PSBT asks for sighash type {psbt.inputs[0].sighash} of input 0")
    return Digests(tx).segwit_v0(0, message.wscript, spent.value, sighash), sighash


def _spent(tx: Transaction, psbt: Psbt, witness_script: bytes) -> Output:
    """What the only input spends, as the PSBT says it."""
    # Core Lightning before v24 put another transaction into the PSBT: the outer one is what is signed.
    if [item.outpoint for item in psbt.tx.inputs] != [item.outpoint for item in tx.inputs]:
        raise Refused("psbt-transaction", "the PSBT holds a transaction that spends something else")
    spent = psbt.inputs[0].spent
    if spent is None:
        raise Refused("psbt-spent-output", "the PSBT does not say what the sweep spends")
    if spent.script != script.p2wsh(witness_script):
        raise Refused("psbt-spent-output", "the PSBT says that the sweep spends another script's output")
    return spent


def _signed(signature: bytes, sighash: int) -> Answer:
    return Answer(SignTxReply(composites.BitcoinSignature(signature, sighash)))


HANDLERS: Mapping[type[Any], Handler] = {
    wire.SignDelayedPaymentToUs: sign_delayed,
    wire.SignRemoteHtlcToUs: sign_counterparty_htlc,
    wire.SignPenaltyToUs: sign_penalty,
    wire.GetOutputScriptpubkey: get_output_scriptpubkey,
    wire.SignAnyDelayedPaymentToUs: sign_delayed,
    wire.SignAnyRemoteHtlcToUs: sign_counterparty_htlc,
    wire.SignAnyPenaltyToUs: sign_penalty,
}
