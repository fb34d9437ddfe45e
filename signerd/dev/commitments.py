"""A commitment as channeld asks for it: signed for the peer, taken from it, revoked both ways."""

from __future__ import annotations

from signerd.core.keys.commitment import index_of, point_of
from signerd.core.tx import htlc_transaction
from signerd.core.tx.commitment import Kind
from signerd.core.tx.transaction import FINAL_SEQUENCE
from signerd.core.wire import channel as wire
from signerd.core.wire import commitment as wire_commitment
from signerd.core.wire import composites, sweep
from signerd.core.wire.composites import BitcoinTx, Side
from signerd.dev import homeward, judge, psbts
from signerd.dev.channel import Channel, Held
from signerd.dev.coins import Wallet
from signerd.dev.homeward import Target
from signerd.dev.peer import der
from signerd.dev.steps import CHANNELD, Steps, ask, require
from signerd.errors import Refused


def sign_remote(channel: Channel, held: Held, capabilities: int = CHANNELD) -> Steps[None]:
    """hsmd 19, then 20 for each HTLC: a commitment of the peer is signed, perhaps not for the first time."""
    context = channel.context(capabilities)
    point = channel.keys.point(held.number)
    message = wire_commitment.SignRemoteCommitmentTx(
        tx=commitment_tx(channel, held),
        remote_funding_key=channel.keys.basepoints.funding,
        remote_per_commitment_point=point,
        option_static_remotekey=True,
        commit_num=held.number,
        htlcs=held.wire_htlcs(),
        feerate=held.view.feerate_per_kw if held.number else 0,
    )

    def of_funding(reply: wire_commitment.SignTxReply) -> bytes:
        return judge.signature(
            reply.signature,
            held.tx,
            channel.funding_script,
            held.value_sat,
            key=channel.basepoints.funding,
        )

    signature = yield from ask(message, of_funding, context=context)
    signatures = []
    for index, item, _ in held.htlc_outputs():
        assert item.witness_script is not None
        signatures.append((yield from _sign_remote_htlc(channel, held, index, item.witness_script)))
    again = signature, tuple(signatures)
    require(
        held.signature == b"" or again == (held.signature, held.htlc_signatures),
        f"commitment {held.number} of the peer was signed again with other signatures",
    )
    held.signature, held.htlc_signatures = again


def _sign_remote_htlc(channel: Channel, held: Held, index: int, witness_script: bytes) -> Steps[bytes]:
    tx, value = held.htlc_transaction(index), held.tx.outputs[index].value

    def of_htlc(reply: wire_commitment.SignTxReply) -> bytes:
        return judge.signature(
            reply.signature,
            tx,
            witness_script,
            value,
            key=held.commitment.terms.keys.other_htlc,
            sighash=htlc_transaction.sighash_type(channel.format),
        )

    message = wire_commitment.SignRemoteHtlcTx(
        tx=htlc_tx(held, index),
        wscript=witness_script,
        remote_per_commitment_point=channel.keys.point(held.number),
        option_anchors=channel.format.anchors,
    )
    result: bytes = yield from ask(message, of_htlc, context=channel.context(CHANNELD))
    return result


def take_local(channel: Channel, held: Held, capabilities: int = CHANNELD) -> Steps[None]:
    """hsmd 35: the peer signs our commitment, and the signer looks whether it did."""
    point = channel.points[held.number]
    sighash = htlc_transaction.sighash_type(channel.format)
    value = held.value_sat
    held.signature = channel.keys.sign_funding(held.tx, channel.funding_script, value)
    held.htlc_signatures = tuple(
        channel.keys.sign_htlc(
            held.htlc_transaction(index),
            item.witness_script or b"",
            item.output.value,
            point=point,
            sighash=sighash,
        )
        for index, item, _ in held.htlc_outputs()
    )
    message = wire_commitment.ValidateCommitmentTx(
        tx=commitment_tx(channel, held),
        htlcs=held.wire_htlcs(),
        commit_num=held.number,
        feerate=held.view.feerate_per_kw if held.number else 0,
        signature=composites.BitcoinSignature(held.signature, composites.SIGHASH_ALL),
        htlc_signatures=tuple(composites.BitcoinSignature(item, sighash) for item in held.htlc_signatures),
    )

    def of_point(reply: wire_commitment.ValidateCommitmentTxReply) -> None:
        require(reply.old_commitment_secret is None, "wire version 6 reveals no secret here")
        learn_point(channel, held.number + 1, reply.next_per_commitment_point)

    yield from ask(message, of_point, context=channel.context(capabilities))


