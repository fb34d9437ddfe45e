"""What the node's wallet pays: withdrawals and fundings (hsmd 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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


def pay(
    world: World, payees: Sequence[Output], *, change: Kind = Kind.P2TR
) -> tuple[list[Coin], Transaction, list[psbts.Fields]]:
    """Coins, the unsigned transaction to the payees and back to us, and its outputs' PSBT fields."""
    wallet = world.wallet
    wanted = sum(output.value for output in payees)
    coins = wallet.take(wanted + _FEE_SAT + 10 * _FEE_PER_COIN_SAT)
    rest = sum_of(coins) - wanted - _FEE_SAT - _FEE_PER_COIN_SAT * len(coins)
    outputs, fields = list(payees), [psbts.NO_FIELDS for _ in payees]
    if rest >= _DUST_SAT:
        index = wallet.fresh()
        outputs.append(Output(rest, wallet.script(index, change)))
        fields.append([wallet.owned(index, outputs[-1].script)])
    return coins, unsigned(coins, outputs, world.chain.height), fields


def unsigned(coins: Sequence[Coin], outputs: Sequence[Output], locktime: int) -> Transaction:
    """A transaction that spends coins."""
    inputs = tuple(Input(coin.outpoint, coin.sequence) for coin in coins)
    return Transaction(2, inputs, tuple(outputs), locktime)


def final_txid(coins: Sequence[Coin], tx: Transaction) -> bytes:
    """32 bytes: what the id will be once all have signed. A key inside P2SH pushes its script (BIP 141)."""
    inputs = tuple(
        replace(item, script_sig=coin.script_sig) for coin, item in zip(coins, tx.inputs, strict=True)
    )
    return replace(tx, inputs=inputs).txid


def sign(coins: Sequence[Coin], tx: Transaction, outputs: Sequence[psbts.Fields]) -> Steps[Transaction]:
    """hsmd 7: the transaction with all witnesses."""
    psbt = psbts.write(tx, [coin.fields for coin in coins], outputs)

    def of_psbt(reply: SignWithdrawalReply) -> Transaction:
        return judge.signed_inputs(psbt, reply.psbt, dict(enumerate(coins)))

    message = SignWithdrawal(tuple(coin.utxo for coin in coins), psbt)
    deterministic = not any(coin.is_taproot for coin in coins)
    signed: Transaction = yield from ask(message, of_psbt, deterministic=deterministic)
    return signed


def withdraw(world: World, payees: Sequence[Output], *, change: Kind = Kind.P2TR) -> Steps[Transaction]:
    """Pay somebody on the chain; what is left comes back to us."""
    coins, tx, fields = pay(world, payees, change=change)
    signed = yield from sign(coins, tx, fields)
    world.chain.publish(signed)
    recover_change(world, signed, fields)
    return signed


def join(world: World, payees: Sequence[Output], stranger: Peer) -> Steps[Transaction]:
    """As `withdraw`, together with somebody who pays 50,000 sat to themselves, and signs their part."""
    theirs = Output(_JOINED_SAT, script.p2wpkh(stranger.coin_key))
    tx = world.chain.coin(theirs)
    coin = Coin(outpoint=Outpoint(tx.txid, 0), output=theirs, previous=tx, key=stranger.coin_key)
    coins, tx, fields = pay(world, payees)
    inputs = (Input(coin.outpoint, coin.sequence), *tx.inputs)
    tx = Transaction(tx.version, inputs, (*tx.outputs, theirs), tx.locktime)
    psbt = psbts.write(tx, [item.fields for item in (coin, *coins)], [*fields, psbts.NO_FIELDS])

    def of_psbt(reply: SignWithdrawalReply) -> Transaction:
        return judge.signed_inputs(psbt, reply.psbt, dict(enumerate(coins, start=1)))

    message = SignWithdrawal(tuple(item.utxo for item in coins), psbt)
    deterministic = not any(item.is_taproot for item in coins)
    ours: Transaction = yield from ask(message, of_psbt, deterministic=deterministic)
    digest = Digests(tx).segwit_v0(0, coin.script_code, coin.output.value)
    first = replace(tx.inputs[0], witness=(der(stranger.sign_coin(digest)), coin.key))
    signed = replace(ours, inputs=(first, *ours.inputs[1:]))
    world.chain.publish(signed)
    recover_change(world, signed, fields)
    return signed


def recover_change(world: World, tx: Transaction, fields: Sequence[psbts.Fields]) -> None:
    """Own the outputs that the PSBT calls ours."""
    for number, item in enumerate(fields):
        if item:
            world.wallet.find(tx, number, psbts.index_in(item[0]))
