"""Every key of a node's identity, against what the reference signer answers."""

from __future__ import annotations

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys.node import NodeKeys
from signerd.errors import MalformedMessage, SecretError
from signerd.units import Secret

# Computed from the definition of the derivation, by an independent implementation.
STATE_KEYS = {
    "00" * 32: "027d2ebcb31b9e07d591ba2be23de540869568a3e387c9b97f834ed79e64480016",
    "01" * 32: "036d051843d498c74bdf2d7ab3a3268326e099bdda002bcc1f99851128fdb7d489",
    bytes(range(32)).hex(): "026039ff58cff0b572c484e40211f9a3e16db5bc46880fe7900a7b5b8a1f0faf0c",
}
RUNE_SECRETS = {
    "00" * 32: "42bcdfba3bc96ab8f55f3af2b841beda44c6c9dffc859b7c959e10393b174e80",
    "01" * 32: "562b92c8f4c551be5d5e85fe68bab4cdd9173a328364c7ff5c368e825df43c94",
    bytes(range(32)).hex(): "a54ac8d9c777b80359f6d33b58c3d030246866175c01f31c26660bc080d81a66",
}


def keys_of(seed: str) -> NodeKeys:
    return NodeKeys.derive(Secret(bytes.fromhex(seed)))


@pytest.mark.parametrize("case", vectors.load("challenge")["cases"], ids=lambda c: c["challenge"][:8])
def test_signs_a_challenge_as_the_reference_signer_does(case):
    assert keys_of(case["seed"]).sign_challenge(bytes.fromhex(case["challenge"])).hex() == case["signature"]


@pytest.mark.parametrize("case", vectors.load("challenge")["wrong_length"], ids=lambda c: str(c["length"]))
def test_refuses_a_challenge_that_is_not_32_bytes(case):
    with pytest.raises(ValueError, match="32 bytes"):
        keys_of("00" * 32).sign_challenge(bytes(case["length"]))


@pytest.mark.parametrize(("seed", "expected"), STATE_KEYS.items())
def test_derives_the_state_signing_key(seed, expected):
    from signerd.core.keys import secp256k1

    assert secp256k1.public_key(keys_of(seed).state_secret.expose()).hex() == expected


@pytest.mark.parametrize(("seed", "expected"), RUNE_SECRETS.items())
def test_derives_the_rune_secret(seed, expected):
    assert keys_of(seed).rune_secret.expose().hex() == expected


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64, 73])
def test_refuses_a_secret_that_is_not_32_bytes(size):
    """The reference takes the first 32 bytes of whatever it is given, or dies."""
    with pytest.raises(SecretError, match=f"has {size}"):
        NodeKeys.derive(Secret(bytes(size)))


def test_shows_no_secret_in_its_repr():
    keys = keys_of("01" * 32)
    assert repr(keys) == f"NodeKeys(node_id={keys.node_id.hex()})"
    assert keys.rune_secret.expose().hex() not in f"{keys!r} {keys.rune_secret!r} {keys._account!r}"


@pytest.mark.parametrize("point", [b"", bytes(33), b"\x02" + b"\xff" * 32, b"\x04" + bytes(32), bytes(65)])
def test_refuses_ecdh_with_what_is_no_point(point):
    with pytest.raises(MalformedMessage):
        keys_of("01" * 32).ecdh(point)


@given(ours=st.binary(min_size=32, max_size=32), theirs=st.binary(min_size=32, max_size=32))
def test_both_sides_of_an_ecdh_agree(ours, theirs):
    one, other = NodeKeys(Secret(ours)), NodeKeys(Secret(theirs))
    assert one.ecdh(other.node_id) == other.ecdh(one.node_id)
