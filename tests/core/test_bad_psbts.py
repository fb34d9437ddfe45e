"""PSBTs with missing, foreign and lying fields: each spoils a good request, which is refused by name.

A `Good` sees for itself that a refusal leaves the state as it was (tests/fuzz/witness.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers import good_requests
from helpers.spend import ANCHOR, COMPOSED, MINGLE, SPLICE, SWEEPS, WITHDRAWAL, Spend, spends

from signerd.core.requests import Signed
from signerd.core.tx import psbt_fields as names
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.psbt_map import Map
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction

FOREIGN = Input(Outpoint(b"\x55" * 32, 0))


@pytest.fixture(scope="module")
def good():
    return good_requests.by_type()


def lying(kind: int, value: bytes) -> Callable[[Map], Map]:
    return lambda item: item.put(kind, value)


OTHER = Output(5, b"\x51").serialize()


def previous(spend: Spend) -> Transaction:
    """One that has the output that is spent, in its place, and is another transaction all the same."""
    index = spend.tx.inputs[0].outpoint.index
    spent = Psbt.parse(spend.psbt).inputs[0].spent
    assert spent is not None
    return Transaction(2, (FOREIGN,), (spent,) * (index + 1))


MALFORMED_PSBTS: dict[str, Callable[[Spend], Spend]] = {
    "an output's map too many": lambda spend: replace(spend, maps=(*spend.maps, Map())),
    "an output's map too few": lambda spend: replace(spend, maps=spend.maps[:-1]),
    "no transaction": lambda spend: spend.with_map(0, lambda item: item.without(names.GLOBAL_TX)),
    "a key twice": lambda spend: spend.with_map(1, lambda item: Map((*item.pairs, item.pairs[0]))),
    "a previous transaction with another id": lambda spend: spend.with_map(
        1, lying(names.IN_NON_WITNESS_UTXO, previous(spend).serialize())
    ),
    "a previous transaction that is none": lambda spend: spend.with_map(
        1, lying(names.IN_NON_WITNESS_UTXO, b"\x01\x02")
    ),
    "a sighash type of three bytes": lambda spend: spend.with_map(
        1, lying(names.IN_SIGHASH, b"\x01\x00\x00")
    ),
}


@pytest.mark.parametrize("what", MALFORMED_PSBTS)
def test_refuses_a_psbt_with(good, what):
    for spend in spends(good):
        if what != "a key twice" or spend.maps[1].pairs:
            refusal = MALFORMED_PSBTS[what](spend).refusal()
            assert refusal.malformed, spend.request.name
            assert any(word in refusal.reason for word in ("PSBT", "transaction"))


@pytest.mark.parametrize("sighash", [2, 3, 0x81, 0x82, 0x42, 2**32 - 1])
def test_refuses_a_psbt_that_asks_for_another_sighash_type(good, sighash):
    for spend in spends(good):
        lie = spend.with_map(spend.ours, lying(names.IN_SIGHASH, sighash.to_bytes(4, "little")))
        assert lie.refusal().rule in ("psbt-sighash", "onchain-sighash")


def test_refuses_a_psbt_that_lies_about_what_is_spent(good):
    for spend in spends(good):
        lie = spend.with_map(spend.ours, lambda item: item.without(names.IN_NON_WITNESS_UTXO).put(1, OTHER))
        assert lie.refusal().rule in ("psbt-spent-output", "onchain-script", "onchain-input-not-ours")


def test_refuses_an_input_more_in_all_but_a_splice(good):
    for spend in spends(good):
        if spend.request.message.TYPE == SPLICE:
            continue
        inputs = len(spend.tx.inputs)
        longer = spend.with_tx(replace(spend.tx, inputs=(*spend.tx.inputs, FOREIGN)))
        maps = (*longer.maps[: 1 + inputs], Map(), *longer.maps[1 + inputs :])
        assert replace(longer, maps=maps).refusal().rule in {
            "policy-commitment",
            "policy-htlc-other",
            "policy-sweep-other",
            "policy-onchain-format-standard",
            "onchain-utxo-missing",
        }


def test_refuses_a_psbt_of_another_transaction(good):
    for spend in spends(good):
        if not hasattr(spend.request.message, "tx"):
            continue
        changed = replace(spend.tx, locktime=spend.tx.locktime ^ 1)
        if spend.request.message.TYPE in SWEEPS:
            # Old nodes put another transaction there, but never one that spends something else.
            changed = replace(spend.tx, inputs=(replace(spend.tx.inputs[0], outpoint=FOREIGN.outpoint),))
        other = spend.with_tx(changed)
        for lie in (replace(other, tx=spend.tx), replace(other, maps=spend.maps)):
            assert lie.refusal().rule == "psbt-transaction"


def test_what_a_psbt_need_not_say_may_be_missing_and_changes_no_signature(good):
    for number in (*COMPOSED, 21):
        spend = Spend.of(good[number])
        bare = spend.with_map(spend.ours, lambda item: Map())
        answer = spend.request.witness.copy().ask(bare.asked())
        assert isinstance(answer, Signed)
        assert answer == spend.request.witness.copy().ask(spend.request.request)


def test_refuses_a_psbt_that_does_not_say_what_is_spent_where_only_it_can(good):
    for number in (*SWEEPS, WITHDRAWAL, ANCHOR, MINGLE, SPLICE):
        spend = Spend.of(good[number])
        bare = spend.with_map(spend.ours, lambda item: Map())
        assert bare.refusal().rule in ("psbt-spent-output", "onchain-utxo-missing")
