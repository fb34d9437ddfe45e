"""The funding of a channel moves (BOLT 2, splicing), in the order in which channeld and the wallet ask.

Whoever wants it pays for it; the other side puts in nothing, as Core Lightning has it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from signerd.core.tx import script
from signerd.core.tx.htlc import MSAT
from signerd.core.tx.sighash import Digests
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import onchain
from signerd.core.wire.commitment import SignTxReply
from signerd.core.wire.composites import SIGHASH_ALL, BitcoinTx, Side
from signerd.dev import commitments, gossip, judge, opening, psbts
from signerd.dev.channel import Channel, Splice, reserve_of
from signerd.dev.coins import Coin, sum_of
from signerd.dev.peer import der
from signerd.dev.steps import CHANNELD, Steps, ask, require
from signerd.dev.world import World
from signerd.errors import UsageError

_DUST_SAT = 546
_PLAIN_SEQUENCE = 0


class Stage(enum.IntEnum):
    """How far an attempt comes before one side gives it up."""

    SET_UP = 0
    COMMITTED = 1
    SIGNED = 2
    """It is not given up: from here on, either side can publish it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """`amount_sat` goes into the channel, out of it if less than zero; `by` whom, who also pays the fee.

    With `funding_last`, the channel's own outputs come last in both lists.
    """

    by: Side = Side.LOCAL
    amount_sat: int
    fee_sat: int = 400
    funding_last: bool = False
    until: Stage = Stage.SIGNED


@dataclass(frozen=True, slots=True)
class _Draft:
    """A splice's transaction before its signatures. `coins` are what its initiator spends beside the funding.

    `returns`: which outputs are ours, and under which wallet key.
    """

    tx: Transaction
    coins: tuple[Coin, ...]
    funding_input: int
    funding_output: int
    returns: dict[int, int]

    def numbered(self) -> dict[int, Coin]:
        """The coins by their inputs."""
        places = [number for number in range(len(self.tx.inputs)) if number != self.funding_input]
        return dict(zip(places, self.coins, strict=True))

    def finished(self, funding_witness: tuple[bytes, ...], signed: Transaction | None) -> Transaction:
        """With witnesses, the coins' being those of `signed`."""
        inputs = list((signed or self.tx).inputs)
        inputs[self.funding_input] = replace(inputs[self.funding_input], witness=funding_witness)
        return replace(self.tx, inputs=tuple(inputs))


def propose(world: World, channel: Channel, move: Move) -> Steps[Splice | None]:
    """hsmd 29, 31, 18, 35, 19, 29, 7, 29; if the peer wants it 31, 19, 18, 35, 29. One more attempt at it.

    None if it is given up. Raises UsageError unless both commitments hold every update, and what is to leave
    is there.
    """
    _require_quiet(channel, move)
    draft = _draft(world, channel, move)
    return (yield from _Proposal(world, channel, move, draft).play())


def confirm(world: World, channel: Channel, splice: Splice) -> None:
    """This attempt is mined, and the others cannot be any more."""
    if channel.spliced is not None or splice not in channel.splices or not channel.open:
        raise UsageError("this is no splice in the making")
    world.chain.publish(splice.tx)
    channel.spliced = splice
    for number, index in splice.returns.items():
        world.wallet.find(splice.tx, number, index)


def lock_in(world: World, channel: Channel) -> Steps[None]:
    """hsmd 32, 37, 4, 3: both sides go on with the new funding alone."""
    splice = channel.spliced
    if splice is None or not channel.open:
        raise UsageError("no splice is on the chain, or the channel is closed")
    channel.funding, channel.funding_tx, channel.value_sat = splice.funding, splice.tx, splice.value_sat
    yield from opening.lock_in(channel, CHANNELD)
    for side in Side:
        channel.first[side] = min(splice.held[side])
        for number, held in splice.held[side].items():
            channel.held[side][number] = held
    channel.updates.splice(splice.changes_msat, reserve_of(channel.terms, splice.value_sat))
    channel.splices, channel.spliced = [], None
    channel.moves += 1
    # Once between the two, and for all when the network may know of it.
    for _ in range(2):
        yield from gossip.announce_channel(world, channel)
        yield from gossip.update_channel(world, channel)


