"""What the node's wallet pays: withdrawals and fundings (hsmd 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from signerd.core.tx import script
from signerd.core.tx.sighash import Digests
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire.onchain import SignWithdrawal, SignWithdrawalReply
from signerd.dev import judge, psbts
from signerd.dev.coins import Coin, Kind, sum_of
from signerd.dev.peer import Peer, der
from signerd.dev.steps import Steps, ask
from signerd.dev.world import World

_FEE_SAT = 300
_FEE_PER_COIN_SAT = 110
_DUST_SAT = 546
_JOINED_SAT = 50_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction before it is signed: its outputs' PSBT fields, and our coins, which are its last inputs.

    `others` are coins of somebody else, which come first and are for them to sign.
    """

    tx: Transaction
    fields: tuple[psbts.Fields, ...]
    coins: tuple[Coin, ...]
    others: tuple[tuple[Coin, Peer], ...] = ()

    @property
    def txid(self) -> bytes:
        """32 bytes, once all have signed. A key inside P2SH pushes its script (BIP 141)."""
        spent = self._spent()
        inputs = (
            replace(item, script_sig=coin.script_sig)
            for item, coin in zip(self.tx.inputs, spent, strict=True)
        )
        return replace(self.tx, inputs=tuple(inputs)).txid

    def sign(self) -> Steps[Transaction]:
        """hsmd 7: the transaction with all witnesses."""
        psbt = psbts.write(self.tx, [coin.fields for coin in self._spent()], self.fields)
        ours = dict(enumerate(self.coins, start=len(self.others)))

        def of_psbt(reply: SignWithdrawalReply) -> Transaction:
            return judge.signed_inputs(psbt, reply.psbt, ours)

        message = SignWithdrawal(tuple(coin.utxo for coin in self.coins), psbt)
        deterministic = not any(coin.is_taproot for coin in self.coins)
        signed: Transaction = yield from ask(message, of_psbt, deterministic=deterministic)
        digests, inputs = Digests(self.tx), list(signed.inputs)
        for number, (coin, owner) in enumerate(self.others):
            digest = digests.segwit_v0(number, coin.script_code, coin.output.value)
            inputs[number] = replace(inputs[number], witness=(der(owner.sign_coin(digest)), coin.key))
        return replace(signed, inputs=tuple(inputs))

    def publish(self, world: World, signed: Transaction) -> None:
        """Mine it, and own the outputs that the PSBT calls ours."""
        world.chain.publish(signed)
        for number, item in enumerate(self.fields):
            if item:
                world.wallet.find(signed, number, psbts.index_in(item[0]))

    def _spent(self) -> list[Coin]:
        return [*(coin for coin, _ in self.others), *self.coins]


def pay(
    world: World,
    payees: Sequence[Output],
    *,
    change: Kind = Kind.P2TR,
    others: Sequence[tuple[Coin, Peer]] = (),
    native: bool = False,
) -> Draft:
    """A transaction to the payees and back to us. What `others` bring is part of what the payees get.

    `native`: with none of our coins that is hidden in P2SH. Raises UsageError if we have too little.
    """
    wallet, brought = world.wallet, sum_of(coin for coin, _ in others)
    wanted = sum(output.value for output in payees) - brought
    coins = wallet.take(wanted + _FEE_SAT + 10 * _FEE_PER_COIN_SAT, native=native)
    rest = sum_of(coins) - wanted - _FEE_SAT - _FEE_PER_COIN_SAT * len(coins)
    outputs, fields = list(payees), [psbts.NO_FIELDS for _ in payees]
    if rest >= _DUST_SAT:
        index = wallet.fresh()
        outputs.append(Output(rest, wallet.script(index, change)))
        fields.append([wallet.owned(index, outputs[-1].script)])
    spent = [*(coin for coin, _ in others), *coins]
    tx = unsigned(spent, outputs, world.chain.height)
    return Draft(tx, tuple(fields), tuple(coins), tuple(others))


def unsigned(coins: Sequence[Coin], outputs: Sequence[Output], locktime: int) -> Transaction:
    """A transaction that spends coins."""
    inputs = tuple(Input(coin.outpoint, coin.sequence) for coin in coins)
    return Transaction(2, inputs, tuple(outputs), locktime)


def coin_of(world: World, owner: Peer, value_sat: int) -> Coin:
    """A coin of somebody else."""
    output = Output(value_sat, script.p2wpkh(owner.coin_key))
    tx = world.chain.coin(output)
    return Coin(outpoint=Outpoint(tx.txid, 0), output=output, previous=tx, key=owner.coin_key)


def withdraw(world: World, payees: Sequence[Output], *, change: Kind = Kind.P2TR) -> Steps[Transaction]:
    """Pay somebody on the chain; what is left comes back to us."""
    draft = pay(world, payees, change=change)
    signed = yield from draft.sign()
    draft.publish(world, signed)
    return signed


def join(world: World, payees: Sequence[Output], stranger: Peer) -> Steps[Transaction]:
    """As `withdraw`, together with somebody who pays 50,000 sat to themselves, and signs their part."""
    coin = coin_of(world, stranger, _JOINED_SAT)
    draft = pay(world, [*payees, coin.output], others=[(coin, stranger)])
    signed = yield from draft.sign()
    draft.publish(world, signed)
    return signed
