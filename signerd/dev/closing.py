"""How a channel ends: by a mutual close, or by a commitment that one side publishes."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.tx import closing
from signerd.core.tx.commitment import Kind
from signerd.core.tx.htlc import MSAT
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import commitment as wire
from signerd.core.wire import onchain
from signerd.core.wire.closing import SignMutualCloseTx
from signerd.core.wire.composites import BitcoinTx, Side
from signerd.dev import commitments, judge, psbts, spending
from signerd.dev.channel import Channel, Held
from signerd.dev.coins import Coin, sum_of
from signerd.dev.peer import der
from signerd.dev.steps import CLOSINGD, Steps, ask
from signerd.dev.updates import other
from signerd.dev.world import World
from signerd.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Bump:
    """How an anchor brings its commitment into a block: with so many coins, for this fee.

    More `attempts` are the same at later blocks, each for a higher fee; the last one is mined.
    """

    coins: int = 1
    fee_sat: int = 4000
    attempts: int = 1


USUAL_BUMP = Bump()


def close_mutually(world: World, channel: Channel, *, rounds: int = 1) -> Steps[None]:
    """hsmd 21 for each round of the negotiation, then 5 for its outcome. Raises UsageError if not quiet."""
    if not channel.updates.quiet or not channel.open or channel.splices:
        raise UsageError("a channel with open updates or splices, or a closed one, is not closed mutually")
    context, key = channel.context(CLOSINGD), channel.basepoints.funding
    theirs = channel.keys.basepoints.funding
    tx = _mutual_close(world, channel, 0)
    signature = b""

    def of_funding(reply: wire.SignTxReply | wire.SignCommitmentTxReply) -> bytes:
        return judge.signature(reply.signature, tx, channel.funding_script, channel.value_sat, key=key)

    for number in range(rounds):
        tx = _mutual_close(world, channel, number)
        message = SignMutualCloseTx(_mutual_close_tx(world, channel, tx), theirs)
        signature = yield from ask(message, of_funding, context=context)
    again = wire.SignCommitmentTx(
        channel.peer.node_id,
        channel.dbid,
        _mutual_close_tx(world, channel, tx),
        theirs,
        channel.newest(Side.LOCAL).number,
    )
    signature = yield from ask(again, of_funding)
    channel.closing_tx = tx
    world.chain.publish(_with_both(channel, tx, signature))
    for number, output in enumerate(tx.outputs):
        if output.script == channel.home(world.wallet):
            world.wallet.find(tx, number, channel.final_index)


def publish_ours(world: World, channel: Channel, *, bump: Bump | None = USUAL_BUMP) -> Steps[None]:
    """hsmd 5, and 147 if our commitment has an anchor of ours and there is to be a bump."""
    held = channel.standing(Side.LOCAL)[channel.newest(Side.LOCAL).number]
    message = wire.SignCommitmentTx(
        channel.peer.node_id,
        channel.dbid,
        commitments.commitment_tx(channel, held),
        channel.keys.basepoints.funding,
        held.number,
    )

    def of_funding(reply: wire.SignCommitmentTxReply) -> bytes:
        value = held.value_sat
        return judge.signature(
            reply.signature, held.tx, channel.funding_script, value, key=channel.basepoints.funding
        )

    signature = yield from ask(message, of_funding, deterministic=False)
    _publish(world, channel, held, signature)
    if bump is not None:
        yield from raise_fee(world, channel, bump)


def publish_theirs(world: World, channel: Channel, number: int | None = None) -> None:
    """The peer publishes its newest commitment, or the one with this number."""
    number = channel.newest(Side.REMOTE).number if number is None else number
    held = channel.standing(Side.REMOTE).get(number)
    if held is None:
        raise UsageError(f"the peer has no commitment {number} of what is on the chain")
    own = channel.keys.sign_funding(held.tx, channel.funding_script, held.value_sat)
    _publish(world, channel, held, own)


def raise_fee(world: World, channel: Channel, bump: Bump = USUAL_BUMP) -> Steps[None]:
    """hsmd 147: our anchor and coins of the wallet pay for the commitment, if it has our anchor."""
    anchor = _anchor(channel)
    if anchor is None or anchor.witness_script is None:
        return
    coins = world.wallet.take_some(bump.coins, 2 * bump.attempts * bump.fee_sat)
    signed = anchor.previous
    for attempt in range(1, bump.attempts + 1):
        left = sum_of([*coins, anchor]) - attempt * bump.fee_sat
        change = Output(left, channel.home(world.wallet))
        tx = spending.unsigned([*coins, anchor], [change], world.chain.height)
        of_anchor = [
            psbts.spends(anchor.output),
            psbts.opened_by(anchor.witness_script),
            psbts.key_of(channel.basepoints.funding),
        ]
        # lightningd does not say that the change is ours.
        psbt = psbts.write(tx, [*(coin.fields for coin in coins), of_anchor], [psbts.NO_FIELDS])

        def of_psbt(reply: onchain.SignAnchorspendReply, asked: bytes = psbt) -> Transaction:
            return judge.signed_inputs(asked, reply.psbt, dict(enumerate([*coins, anchor])))

        utxos = tuple(coin.utxo for coin in coins)
        message = onchain.SignAnchorspend(channel.peer.node_id, channel.dbid, utxos, psbt)
        signed = yield from ask(message, of_psbt, deterministic=False)
    world.chain.publish(signed)
    world.wallet.find(signed, 0, channel.final_index)


def _anchor(channel: Channel) -> Coin | None:
    """Ours on the published commitment, whichever side's it is."""
    held = channel.published
    ours = Kind.OWN_ANCHOR if held and held.side is Side.LOCAL else Kind.OTHER_ANCHOR
    found = held.output(ours) if held else None
    if held is None or found is None:
        return None
    index, item = found
    return Coin(
        outpoint=Outpoint(held.tx.txid, index),
        output=item.output,
        previous=held.tx,
        key=channel.basepoints.funding,
        witness_script=item.witness_script,
    )


