"""An imaginary chain: which outputs there are, which transactions spent them, and how high it stands.

It checks amounts and time locks. Signatures are judged where they come back; tests execute all scripts.
"""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.errors import UsageError

START = 150
"""The first height: coinbase outputs are ripe there."""

_FIRST_TIME = 500_000_000
_NO_RELATIVE_LOCK = 0x8000_0000


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A transaction, what its inputs spent, and the height at which it stands."""

    tx: Transaction
    spent: tuple[Output, ...]
    height: int


class Chain:
    """Every transaction is confirmed as soon as it may be: blocks come as its locks need them."""

    def __init__(self) -> None:
        self.height = START
        self.confirmed: list[Confirmed] = []
        self._unspent: dict[Outpoint, tuple[Output, int]] = {}
        self._made_up = 0

    def coin(self, output: Output) -> Transaction:
        """A transaction from elsewhere whose only output this is."""
        self._made_up += 1
        elsewhere = Outpoint(self._made_up.to_bytes(32, "big"), 0)
        tx = Transaction(2, (Input(elsewhere),), (output,))
        self._unspent[Outpoint(tx.txid, 0)] = output, self.height
        return tx

    def publish(self, tx: Transaction) -> None:
        """Mine a transaction, and first the blocks that it waits for.

        Raises UsageError for a double spend, and for more than it spends.
        """
        spent = []
        for item in tx.inputs:
            if item.outpoint not in self._unspent:
                raise UsageError(f"{item.outpoint} does not exist, or is spent")
            output, height = self._unspent.pop(item.outpoint)
            spent.append(output)
            if not item.sequence & _NO_RELATIVE_LOCK:
                self.height = max(self.height, height + item.sequence)
        if tx.locktime < _FIRST_TIME and any(item.sequence != 0xFFFF_FFFF for item in tx.inputs):
            self.height = max(self.height, tx.locktime)
        if sum(output.value for output in spent) < sum(output.value for output in tx.outputs):
            raise UsageError("the transaction pays more than it spends")
        self.height += 1
        self.confirmed.append(Confirmed(tx, tuple(spent), self.height))
        for index, output in enumerate(tx.outputs):
            self._unspent[Outpoint(tx.txid, index)] = output, self.height

    def unspent(self, outpoint: Outpoint) -> bool:
        """Whether an output is there to be spent."""
        return outpoint in self._unspent
