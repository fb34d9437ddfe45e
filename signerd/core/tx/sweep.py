"""What brings one output of a closed channel home: delayed, claimed, taken as a penalty; and our anchor.

A sweep's outputs are for policy to judge. All else about it follows from the script that it spends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signerd.core.tx import script, script_reading
from signerd.core.tx.commitment import CommitmentKeys
from signerd.core.tx.fees import ANCHOR_SAT
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.errors import Refused

VERSION = 2

_UNLOCKED = (0, 0xFFFF_FFFD, 0xFFFF_FFFF)
"""Sequences that lock nothing, and that Core Lightning has used."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the only input of a sweep looks like. `sequences` are those allowed, the usual one first."""

    sequences: tuple[int, ...]
    locktime: int = 0


def of_delayed(witness_script: bytes, keys: CommitmentKeys, to_self_delay: int) -> Sweep:
    """Our own delayed output, of our commitment or of an HTLC transaction on it (hsmd types 12, 142).

    `keys` are those of our commitment. Raises Refused for any other script.
    """
    expected = script.to_local(
        revocation_key=keys.revocation, delayed_key=keys.delayed, to_self_delay=to_self_delay
    )
    if witness_script != expected:
        raise Refused("policy-commitment-scripts", "the script is not that of our delayed output")
    return Sweep((to_self_delay,))


def of_counterparty_htlc(witness_script: bytes, keys: CommitmentKeys, *, anchors: bool) -> Sweep:
    """An HTLC of the peer's commitment: offered to us, or timed out (hsmd types 13, 143).

    `keys` are those of the peer's commitment. Raises Refused for any other script.
    """
    found = script_reading.read_htlc(witness_script)
    if found is None or not _is_htlc_of(found, keys) or found.anchors is not anchors:
        raise Refused("policy-sweep-other", "the script is not that of an HTLC of the peer's commitment")
    # What the peer offered we claim with the preimage, at once; what we offered comes back when it expires.
    return Sweep((1,) if anchors else _UNLOCKED, locktime=found.cltv_expiry or 0)


def of_penalty(witness_script: bytes, keys: CommitmentKeys) -> Sweep:
    """Any output of a commitment that the peer revoked, or of an HTLC transaction on it (hsmd types 14, 144).

    `keys` are those of the peer's commitment. Raises Refused for any other script.
    """
    delayed = script_reading.read_to_local(witness_script)
    if delayed is not None:
        matches = (delayed.revocation_key, delayed.delayed_key) == (keys.revocation, keys.delayed)
    else:
        found = script_reading.read_htlc(witness_script)
        matches = found is not None and _is_htlc_of(found, keys)
    if not matches:
        raise Refused("policy-sweep-other", "the script is not one that this revocation opens")
    return Sweep(_UNLOCKED)


def compose(sweep: Sweep, spent: Outpoint, outputs: Sequence[Output]) -> Transaction:
    """Unsigned, with the usual sequence."""
    return Transaction(VERSION, (Input(spent, sweep.sequences[0]),), tuple(outputs), sweep.locktime)


def require(sweep: Sweep, tx: Transaction) -> None:
    """Raises Refused, with the rule, unless the transaction is such a sweep, whatever its outputs."""
    if tx.version != VERSION:
        raise Refused("policy-sweep-version", f"the sweep has version {tx.version}, expected {VERSION}")
    if len(tx.inputs) != 1:
        raise Refused("policy-sweep-other", f"the sweep has {len(tx.inputs)} inputs, expected one")
    if tx.inputs[0].sequence not in sweep.sequences:
        raise Refused(
            "policy-sweep-sequence",
            f"the sweep has sequence {tx.inputs[0].sequence:#x}, expected {sweep.sequences[0]:#x}",
        )
    if tx.locktime != sweep.locktime:
        raise Refused(
            "policy-sweep-locktime", f"the sweep has locktime {tx.locktime}, expected {sweep.locktime}"
        )


def anchor_input(spent: Sequence[Output | None], funding_key: bytes) -> int | None:
    """Which of the spent outputs is our anchor (hsmd type 147), None if none is."""
    ours = Output(ANCHOR_SAT, script.p2wsh(script.anchor(funding_key)))
    return next((index for index, output in enumerate(spent) if output == ours), None)


def _is_htlc_of(found: script.HtlcScript, keys: CommitmentKeys) -> bool:
    return (found.revocation_hash, found.own_htlc_key, found.other_htlc_key) == (
        script.hash160_of(keys.revocation),
        keys.own_htlc,
        keys.other_htlc,
    )
