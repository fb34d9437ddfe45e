"""What both sides sign together after the opening: the mutual close, and the splice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers import composing
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.policy import closing as policy
from signerd.core.policy import splice
from signerd.core.policy.limits import LIMITS
from signerd.core.tx import signing
from signerd.core.tx.sighash import ALL
from signerd.core.tx.signing import Dialect
from signerd.core.wire import closing as wire
from signerd.core.wire import composites, onchain
from signerd.core.wire.commitment import SignTxReply
from signerd.errors import MalformedMessage, Refused


def sign_mutual_close(message: wire.SignMutualCloseTx, call: Call) -> Answer:
    """hsmd type 21: one round of the negotiation. After the first, no new commitment is signed."""
    channel_id = call.channel_id
    channel, composer = composing.channel_of(call, channel_id)
    tx, psbt = composing.read(message.tx)
    funding = composing.require_funding(channel, tx.inputs[0].outpoint, message.remote_funding_key)
    composing.require_spent(psbt, 0, composer.funding_output(funding))
    policy.require_mutual_close(tx, psbt, channel, funding, wallet=call.keys, limits=LIMITS[call.network])
    nonce = signing.nonce_of(message.TYPE, call.dialect)
    signature = composer.keys.sign_funding(composer.funding_digest(tx, funding), nonce)
    reply = SignTxReply(composites.BitcoinSignature(signature, ALL))
    return composing.answer(reply, channel_id, channel, channel.close_mutually())


def sign_splice(message: onchain.SignSpliceTx, call: Call) -> Answer:
    """hsmd type 29: the funding that a splice spends. Core Lightning asks before and after setup_channel."""
    if call.dialect is Dialect.HOSTED:
        raise Refused("splice-unsupported", "hosted nodes do not splice: this signer does not offer it")
    channel_id, index = call.channel_id, message.input_index
    channel, composer = composing.channel_of(call, channel_id)
    tx, psbt = composing.read(message.tx)
    if index >= len(tx.inputs):
        raise MalformedMessage(f"the splice has no input {index}")
    funding = composing.require_funding(channel, tx.inputs[index].outpoint, message.remote_funding_key)
    composing.require_spent(psbt, index, composer.funding_output(funding))
    outputs = {known.outpoint: composer.funding_output(known) for known in channel.fundings}
    policy.require_splice(tx, [output.script for output in outputs.values()])
    splice.require_spent(tx, channel)
    splice.require_outputs(tx, outputs)
    splice.require_fee(tx, psbt, LIMITS[call.network])
    nonce = signing.nonce_of(message.TYPE, call.dialect)
    signature = composer.keys.sign_funding(composer.funding_digest(tx, funding, index), nonce)
    reply = SignTxReply(composites.BitcoinSignature(signature, ALL))
    return composing.answer(reply, channel_id, channel, channel.sign_splice(tx.txid))


HANDLERS: Mapping[type[Any], Handler] = {
    wire.SignMutualCloseTx: sign_mutual_close,
    onchain.SignSpliceTx: sign_splice,
}