@dataclass(frozen=True, slots=True)
class _Proposal:
    """One attempt."""

    world: World
    channel: Channel
    move: Move
    draft: _Draft

    def play(self) -> Steps[Splice | None]:
        channel, draft, move = self.channel, self.draft, self.move
        splice = Splice(
            by=move.by,
            amount_sat=move.amount_sat,
            funding=Outpoint(draft.tx.txid, draft.funding_output),
            value_sat=channel.value_sat + move.amount_sat,
            tx=draft.tx,
            coins=draft.coins,
            returns=draft.returns,
        )
        ours_first = move.by is Side.LOCAL
        if ours_first:
            yield from self._sign_funding([*self._funding_fields(), psbts.opened_by(channel.funding_script)])
        yield from self._set_up(splice)
        if move.until >= Stage.COMMITTED:
            yield from self._commit(splice)
        if move.until < Stage.SIGNED:
            if ours_first and not channel.splices:
                for coin in draft.coins:
                    self.world.wallet.add(coin)
            return None
        splice.tx = yield from (self._sign_ours() if ours_first else self._sign_theirs())
        channel.splices.append(splice)
        leaving = channel.updates.leaving_msat
        leaving[move.by] = max(leaving[move.by], -move.amount_sat * MSAT)
        return splice

    def _set_up(self, splice: Splice) -> Steps[None]:
        """hsmd 31: as at the opening but for the funding; what was agreed then is not said again."""
        channel = self.channel
        message = replace(
            opening.setup(self.world, channel),
            channel_value=splice.value_sat,
            push_value=0,
            funding_txid=splice.funding.txid,
            funding_txout=splice.funding.index,
            local_shutdown_script=b"",
            local_shutdown_wallet_index=None,
            remote_shutdown_script=b"",
        )
        yield from ask(message, _answered, context=channel.context(CHANNELD))

    def _commit(self, splice: Splice) -> Steps[None]:
        """Both sign the other's newest commitment once more, for the new funding."""
        channel = self.channel
        ours = channel.compose(Side.LOCAL, channel.newest(Side.LOCAL).number, splice)
        theirs = channel.compose(Side.REMOTE, channel.newest(Side.REMOTE).number, splice)
        if self.move.by is Side.REMOTE:
            yield from commitments.sign_remote(channel, theirs)
        yield from commitments.ask_point(channel, ours.number)
        yield from commitments.take_local(channel, ours)
        if self.move.by is Side.LOCAL:
            yield from commitments.sign_remote(channel, theirs)
        splice.held = {Side.LOCAL: {ours.number: ours}, Side.REMOTE: {theirs.number: theirs}}

    def _sign_ours(self) -> Steps[Transaction]:
        """The peer has signed first; then the wallet's coins, and channeld once more with all signatures."""
        channel, draft, theirs = self.channel, self.draft, self._their_signature()
        keys = channel.basepoints.funding, channel.keys.basepoints.funding
        fields = [
            *self._funding_fields(),
            psbts.partial_signature(keys[1], der(theirs)),
            psbts.sighash(SIGHASH_ALL),
            psbts.opened_by(channel.funding_script),
        ]
        ours = yield from self._sign_funding(fields)
        finished = draft.finished(self._funding_witness(ours, theirs), None)
        if draft.coins:
            psbt = self._psbt([*fields, psbts.partial_signature(keys[0], der(ours))], named=True)

            def of_psbt(reply: onchain.SignWithdrawalReply) -> Transaction:
                return judge.signed_inputs(psbt, reply.psbt, draft.numbered())

            message = onchain.SignWithdrawal(tuple(coin.utxo for coin in draft.coins), psbt)
            signed = yield from ask(message, of_psbt)
            finished = draft.finished(self._funding_witness(ours, theirs), signed)
        witness = finished.inputs[draft.funding_input].witness
        again = yield from self._sign_funding([*self._funding_fields(), psbts.final_witness(witness)])
        require(again == ours, "the funding was signed again with another signature")
        return finished

    def _sign_theirs(self) -> Steps[Transaction]:
        channel, draft = self.channel, self.draft
        ours = yield from self._sign_funding([psbts.previous(channel.funding_tx)])
        digests, inputs = Digests(draft.tx), list(draft.tx.inputs)
        for number, coin in draft.numbered().items():
            digest = digests.segwit_v0(number, coin.script_code, coin.output.value)
            witness = der(channel.peer.sign_coin(digest)), coin.key
            inputs[number] = replace(inputs[number], witness=witness)
        signed = replace(draft.tx, inputs=tuple(inputs))
        return draft.finished(self._funding_witness(ours, self._their_signature()), signed)

    def _sign_funding(self, fields: psbts.Fields) -> Steps[bytes]:
        """hsmd 29; `fields` are the PSBT's of the funding."""
        channel, draft = self.channel, self.draft

        def of_funding(reply: SignTxReply) -> bytes:
            return judge.signature(
                reply.signature,
                draft.tx,
                channel.funding_script,
                channel.value_sat,
                key=channel.basepoints.funding,
                index=draft.funding_input,
            )

        message = onchain.SignSpliceTx(
            BitcoinTx(draft.tx.serialize(), self._psbt(fields)),
            channel.keys.basepoints.funding,
            draft.funding_input,
        )
        signature: bytes = yield from ask(message, of_funding, context=channel.context(CHANNELD))
        return signature

    def _their_signature(self) -> bytes:
        channel, tx = self.channel, self.draft.tx
        index = self.draft.funding_input
        return channel.keys.sign_funding(tx, channel.funding_script, channel.value_sat, index)

    def _funding_fields(self) -> list[psbts.Field]:
        return [psbts.previous(self.channel.funding_tx), psbts.spends(self.channel.funding_output)]

    def _funding_witness(self, ours: bytes, theirs: bytes) -> tuple[bytes, ...]:
        channel = self.channel
        signatures = {channel.basepoints.funding: ours, channel.keys.basepoints.funding: theirs}
        return (b"", *(der(signatures[key]) for key in sorted(signatures)), channel.funding_script)

    def _psbt(self, funding: psbts.Fields, *, named: bool = False) -> bytes:
        """`named`: with the wallet's own outputs marked, as the wallet does it."""
        tx, wallet = self.draft.tx, self.world.wallet
        coins = {number: coin.fields for number, coin in self.draft.numbered().items()}
        inputs = [coins.get(number, funding) for number in range(len(tx.inputs))]
        returns = self.draft.returns if named else {}
        outputs = [
            [wallet.owned(returns[number], output.script)] if number in returns else psbts.NO_FIELDS
            for number, output in enumerate(tx.outputs)
        ]
        return psbts.write(tx, inputs, outputs)