def is_revoked(channel: Channel, held: Held) -> bool:
    """Whether publishing this commitment of the peer is cheating."""
    newest = channel.newest(Side.REMOTE).number
    return held.side is Side.REMOTE and held.number < newest - channel.revocation_due


def _publish(world: World, channel: Channel, held: Held, signature: bytes) -> None:
    if not channel.open:
        raise UsageError("the channel is closed already")
    world.chain.publish(_with_both(channel, held.tx, signature, by=held.side, others=held.signature))
    channel.published = held


def _with_both(
    channel: Channel, tx: Transaction, signature: bytes, *, by: Side = Side.LOCAL, others: bytes = b""
) -> Transaction:
    """With the signatures of both funding keys: that of the side that publishes it, and the other one's."""
    if not others:
        others = channel.keys.sign_funding(tx, channel.funding_script, channel.value_sat)
    signatures = {
        channel.basepoints_of(by).funding: signature,
        channel.basepoints_of(other(by)).funding: others,
    }
    in_order = (der(signatures[key]) for key in sorted(signatures))
    witness = (b"", *in_order, channel.funding_script)
    inputs = (Input(tx.inputs[0].outpoint, tx.inputs[0].sequence, witness=witness),)
    return Transaction(tx.version, inputs, tx.outputs, tx.locktime)


def _mutual_close(world: World, channel: Channel, number: int) -> Transaction:
    """What each side has, the funder less the fee of this round; amounts below dust are left out."""
    terms, feerate = channel.terms, channel.updates.feerate_per_kw
    fee = feerate * 700 // 1000 + 50 * number
    left = {side: channel.updates.balances[side] // MSAT for side in Side}
    left[terms.funder] -= fee
    dust = max(terms.local_dust_sat, terms.remote_dust_sat)
    kept = {side: value if value >= dust else 0 for side, value in left.items()}
    return closing.compose(
        closing.Terms(
            funding=channel.funding,
            holder_sat=kept[Side.LOCAL],
            holder_script=channel.home(world.wallet),
            counterparty_sat=kept[Side.REMOTE],
            counterparty_script=channel.their_final_script,
        )
    )


def _mutual_close_tx(world: World, channel: Channel, tx: Transaction) -> BitcoinTx:
    ours = channel.home(world.wallet)
    owned = [world.wallet.owned(channel.final_index, ours)]
    outputs = [owned if output.script == ours else psbts.NO_FIELDS for output in tx.outputs]
    fields = [psbts.spends(channel.funding_output), psbts.opened_by(channel.funding_script)]
    return psbts.with_psbt(tx, [fields], outputs)
