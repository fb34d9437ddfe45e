"""A transaction that brings one output of a closed channel to the wallet, as lightningd sends it."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.tx.sighash import ALL
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire.composites import BitcoinSignature, BitcoinTx
from signerd.dev import judge, psbts
from signerd.dev.channel import Channel, Held
from signerd.dev.coins import Wallet

FEE_SAT = 497
"""What Core Lightning leaves the miner of a penalty at its lowest feerate."""


@dataclass(frozen=True, slots=True)
class Target:
    """A P2WSH output and its witness script."""

    outpoint: Outpoint
    output: Output
    witness_script: bytes

    @classmethod
    def of(cls, held: Held, index: int) -> Target:
        """An output of a commitment that has a witness script."""
        item = held.commitment.outputs[index]
        assert item.witness_script is not None
        return cls(Outpoint(held.tx.txid, index), item.output, item.witness_script)


@dataclass(frozen=True, slots=True)
class Sweep:
    """`tx` is unsigned; `sent` is the same as it goes to the signer."""

    target: Target
    tx: Transaction
    sent: BitcoinTx

    def judge(self, found: BitcoinSignature, key: bytes, sighash: int = ALL) -> bytes:
        """64 bytes r || s. Raises WrongAnswer."""
        return judge.signature(
            found,
            self.tx,
            self.target.witness_script,
            self.target.output.value,
            key=key,
            sighash=sighash,
        )


def sweep(
    target: Target,
    wallet: Wallet,
    channel: Channel,
    *,
    sequence: int,
    locktime: int = 0,
    fee_sat: int = FEE_SAT,
) -> Sweep:
    """To where everything of this channel comes home; the PSBT says that it is ours."""
    destination = channel.home(wallet)
    output = Output(target.output.value - fee_sat, destination)
    tx = Transaction(2, (Input(target.outpoint, sequence),), (output,), locktime)
    fields = [psbts.spends(target.output), psbts.opened_by(target.witness_script)]
    return Sweep(
        target, tx, psbts.with_psbt(tx, [fields], [[wallet.owned(channel.final_index, destination)]])
    )
