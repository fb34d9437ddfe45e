"""Commitments of both sides: signed, validated, revoked; and their HTLC transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from signerd.core.handlers import composing, htlc
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.handlers.composing import Composer
from signerd.core.keys import secp256k1
from signerd.core.policy import closing, splice
from signerd.core.policy import commitment as policy
from signerd.core.policy.limits import LIMITS
from signerd.core.state.book import ChannelId
from signerd.core.state.channel import Content, Contents, Funding
from signerd.core.state.loss import Loss
from signerd.core.tx import htlc_transaction, signing
from signerd.core.tx.commitment import Commitment
from signerd.core.tx.sighash import ALL
from signerd.core.tx.signing import Dialect
from signerd.core.wire import channel as channel_wire
from signerd.core.wire import commitment as wire
from signerd.core.wire import composites
from signerd.errors import MalformedMessage, Refused

_REVOKED_BY_ITSELF = 5
"""The first wire version in which a commitment is revoked by a message of its own (hsmd type 40)."""


def sign_remote_commitment(message: wire.SignRemoteCommitmentTx, call: Call) -> Answer:
    """hsmd type 19: the peer's commitment, once for each number and funding."""
    channel_id = call.channel_id
    channel, composer = composing.channel_of(call, channel_id)
    policy.require_htlc_count(len(message.htlcs), LIMITS[call.network])
    tx, psbt = composing.read(message.tx)
    funding = composing.require_funding(channel, tx.inputs[0].outpoint, message.remote_funding_key)
    number, point = message.commit_num, message.remote_per_commitment_point
    terms = composer.counterparty(funding, number, point, message.htlcs)
    composed = composing.recompose(terms, tx, psbt)
    composing.require_spent(psbt, 0, composer.funding_output(funding))
    composing.require_witness_scripts(psbt, composed)
    content = composing.content_of(composed, message.feerate)
    before = channel.signed.contents if channel.signed and channel.signed.number + 1 == number else ()
    beside = channel.signed.contents if channel.signed and channel.signed.number == number else ()
    proposed = policy.Proposed(composer.setup, funding, number, content, holder=False)
    loss = _check(call, proposed, before, channel.counterparty_loss)
    fitting = splice.require_fit(proposed, channel, before, beside)
    after = fitting.sign_counterparty(number, point, funding.outpoint, content, loss)
    nonce = signing.nonce_of(message.TYPE, call.dialect)
    signature = composer.keys.sign_funding(composer.funding_digest(composed.tx, funding), nonce)
    reply = wire.SignTxReply(composites.BitcoinSignature(signature, ALL))
    return composing.answer(reply, channel_id, channel, after)


def validate_commitment(message: wire.ValidateCommitmentTx, call: Call) -> Answer:
    """hsmd type 35: our own next commitment, with all of the peer's signatures.

    In wire version 4, this also revokes the one before.
    """
    channel_id = call.channel_id
    channel, composer = composing.channel_of(call, channel_id)
    policy.require_htlc_count(len(message.htlcs), LIMITS[call.network])
    tx, psbt = composing.read(message.tx)
    funding = channel.funding(tx.inputs[0].outpoint)
    number = message.commit_num
    composed = composing.recompose(composer.holder(funding, number, message.htlcs), tx, psbt)
    composing.require_spent(psbt, 0, composer.funding_output(funding))
    composing.require_witness_scripts(psbt, composed)
    content = composing.content_of(composed, message.feerate)
    before = channel.holder if channel.next_holder == number else ()
    beside = channel.holder if channel.next_holder == number + 1 else ()
    proposed = policy.Proposed(composer.setup, funding, number, content, holder=True)
    loss = _check(call, proposed, before, channel.holder_loss)
    fitting = splice.require_fit(proposed, channel, before, beside)
    after = fitting.validate_holder(number, funding.outpoint, content, loss)
    _verify(message, composer, funding, composed)
    secret = None
    if number and call.book.node.hsm_version < _REVOKED_BY_ITSELF:
        after, secret = after.revoke_holder(number - 1), composer.keys.release_secret(number - 1)
    reply = wire.ValidateCommitmentTxReply(secret, composer.holder_point(number + 1))
    ahead = partial(composer.make_ready, number + 1)
    return composing.answer(reply, channel_id, channel, after, ahead=ahead)