def revoke_local(channel: Channel, number: int) -> Steps[None]:
    """hsmd 40: the signer gives our secret away, perhaps not for the first time."""

    def of_secret(reply: wire.RevokeCommitmentTxReply) -> None:
        learn_point(channel, number + 2, reply.next_per_commitment_point)
        require(
            point_of(reply.old_commitment_secret) == channel.points[number],
            f"the secret is not that of point {number}",
        )
        try:
            channel.secrets = channel.secrets.insert(index_of(number), reply.old_commitment_secret)
        except Refused as problem:
            require(False, problem.message)

    yield from ask(wire.RevokeCommitmentTx(number), of_secret, context=channel.context(CHANNELD))


def ask_point(channel: Channel, number: int, capabilities: int = CHANNELD) -> Steps[None]:
    """hsmd 18."""

    def of_point(reply: wire.GetPerCommitmentPointReply) -> None:
        require(reply.old_commitment_secret is None, "wire version 6 reveals no secret here")
        learn_point(channel, number, reply.per_commitment_point)

    yield from ask(wire.GetPerCommitmentPoint(number), of_point, context=channel.context(capabilities))


def revoke_remote(channel: Channel, number: int, wallet: Wallet) -> Steps[None]:
    """hsmd 36: the peer reveals its secret. Then 14: the penalty is signed before there is a reason."""
    secret = channel.keys.secret(number)
    context = channel.context(CHANNELD)
    yield from ask(wire.ValidateRevocation(number, secret), _nothing, context=context)
    held = channel.held[Side.REMOTE][number]
    found = held.output(Kind.TO_LOCAL)
    if found is None or found[1].output.value - homeward.FEE_SAT < channel.terms.local_dust_sat:
        return
    penalty = homeward.sweep(Target.of(held, found[0]), wallet, channel, sequence=FINAL_SEQUENCE)

    def of_penalty(reply: wire_commitment.SignTxReply) -> None:
        penalty.judge(reply.signature, held.commitment.terms.keys.revocation)

    message = sweep.SignPenaltyToUs(secret, penalty.sent, penalty.target.witness_script)
    yield from ask(message, of_penalty, context=context)


def learn_point(channel: Channel, number: int, point: bytes) -> None:
    """Our per-commitment points are the same each time they are told."""
    require(channel.points.setdefault(number, point) == point, f"point {number} is not what it was")


def commitment_tx(channel: Channel, held: Held) -> BitcoinTx:
    """A commitment as the node sends it, with the peer's signature in the PSBT of ours once there is one."""
    keys = channel.basepoints.funding, channel.keys.basepoints.funding
    fields = [psbts.spends(channel.funding_output_of(held.value_sat))]
    if held.side is Side.LOCAL and held.number and held.signature:
        fields += [
            psbts.partial_signature(keys[1], der(held.signature)),
            psbts.sighash(composites.SIGHASH_ALL),
        ]
    fields += [psbts.opened_by(channel.funding_script), *(psbts.key_of(key) for key in keys)]
    outputs = [
        [psbts.hides(item.witness_script)] if item.witness_script else [] for item in held.commitment.outputs
    ]
    return psbts.with_psbt(held.tx, [fields], outputs)


def htlc_tx(held: Held, index: int) -> BitcoinTx:
    """An HTLC transaction as the node sends it."""
    item = held.commitment.outputs[index]
    assert item.witness_script is not None
    fields = [psbts.spends(item.output), psbts.opened_by(item.witness_script)]
    delayed = held.commitment.terms.to_local_script()
    return psbts.with_psbt(held.htlc_transaction(index), [fields], [[psbts.hides(delayed)]])


def _nothing(_reply: object) -> None:
    """Being answered is all that there is to it."""
