"""Compose a mutual close: the channel's value to one output or two, without delay (BOLT 3)."""

from __future__ import annotations

from dataclasses import dataclass

from signerd.core.tx.transaction import FINAL_SEQUENCE, Input, Outpoint, Output, Transaction

VERSION = 2

_WITNESS_WEIGHT = 2 + 1 + 4 + 72 + 72 + 1 + 1 + 33 + 1 + 33 + 1 + 1
"""Marker and flag, count of items, their lengths, an empty item, two signatures, the 2-of-2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Values in satoshi after fees, 0 for an output that does not exist; output scripts."""

    funding: Outpoint
    holder_sat: int
    holder_script: bytes
    counterparty_sat: int
    counterparty_script: bytes


def compose(terms: Terms) -> Transaction:
    """The one transaction that follows from the terms, unsigned (BOLT 2 closing_signed)."""
    outputs = [
        Output(value, script)
        for value, script in (
            (terms.holder_sat, terms.holder_script),
            (terms.counterparty_sat, terms.counterparty_script),
        )
        if value
    ]
    return Transaction(
        version=VERSION,
        inputs=(Input(terms.funding, sequence=FINAL_SEQUENCE),),
        outputs=tuple(sorted(outputs, key=lambda output: (output.value, output.script))),
        locktime=0,
    )


def readings(tx: Transaction, funding: Outpoint) -> tuple[Terms, ...]:
    """Every way to give the outputs of a transaction to the two sides; none if there are more than two.

    Composing a reading shows whether the transaction is a mutual close of this channel at all.
    """
    outputs = [(output.value, output.script) for output in tx.outputs]
    if len(outputs) > 2:
        return ()
    outputs += [(0, b"")] * (2 - len(outputs))
    return tuple(
        Terms(
            funding=funding,
            holder_sat=ours[0],
            holder_script=ours[1],
            counterparty_sat=theirs[0],
            counterparty_script=theirs[1],
        )
        for ours, theirs in (outputs, outputs[::-1])
    )


def signed_weight(tx: Transaction) -> int:
    """The weight that an unsigned mutual close will have at most once both have signed."""
    return 4 * len(tx.without_witnesses()) + _WITNESS_WEIGHT