def revoke_commitment(message: channel_wire.RevokeCommitmentTx, call: Call) -> Answer:
    """hsmd type 40: our secret of a commitment whose successor is validated."""
    channel_id, number = call.channel_id, message.commit_num
    channel = call.channel(channel_id)
    after = channel.revoke_holder(number)
    keys = call.channel_keys(channel_id)
    reply = channel_wire.RevokeCommitmentTxReply(
        old_commitment_secret=keys.release_secret(number),
        next_per_commitment_point=keys.per_commitment_point(number + 2),
    )
    return composing.answer(reply, channel_id, channel, after)


def validate_revocation(message: channel_wire.ValidateRevocation, call: Call) -> Answer:
    """hsmd type 36: the peer's secret of one of its commitments, kept for a penalty."""
    channel_id = call.channel_id
    channel = call.channel(channel_id)
    if not secp256k1.is_secret(message.per_commitment_secret):
        raise MalformedMessage("the per-commitment secret is not a valid private key")
    after = channel.revoke_counterparty(message.revoke_num, message.per_commitment_secret)
    return composing.answer(channel_wire.ValidateRevocationReply(), channel_id, channel, after)


def sign_commitment(message: wire.SignCommitmentTx, call: Call) -> Answer:
    """hsmd type 5: our own current commitment for the chain, or a mutual close once more."""
    channel_id = ChannelId(message.peer_id, message.dbid)
    channel, composer = composing.channel_of(call, channel_id)
    tx, psbt = composing.read(message.tx)
    funding = composing.require_funding(channel, tx.inputs[0].outpoint, message.remote_funding_key)
    composing.require_spent(psbt, 0, composer.funding_output(funding))
    # A commitment is marked in its lock time; a mutual close has none (BOLT 3).
    if not tx.locktime:
        closing.require_mutual_close(
            tx, psbt, channel, funding, wallet=call.keys, limits=LIMITS[call.network]
        )
        signed, after = tx, channel.close_mutually()
    else:
        number = message.commit_num
        after = channel.publish_holder(number)
        content = dict(channel.holder).get(funding.outpoint)
        if content is None:
            raise Refused("commitment-funding", f"no commitment {number} is validated for {funding.outpoint}")
        signed = composing.compose(composer.holder(funding, number), content).tx
        composing.require_same(signed, tx, number)
    nonce = signing.nonce_of(message.TYPE, call.dialect)
    signature = composer.keys.sign_funding(composer.funding_digest(signed, funding), nonce)
    reply = wire.SignCommitmentTxReply(composites.BitcoinSignature(signature, ALL))
    return composing.answer(reply, channel_id, channel, after)


def sign_remote_htlc(message: wire.SignRemoteHtlcTx, call: Call) -> Answer:
    """hsmd type 20: an HTLC transaction of the peer's commitment, which we have signed before."""
    channel, composer = composing.channel_of(call, call.channel_id)
    point = message.remote_per_commitment_point
    signed = [item for item in (channel.signed, channel.signed_before) if item and item.point == point]
    side = htlc.Side(
        composer.counterparty_keys(point),
        composer.setup.holder_delay,
        composer.setup.format,
        [item.contents for item in signed],
    )
    nonce = signing.nonce_of(message.TYPE, call.dialect)
    return Answer(wire.SignTxReply(htlc.sign(message.tx, message.wscript, side, composer.keys, nonce)))


def sign_local_htlc(message: wire.SignLocalHtlcTx, call: Call) -> Answer:
    """hsmd type 16: an HTLC transaction of our own current commitment."""
    return _sign_local_htlc(message, call, call.channel_id)


def sign_any_local_htlc(message: wire.SignAnyLocalHtlcTx, call: Call) -> Answer:
    """hsmd type 146: as type 16, for a channel that the message names."""
    if message.input:
        raise Refused("policy-htlc-other", f"an HTLC transaction has one input: there is no {message.input}")
    return _sign_local_htlc(message, call, ChannelId(message.peer_id, message.dbid))


