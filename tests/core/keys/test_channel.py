"""The keys of one channel: a channel written out by hand, and each way of signing."""

from __future__ import annotations

import pytest

from signerd.core.keys import commitment, secp256k1
from signerd.core.keys.channel import ChannelKeys
from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.errors import MalformedMessage
from signerd.units import Secret

PEER = bytes.fromhex("02989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f")
# Node secret 32 x 0x01, dbid 1: computed by an independent implementation, and told by the reference signer.
BASEPOINTS = {
    "funding": "022cf9003b6b4d0dc9d0e736f2d81f04e8c2a6f654ac2387cf9fe5a6dae09e2a64",
    "revocation": "03a1c76cc0f66e40e72123dadd1980c1d9d3dae4d741349e4e76b0896c254d8480",
    "htlc": "02d2119957e9905636257544030a48a672182373e1c8e747e29cc873d5ee282fb3",
    "payment": "0323dc4e54eff5fe2a4e3f999c3adc039740fe1c4259ad283bec45d77e776e2730",
    "delayed": "02e100a02a861dd87ada0c8f087f4d172ba7e7288c851de79bc864dfcecd7db067",
}
SECRETS = {
    0: "4212a5f788f26e036fdce7134789c3a5cdc1914a3d6f42beb6840e4f067645ad",
    1: "a698a1be635c85efa07d38e795f9a6fb63fb646c8a63b46d0bf55bedaf47b8c1",
    2: "726a1a73456807d7cf95d1ac1f9d944e604e485125c7242b922a7aa590440eb2",
    1000000: "c3a8fea64c23509de7d35ae728390fed70bbc18eac6c474915d3934e5a2c2bbc",
}
POINTS = {
    0: "020c209b77a7408ede3f6f88486aeafe57b5ac03be7bdbab6ea25ef43ab88e528a",
    1: "02461379556cfa45be2a1863d6ac726a2c0eeb17e5abd78bc558bfcd230e88d8e7",
    2: "03473f09a96f7a1e31c49e1b26e7a6423276a98d8eda943237a321d09cd3b49dca",
    1000000: "03b0ec4d5f457f43053958994445cac191d2194d246b5e28a7a4093d6a3c64e392",
}
DIGEST = bytes(range(32))
THEIR_SECRET = b"\x21" * 32
THEIR_POINT = secp256k1.public_key(THEIR_SECRET)


@pytest.fixture
def keys() -> ChannelKeys:
    return NodeKeys.derive(Secret(b"\x01" * 32)).channel(PEER, 1)


@pytest.mark.parametrize("name", BASEPOINTS)
def test_derives_the_basepoints(keys, name):
    assert getattr(keys.basepoints, name).hex() == BASEPOINTS[name]


@pytest.mark.parametrize("number", SECRETS)
def test_derives_per_commitment_secrets_and_points(keys, number):
    assert keys.release_secret(number).hex() == SECRETS[number]
    assert keys.per_commitment_point(number).hex() == POINTS[number]


def test_tells_the_same_points_however_often_and_in_whatever_order_they_are_asked_for(keys):
    numbers = [*range(30), 3, 3, 1000000, *range(29, -1, -1), 2, 1, 0]
    points = [keys.per_commitment_point(number) for number in numbers]
    assert points == [commitment.point_of(keys.release_secret(number)) for number in numbers]
    assert [points[0].hex(), points[32].hex()] == [POINTS[0], POINTS[1000000]]


@pytest.mark.parametrize("number", SECRETS)
def test_knows_its_own_secrets(keys, number):
    secret = bytes.fromhex(SECRETS[number])
    assert keys.is_secret(number, secret)
    assert not keys.is_secret(number + 1, secret)
    assert not keys.is_secret(number, secret[:-1])
    assert not keys.is_secret(number, bytes(32))


@pytest.mark.parametrize(("peer", "dbid"), [(PEER, 2), (PEER, 256), (PEER[:1] + bytes(32), 1)])
def test_another_channel_has_other_keys(keys, peer, dbid):
    other = NodeKeys.derive(Secret(b"\x01" * 32)).channel(peer, dbid)
    assert other.basepoints != keys.basepoints
    assert other.per_commitment_point(0) != keys.per_commitment_point(0)


@pytest.mark.parametrize("nonce", Nonce)
def test_signs_with_the_key_that_belongs_to_each_output(keys, nonce):
    ours, tweak = keys.basepoints, commitment.derive_point
    point = keys.per_commitment_point(7)
    signed = {
        ours.funding: keys.sign_funding(DIGEST, nonce),
        tweak(ours.htlc, THEIR_POINT): keys.sign_htlc(DIGEST, THEIR_POINT, nonce),
        tweak(ours.delayed, point): keys.sign_delayed(DIGEST, 7, nonce),
        ours.payment: keys.sign_payment(DIGEST, nonce),
        tweak(ours.payment, THEIR_POINT): keys.sign_payment(DIGEST, nonce, per_commitment_point=THEIR_POINT),
        commitment.revocation_point(ours.revocation, THEIR_POINT): keys.sign_penalty(
            DIGEST, THEIR_SECRET, nonce
        ),
    }
    assert len(signed) == 6
    for key, signature in signed.items():
        assert secp256k1.verify_compact(key, signature, DIGEST)


@pytest.mark.parametrize(
    "secret", [bytes(32), secp256k1.ORDER.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 31]
)
def test_refuses_a_penalty_with_what_is_no_secret(keys, secret):
    with pytest.raises(MalformedMessage, match="revocation secret"):
        keys.sign_penalty(DIGEST, secret, Nonce.PLAIN)


@pytest.mark.parametrize("number", [-1, 2**48])
def test_has_no_secret_beyond_the_last_commitment(keys, number):
    with pytest.raises(MalformedMessage):
        keys.per_commitment_point(number)
    with pytest.raises(MalformedMessage):
        keys.release_secret(number)


def test_shows_no_secret_in_its_repr(keys):
    shown = f"{keys!r} {vars(keys)!r}"
    assert repr(keys) == "ChannelKeys(...)"
    assert "d8bf8b522c867a7f70be85b860404d4feb724c47d8113fac05b37bc46a707b2d" not in shown
    assert "\\xd8\\xbf\\x8bR" not in shown
