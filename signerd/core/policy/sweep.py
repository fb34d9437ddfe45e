"""Where a sweep may pay to: our wallet, all of it, but for a fee."""

from __future__ import annotations

from collections.abc import Sequence

from signerd.core.keys.node import NodeKeys
from signerd.core.policy import ownership
from signerd.core.policy.limits import Limits
from signerd.core.tx.psbt import PsbtOutput
from signerd.core.tx.transaction import Transaction
from signerd.errors import Refused

MOST_OUTPUTS = 2
"""Core Lightning sweeps to one."""
_WITNESS_WEIGHT = 2 + 1 + 73 + 33 + 3 + 4
"""Marker and flag, count of items, a signature, a preimage or key, the lengths; all but the script."""


def require_destination(tx: Transaction, stated: Sequence[PsbtOutput], wallet: NodeKeys) -> None:
    """Raises Refused unless every output pays to the wallet key that the PSBT names for it."""
    if len(stated) != len(tx.outputs):
        raise Refused("psbt-transaction", f"the PSBT has {len(stated)} outputs, the sweep {len(tx.outputs)}")
    if not tx.outputs:
        raise Refused("policy-sweep-destination-allowlisted", "the sweep pays to nobody")
    if len(tx.outputs) > MOST_OUTPUTS:
        # The fee may grow with the weight, and outputs of nothing weigh.
        raise Refused("policy-sweep-other", f"the sweep has {len(tx.outputs)} outputs, over {MOST_OUTPUTS}")
    for number, (output, item) in enumerate(zip(tx.outputs, stated, strict=True)):
        index = ownership.named_index(item)
        if index is None or not ownership.is_wallet_script(wallet, output.script, index):
            raise Refused(
                "policy-sweep-destination-allowlisted",
                f"output {number} of the sweep is not to a wallet key that the PSBT names",
            )


def require_fee(tx: Transaction, *, spent_sat: int, witness_script: bytes, limits: Limits) -> None:
    """Raises Refused if the sweep leaves more to the miner than the highest feerate asks for."""
    fee = spent_sat - sum(output.value for output in tx.outputs)
    weight = 4 * len(tx.without_witnesses()) + _WITNESS_WEIGHT + len(witness_script)
    most = limits.max_feerate_per_kw * weight // 1000
    if not 0 <= fee <= most:
        raise Refused("sweep-fee-range", f"the sweep pays a fee of {fee} sat, at most {most} sat")