def _sign_local_htlc(
    message: wire.SignLocalHtlcTx | wire.SignAnyLocalHtlcTx, call: Call, channel_id: ChannelId
) -> Answer:
    channel, composer = composing.channel_of(call, channel_id)
    number = message.commit_num
    if number + 1 != channel.next_holder:
        raise Refused(
            "commitment-revoked" if number + 1 < channel.next_holder else "commitment-skipped",
            f"our current commitment is {channel.next_holder - 1}, not {number}",
        )
    side = htlc.Side(
        composer.holder_keys(number),
        composer.setup.counterparty_delay,
        composer.setup.format,
        [channel.holder],
    )
    nonce = signing.nonce_of(message.TYPE, call.dialect)
    return Answer(wire.SignTxReply(htlc.sign(message.tx, message.wscript, side, composer.keys, nonce)))


def _check(call: Call, proposed: policy.Proposed, before: Contents, loss: Loss) -> Loss:
    """What we have lost unexplained if this is signed. Raises Refused."""
    limits = LIMITS[call.network]
    policy.check(proposed, limits)
    if call.dialect is Dialect.HOSTED:
        policy.require_htlc_value(proposed.content, limits)
        # In a channel that both sides fund, the first commitment is not the opener's alone.
        if proposed.number == 0:
            policy.check_first(proposed)
    last: Content | None = dict(before).get(proposed.funding.outpoint)
    return loss if last is None else policy.check_balance(proposed, last, loss, call.now, limits)


def _verify(
    message: wire.ValidateCommitmentTx, composer: Composer, funding: Funding, composed: Commitment
) -> None:
    """Raises Refused unless the peer has signed the commitment and every HTLC transaction on it."""
    rule = "policy-revoke-new-commitment-signed"
    if message.signature.sighash != ALL:
        raise Refused(rule, f"our commitment is signed with sighash type {message.signature.sighash:#x}")
    outputs = composed.htlc_outputs()
    if len(outputs) != len(message.htlc_signatures):
        raise Refused(
            rule, f"there are {len(message.htlc_signatures)} HTLC signatures for {len(outputs)} HTLCs"
        )
    sighash = htlc_transaction.sighash_type(composer.setup.format)
    for (index, _), signature in zip(outputs, message.htlc_signatures, strict=True):
        if signature.sighash != sighash:
            raise Refused(
                rule, f"the HTLC at output {index} is signed with sighash type {signature.sighash:#x}"
            )
    wrong = secp256k1.first_wrong(list(_signed(message, composer, funding, composed)))
    if wrong == 0:
        raise Refused(rule, f"the peer's signature of our commitment {message.commit_num} is wrong")
    if wrong is not None:
        raise Refused(rule, f"the peer's signature of the HTLC at output {outputs[wrong - 1][0]} is wrong")


def _signed(
    message: wire.ValidateCommitmentTx, composer: Composer, funding: Funding, composed: Commitment
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Key, signature and digest of the commitment, then of each HTLC transaction."""
    digest = composer.funding_digest(composed.tx, funding)
    yield funding.counterparty_key, message.signature.signature, digest
    digests = htlc_transaction.digests(composed, feerate_per_kw=message.feerate)
    key = composed.terms.keys.other_htlc
    for item, digest in zip(message.htlc_signatures, digests, strict=True):
        yield key, item.signature, digest


HANDLERS: Mapping[type[Any], Handler] = {
    wire.SignCommitmentTx: sign_commitment,
    wire.SignLocalHtlcTx: sign_local_htlc,
    wire.SignRemoteCommitmentTx: sign_remote_commitment,
    wire.SignRemoteHtlcTx: sign_remote_htlc,
    wire.ValidateCommitmentTx: validate_commitment,
    channel_wire.ValidateRevocation: validate_revocation,
    channel_wire.RevokeCommitmentTx: revoke_commitment,
    wire.SignAnyLocalHtlcTx: sign_any_local_htlc,
}
