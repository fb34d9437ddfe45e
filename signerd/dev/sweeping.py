"""Everything that is ours comes home after a commitment was published, in lightningd's order and forms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from signerd.core.tx import htlc_transaction, sighash
from signerd.core.tx.commitment import Kind
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import commitment as wire
from signerd.core.wire import onchain
from signerd.core.wire.composites import CloseInfo, Side
from signerd.dev import commitments, homeward, judge, onchaind, psbts, spending
from signerd.dev.channel import Channel, Held
from signerd.dev.closing import is_revoked
from signerd.dev.coins import Coin
from signerd.dev.homeward import Target
from signerd.dev.peer import der
from signerd.dev.steps import ONCHAIND, Steps, ask, require
from signerd.dev.updates import Payment
from signerd.dev.world import World
from signerd.errors import UsageError

_LEAST_SAT = 1100
"""An output below this costs more than it brings."""
_ATTEMPTS = 2
"""How often what is not confirmed yet is signed again: at each block, with another fee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a sweep is done where there is more than one way.

    `older`: onchaind asks itself (hsmd 12 to 16), as in older nodes. `keep`: what the peer's commitment pays
    us stays where it is, as a coin of the wallet. `fee_sat` is left to the miner by each sweep, and
    `mingle_fee_sat` by each HTLC transaction that pays no fee, more from attempt to attempt.
    """

    older: bool = False
    keep: bool = False
    fee_sat: int = homeward.FEE_SAT
    mingle_fee_sat: int = 2000


USUAL = Manner()


def sweep(world: World, channel: Channel, manner: Manner = USUAL) -> Steps[None]:
    """Raises UsageError unless a commitment is published, and there is anything left to sweep."""
    if channel.published is None or channel.swept:
        raise UsageError("no commitment of the channel is published, or it is swept already")
    yield from _Sweeper(world, channel, channel.published, manner).sweep()
    channel.swept = True


def publish_their_htlc(world: World, channel: Channel, payment: Payment) -> None:
    """The peer goes on from its published commitment: its HTLC-timeout, or HTLC-success with the preimage."""
    held = channel.published
    if held is None or held.side is Side.LOCAL or payment not in held.payments:
        raise UsageError("no commitment of the peer with this payment is published")
    place = held.payments.index(payment)
    index, item, _ = held.htlc_outputs()[place]
    tx, kind = held.htlc_transaction(index), htlc_transaction.sighash_type(channel.format)
    script, point = item.witness_script or b"", channel.keys.point(held.number)
    own = channel.keys.sign_htlc(tx, script, item.output.value, point=point, sighash=kind)
    last = payment.preimage if payment.by is Side.LOCAL else b""
    others = held.htlc_signatures[place]
    world.chain.publish(_signed(tx, b"", der(others, kind), der(own, kind), last, script))


@dataclass(frozen=True, slots=True)
class _Sweeper:
    """Of one published commitment."""

    world: World
    channel: Channel
    held: Held
    manner: Manner

    def sweep(self) -> Steps[None]:
        if self.held.side is Side.LOCAL:
            yield from self._sweep_ours()
            return
        if is_revoked(self.channel, self.held):
            yield from self._punish()
        else:
            for index, _, payment in self.held.htlc_outputs():
                yield from self._claim(Target.of(self.held, index), payment)
        yield from self._take_to_remote()

    # Our own commitment.

    def _sweep_ours(self) -> Steps[None]:
        """hsmd 18, 146 for each HTLC, 149 where it needs a fee, 142 for whatever had to wait."""
        held = self.held
        yield from commitments.ask_point(self.channel, held.number, ONCHAIND)
        for place, (index, _, payment) in enumerate(held.htlc_outputs()):
            if payment.by is Side.LOCAL or payment.known:
                tx = yield from self._htlc_transaction(place, index, payment)
                yield from self._take_delayed(self._delayed(tx))
        if (found := held.output(Kind.TO_LOCAL)) is not None:
            yield from self._take_delayed(Target.of(held, found[0]))

    def _htlc_transaction(self, place: int, index: int, payment: Payment) -> Steps[Transaction]:
        held, target = self.held, Target.of(self.held, index)
        tx, kind = held.htlc_transaction(index), htlc_transaction.sighash_type(self.channel.format)
        script, value = target.witness_script, target.output.value

        def of_htlc(reply: wire.SignTxReply) -> bytes:
            key = held.commitment.terms.keys.own_htlc
            return judge.signature(reply.signature, tx, script, value, key=key, sighash=kind)

        question = onchaind.local_htlc(
            self.channel, held.number, commitments.htlc_tx(held, index), script, older=self.manner.older
        )
        own = yield from ask(question.message, of_htlc, context=question.context)
        last = payment.preimage if payment.by is Side.REMOTE else b""
        others = held.htlc_signatures[place]
        signed = _signed(tx, b"", der(others, kind), der(own, kind), last, script)
        if not self.channel.format.pays_htlc_fees:
            signed = yield from self._mingle(signed, target)
        self.world.chain.publish(signed)
        for number in range(1, len(signed.outputs)):
            self.world.wallet.find(signed, number, self.channel.final_index)
        return signed

    def _mingle(self, htlc: Transaction, target: Target) -> Steps[Transaction]:
        """hsmd 149: a coin of the wallet pays for an HTLC transaction."""
        fee = self.manner.mingle_fee_sat
        coin = self.world.wallet.take_one(2 * _ATTEMPTS * fee)
        home = self.channel.home(self.world.wallet)
        finished = [psbts.spends(target.output), psbts.final_witness(htlc.inputs[0].witness)]
        hidden = [psbts.hides(self.held.commitment.terms.to_local_script())]
        signed = htlc
        for attempt in range(1, _ATTEMPTS + 1):
            change = Output(coin.output.value - attempt * fee, home)
            inputs = (*htlc.inputs, Input(coin.outpoint, coin.sequence))
            tx = Transaction(htlc.version, inputs, (*htlc.outputs, change), htlc.locktime)
            # As for an anchor's, lightningd does not say that the change is ours.
            psbt = psbts.write(tx, [finished, coin.fields], [hidden, psbts.NO_FIELDS])

            def of_psbt(reply: onchain.SignHtlcTxMingleReply, asked: bytes = psbt) -> Transaction:
                return judge.signed_inputs(asked, reply.psbt, {1: coin})

            message = onchain.SignHtlcTxMingle(
                self.channel.peer.node_id, self.channel.dbid, (coin.utxo,), psbt
            )
            signed = yield from ask(message, of_psbt, deterministic=not coin.is_taproot)
        return signed

    def _take_delayed(self, target: Target) -> Steps[None]:
        """hsmd 142."""
        if target.output.value < _LEAST_SAT:
            return
        prepared = self._prepare(target, sequence=self.channel.terms.delay(Side.LOCAL))

        def of_delayed(reply: wire.SignTxReply) -> bytes:
            return prepared.judge(reply.signature, self.held.commitment.terms.keys.delayed)

        question = onchaind.delayed(
            self.channel, self.held.number, prepared.sent, target.witness_script, older=self.manner.older
        )
        signature = yield from ask(question.message, of_delayed, context=question.context)
        self._publish(_signed(prepared.tx, der(signature), b"", target.witness_script))

    # The peer's.

    def _claim(self, target: Target, payment: Payment) -> Steps[None]:
        """hsmd 143: with the preimage, or when our own offer has expired."""
        if payment.by is Side.REMOTE and not payment.known:
            return
        if not self.world.chain.unspent(target.outpoint) or target.output.value < _LEAST_SAT:
            return
        anchors = self.channel.format.anchors
        locktime = payment.cltv_expiry if payment.by is Side.LOCAL else 0
        last = payment.preimage if payment.by is Side.REMOTE else b""
        signed = None
        for attempt in range(_ATTEMPTS):
            fee = self.manner.fee_sat + 30 * attempt
            prepared = self._prepare(target, sequence=1 if anchors else 0, locktime=locktime, fee_sat=fee)

            def of_claim(reply: wire.SignTxReply, prepared: homeward.Sweep = prepared) -> bytes:
                # With anchors, Core Lightning's own hsmd signs as for HTLC transactions. Both are valid.
                kind = reply.signature.sighash
                known = {sighash.ALL, htlc_transaction.sighash_type(self.channel.format)}
                require(kind in known, f"the sighash type is {kind:#04x}")
                key = self.held.commitment.terms.keys.other_htlc
                return der(prepared.judge(reply.signature, key, kind), kind)

            point = self.channel.keys.point(self.held.number)
            question = onchaind.claim(
                self.channel, point, prepared.sent, target.witness_script, older=self.manner.older
            )
            signature = yield from ask(question.message, of_claim, context=question.context)
            signed = _signed(prepared.tx, signature, last, target.witness_script)
        if signed is not None:
            self._publish(signed)

    def _punish(self) -> Steps[None]:
        """hsmd 144 for everything on a revoked commitment, also for what the peer has moved on already."""
        key = self.held.commitment.terms.keys.revocation
        for index, item in enumerate(self.held.commitment.outputs):
            if item.kind not in (Kind.TO_LOCAL, Kind.HTLC):
                continue
            target, last = Target.of(self.held, index), b"\x01"
            if item.kind is Kind.HTLC and self.world.chain.unspent(target.outpoint):
                last = key
            elif item.kind is Kind.HTLC:
                target = self._delayed(self.held.htlc_transaction(index))
            if target.output.value < _LEAST_SAT:
                continue
            prepared = self._prepare(target, sequence=0)

            def of_penalty(reply: wire.SignTxReply, prepared: homeward.Sweep = prepared) -> bytes:
                return prepared.judge(reply.signature, key)

            secret = self.channel.keys.secret(self.held.number)
            question = onchaind.penalty(
                self.channel, secret, prepared.sent, target.witness_script, older=self.manner.older
            )
            signature = yield from ask(question.message, of_penalty, context=question.context)
            self._publish(_signed(prepared.tx, der(signature), last, target.witness_script))

    def _take_to_remote(self) -> Steps[None]:
        """hsmd 7: what the peer's commitment pays us is an ordinary coin, under a key of the channel."""
        found, anchors = self.held.output(Kind.TO_REMOTE), self.channel.format.anchors
        if found is None or found[1].output.value < _LEAST_SAT:
            return
        index, item = found
        coin = Coin(
            outpoint=Outpoint(self.held.tx.txid, index),
            output=item.output,
            previous=self.held.tx,
            key=self.channel.basepoints.payment,
            witness_script=item.witness_script,
            close=CloseInfo(self.channel.dbid, self.channel.peer.node_id, None, anchors, 1),
        )
        # With anchors the script itself demands a block between.
        coin = replace(coin, sequence=1) if anchors else coin
        if self.manner.keep:
            self.world.wallet.add(coin)
            return
        home = self.channel.home(self.world.wallet)
        left = item.output.value - self.manner.fee_sat
        tx = spending.unsigned([coin], [Output(left, home)], self.world.chain.height)
        owned = [self.world.wallet.owned(self.channel.final_index, home)]
        self._publish((yield from spending.Draft(tx, (owned,), (coin,)).sign()))

    # Parts.

    def _delayed(self, htlc: Transaction) -> Target:
        """The output of an HTLC transaction."""
        script = self.held.commitment.terms.to_local_script()
        return Target(Outpoint(htlc.txid, 0), htlc.outputs[0], script)

    def _prepare(
        self, target: Target, *, sequence: int, locktime: int = 0, fee_sat: int | None = None
    ) -> homeward.Sweep:
        return homeward.sweep(
            target,
            self.world.wallet,
            self.channel,
            sequence=sequence,
            locktime=locktime,
            fee_sat=self.manner.fee_sat if fee_sat is None else fee_sat,
        )

    def _publish(self, tx: Transaction) -> None:
        """Mine a sweep; its output is ours."""
        self.world.chain.publish(tx)
        self.world.wallet.find(tx, 0, self.channel.final_index)


def _signed(tx: Transaction, *witness: bytes) -> Transaction:
    """With a witness for the first input."""
    return replace(tx, inputs=(replace(tx.inputs[0], witness=witness), *tx.inputs[1:]))