def _require_quiet(channel: Channel, move: Move) -> None:
    if not channel.open or channel.spliced is not None:
        raise UsageError("the channel is closed, or its last splice is not locked in")
    if not channel.updates.settled or channel.revocation_due:
        raise UsageError("a splice has to wait until both sides have agreed on every update")
    if any((splice.by, splice.amount_sat) != (move.by, move.amount_sat) for splice in channel.splices):
        raise UsageError("another attempt at a splice is for the same amount, by the same side")
    room = channel.updates.room_msat(move.by) + channel.updates.leaving_msat[move.by]
    if -move.amount_sat * MSAT > room or abs(move.amount_sat) < move.fee_sat + _DUST_SAT:
        raise UsageError(f"{-move.amount_sat} sat cannot leave the channel: {room // MSAT} sat can")


def _draft(world: World, channel: Channel, move: Move) -> _Draft:
    coins = channel.splices[0].coins if channel.splices else _coins(world, channel, move)
    inputs = [Input(coin.outpoint, coin.sequence) for coin in coins]
    outputs, returns = [], {}
    left = sum_of(coins) - move.amount_sat - move.fee_sat
    if left >= _DUST_SAT:
        if move.by is Side.LOCAL:
            index = world.wallet.fresh()
            outputs.append(Output(left, world.wallet.script(index)))
            returns[1 - move.funding_last] = index
        else:
            outputs.append(Output(left, script.p2wpkh(channel.peer.coin_key)))
    funding_input = len(inputs) if move.funding_last else 0
    funding_output = len(outputs) if move.funding_last else 0
    inputs.insert(funding_input, Input(channel.funding, _PLAIN_SEQUENCE))
    outputs.insert(funding_output, channel.funding_output_of(channel.value_sat + move.amount_sat))
    return _Draft(
        Transaction(2, tuple(inputs), tuple(outputs), 0), coins, funding_input, funding_output, returns
    )


def _coins(world: World, channel: Channel, move: Move) -> tuple[Coin, ...]:
    """What the initiator adds, with something for higher fees."""
    if move.amount_sat < 0:
        return ()
    needed = move.amount_sat + 10 * move.fee_sat
    if move.by is Side.LOCAL:
        # Both sides know the id before they sign (BOLT 2, tx_add_input).
        return tuple(world.wallet.take(needed, native=True))
    key = channel.peer.coin_key
    output = Output(needed, script.p2wpkh(key))
    tx = world.chain.coin(output)
    return (Coin(outpoint=Outpoint(tx.txid, 0), output=output, previous=tx, key=key),)


def _answered(_reply: object) -> None:
    """Being answered is all that there is to it."""
