"""Where a sweep pays to, and what it leaves to the miner."""

from __future__ import annotations

import pytest
from helpers.one_channel import WALLET_INDEX, OneChannel, psbt_of

from signerd.core.policy import sweep as policy
from signerd.core.policy.limits import LIMITS
from signerd.core.tx import script
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.errors import Refused

NODE = OneChannel().node
KEY = NODE.wallet_pubkey(WALLET_INDEX)
LIMIT = LIMITS["bitcoin"]


def sweep_to(*scripts: bytes) -> Transaction:
    return Transaction(2, (Input(Outpoint(b"\x01" * 32, 0), 1),), tuple(Output(1000, s) for s in scripts))


def outputs_of(tx: Transaction, **named: int):
    origins = {int(number[1:]): (KEY, index) for number, index in named.items()}
    return Psbt.parse(psbt_of(tx, [Output(5000, b"\x51")], origins=origins)).outputs


@pytest.mark.parametrize("form", [script.p2wpkh, script.p2sh_p2wpkh, script.p2tr])
def test_every_form_of_a_wallet_key_is_ours(form):
    tx = sweep_to(form(KEY))
    policy.require_destination(tx, outputs_of(tx, _0=WALLET_INDEX), NODE)


def test_every_output_must_be_ours():
    ours = script.p2wpkh(KEY)
    for tx, named in (
        (sweep_to(ours, b"\x00\x14" + bytes(20)), {"_0": WALLET_INDEX, "_1": WALLET_INDEX}),
        (sweep_to(ours, ours), {"_0": WALLET_INDEX}),
        (sweep_to(ours), {"_0": WALLET_INDEX - 1}),
        (sweep_to(script.p2pkh(KEY)), {"_0": WALLET_INDEX}),
        (sweep_to(), {}),
    ):
        with pytest.raises(Refused) as caught:
            policy.require_destination(tx, outputs_of(tx, **named), NODE)
        assert caught.value.rule == "policy-sweep-destination-allowlisted"


def test_the_fee_is_at_most_that_of_the_highest_feerate():
    tx, witness_script = sweep_to(script.p2wpkh(KEY)), bytes(100)
    weight = 4 * len(tx.without_witnesses()) + 116 + 100
    most = LIMIT.max_feerate_per_kw * weight // 1000
    for fee in (0, most):
        policy.require_fee(tx, spent_sat=1000 + fee, witness_script=witness_script, limits=LIMIT)
    for fee in (-1, most + 1):
        with pytest.raises(Refused, match=f"pays a fee of {fee} sat"):
            policy.require_fee(tx, spent_sat=1000 + fee, witness_script=witness_script, limits=LIMIT)
