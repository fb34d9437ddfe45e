"""Per-commitment secrets, the 49 slots of revealed ones, and tweaked keys: BOLT 3's appendices D and E."""

from __future__ import annotations

import random

import pytest
from helpers import bolt3
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import commitment, secp256k1
from signerd.core.keys.commitment import FIRST_INDEX, RevokedSecrets
from signerd.errors import MalformedMessage, Refused

VECTORS = bolt3.load("keys")
SEED = bytes(range(32))
secrets = st.integers(1, secp256k1.ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


def revealed(count: int) -> RevokedSecrets:
    kept = RevokedSecrets()
    for number in range(count):
        index = commitment.index_of(number)
        kept = kept.insert(index, commitment.secret_at(SEED, index))
    return kept


@pytest.mark.parametrize("case", VECTORS["generation"], ids=lambda case: case["name"])
def test_generates_the_secrets_of_bolt_3(case):
    assert commitment.secret_at(bytes.fromhex(case["seed"]), case["index"]).hex() == case["secret"]


@pytest.mark.parametrize("case", VECTORS["storage"], ids=lambda case: case["name"])
def test_keeps_and_refuses_the_secrets_of_bolt_3(case):
    kept = RevokedSecrets()
    for step in case["steps"]:
        secret = bytes.fromhex(step["secret"])
        if step["ok"]:
            kept = kept.insert(step["index"], secret)
            assert kept.secret_for(step["index"]) == secret
        else:
            with pytest.raises(Refused, match="does not yield") as refusal:
                kept.insert(step["index"], secret)
            assert refusal.value.rule == "policy-commitment-previous-revoked"
            assert kept.secret_for(step["index"]) is None


def test_tweaks_keys_as_bolt_3_does():
    case = {name: bytes.fromhex(value) for name, value in VECTORS["derivation"].items()}
    base, point = case["basepoint"], case["per_commitment_point"]
    assert commitment.derive_point(base, point) == case["point"]
    assert commitment.derive_secret(case["base_secret"], point) == case["secret"]
    assert commitment.revocation_point(base, point) == case["revocation_point"]
    derived = commitment.revocation_secret(case["base_secret"], case["per_commitment_secret"])
    assert derived == case["revocation_secret"]


@given(base=secrets, other=secrets)
def test_private_and_public_tweaks_lead_to_the_same_key(base, other):
    basepoint, point = secp256k1.public_key(base), secp256k1.public_key(other)
    simple = commitment.derive_secret(base, point)
    assert secp256k1.public_key(simple) == commitment.derive_point(basepoint, point)
    revocation = commitment.revocation_secret(base, other)
    assert secp256k1.public_key(revocation) == commitment.revocation_point(basepoint, point)


def test_derives_every_secret_that_was_revealed_and_no_other():
    count = 300
    kept = revealed(count)
    for number in range(count):
        index = commitment.index_of(number)
        assert kept.secret_for(index) == commitment.secret_at(SEED, index)
    assert kept.secret_for(commitment.index_of(count)) is None
    assert kept.lowest_index == commitment.index_of(count - 1)
    assert len(kept.slots) == 9


@given(count=st.integers(1, 200), other=st.integers(0, 2**256 - 1))
def test_refuses_a_secret_that_does_not_yield_the_earlier_ones(count, other):
    kept, index = revealed(count), commitment.index_of(count)
    secret = other.to_bytes(32, "big")
    if count % 2:  # its index is even, so it covers the one before
        with pytest.raises(Refused):
            kept.insert(index, secret)
    else:
        assert kept.insert(index, secret).secret_for(index) == secret


def test_takes_a_repeated_secret_and_refuses_another_one_for_the_same_commitment():
    kept = revealed(10)
    for number in (0, 5, 9):
        index = commitment.index_of(number)
        assert kept.insert(index, commitment.secret_at(SEED, index)) is kept
        with pytest.raises(Refused, match="already revealed"):
            kept.insert(index, bytes(32))


@pytest.mark.parametrize("number", [1, 2, 11, 2**48 - 1])
def test_refuses_a_secret_out_of_turn(number):
    kept = revealed(10 if number == 11 else 0)
    index = commitment.index_of(number)
    with pytest.raises(Refused, match="missing"):
        kept.insert(index, commitment.secret_at(SEED, index))


def test_needs_all_49_slots_at_the_end_of_a_channel():
    """Placed by hand: nobody waits for 2^48 commitments."""
    slots = tuple((1 << slot, commitment.secret_at(SEED, 1 << slot)) for slot in range(48))
    kept = RevokedSecrets(slots).insert(0, commitment.secret_at(SEED, 0))
    assert len(kept.slots) == commitment.SECRET_SLOTS
    chosen = random.Random(1)
    for index in [0, 1, FIRST_INDEX, *(chosen.randrange(FIRST_INDEX) for _ in range(20))]:
        assert kept.secret_for(index) == commitment.secret_at(SEED, index)


@pytest.mark.parametrize("number", [-1, 2**48, 2**64 - 1])
def test_refuses_a_commitment_number_that_no_channel_reaches(number):
    with pytest.raises(MalformedMessage, match="2\\^48"):
        commitment.index_of(number)


def test_does_not_show_what_was_revealed():
    kept = revealed(3)
    assert commitment.secret_at(SEED, FIRST_INDEX).hex() not in repr(kept)
    assert repr(kept) == "RevokedSecrets()"
