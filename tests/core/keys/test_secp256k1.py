"""The curve's wrapper: nonces, DER, recovery, Schnorr and taproot, and what each of them refuses."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import deque
from concurrent.futures import Future

import pytest
from embit import ec
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import helper, secp256k1
from signerd.core.keys.secp256k1 import ORDER, Nonce
from signerd.errors import MalformedMessage

GENERATOR = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
ONE = (1).to_bytes(32, "big")
secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


def rfc6979(secret: bytes, digest: bytes, extra: bytes = b"") -> int:
    """The first candidate of the deterministic nonce, written out."""
    key, value = bytes(32), b"\x01" * 32
    # libsecp256k1 feeds the digest as it is, and extra data after it.
    for separator in (b"\x00", b"\x01"):
        key = hmac.digest(key, value + separator + secret + digest + extra, hashlib.sha256)
        value = hmac.digest(key, value, hashlib.sha256)
    return int.from_bytes(hmac.digest(key, value, hashlib.sha256), "big")


def signature_with(nonce: int, secret: bytes, digest: bytes) -> bytes:
    """ECDSA by its definition, low-S."""
    r = int.from_bytes(secp256k1.public_key(nonce.to_bytes(32, "big"))[1:], "big") % ORDER
    numbers = int.from_bytes(digest, "big"), int.from_bytes(secret, "big")
    s = pow(nonce, -1, ORDER) * (numbers[0] + r * numbers[1]) % ORDER
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


def tries(secret: bytes, digest: bytes, first: int):
    """What a search for a low r looks at, in order."""
    if first == 1:
        yield signature_with(rfc6979(secret, digest), secret, digest)
    for counter in range(first, 64):
        extra = counter.to_bytes(4, "little") + bytes(28)
        yield signature_with(rfc6979(secret, digest, extra), secret, digest)


@given(secret=secrets, digest=digests)
def test_signs_with_the_plain_nonce(secret, digest):
    expected = signature_with(rfc6979(secret, digest), secret, digest)
    assert secp256k1.sign(secret, digest, Nonce.PLAIN) == expected
    assert secp256k1.sign_compact(secret, digest) == expected


@given(secret=secrets, digest=digests)
def test_searches_a_low_r_as_bitcoin_core_does(secret, digest):
    expected = next(found for found in tries(secret, digest, first=1) if found[0] < 0x80)
    assert secp256k1.sign(secret, digest, Nonce.LOW_R) == expected


@given(secret=secrets, digest=digests)
def test_searches_a_low_r_as_core_lightning_does(secret, digest):
    expected = next(found for found in tries(secret, digest, first=0) if found[0] < 0x80)
    assert secp256k1.sign(secret, digest, Nonce.LOW_R_FROM_ZERO) == expected


@given(secret=secrets, digest=digests, nonce=st.sampled_from(Nonce))
def test_der_and_compact_say_the_same(secret, digest, nonce):
    signature = secp256k1.sign(secret, digest, nonce)
    der = secp256k1.to_der(signature)
    assert secp256k1.from_der(der) == signature
    assert len(der) <= (71 if nonce is Nonce.PLAIN else 70)
    assert secp256k1.verify_compact(secp256k1.public_key(secret), signature, digest)


def signed_by(*keys: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Points, signatures and digests, all good."""
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(len(keys))]
    return [
        (secp256k1.public_key(secret), secp256k1.sign_compact(secret, digest), digest)
        for secret, digest in zip(keys, digests, strict=True)
    ]


@given(few=st.lists(secrets, min_size=1, max_size=2), count=st.integers(0, 20), data=st.data())
def test_finds_the_first_wrong_one_of_many(few, count, data):
    """With one thread and with two."""
    signed = signed_by(*[few[place % len(few)] for place in range(count)])
    assert secp256k1.first_wrong(signed) is None
    wrong = data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=3)) if count else set()
    another = secp256k1.public_key(data.draw(secrets.filter(lambda secret: secret not in few)))
    for place in wrong:
        point, signature, digest = signed[place]
        signed[place] = data.draw(
            st.sampled_from(
                [
                    (point, bytes(64), digest),
                    (point, b"", digest),
                    (point, signature[::-1], digest),
                    (point, signature, digest[::-1]),
                    (point, signature, digest[:-1]),
                    (another, signature, digest),
                    (bytes(33), signature, digest),
                ]
            )
        )
    assert secp256k1.first_wrong(signed) == min(wrong, default=None)


@pytest.mark.parametrize("point", [b"", bytes(33), GENERATOR[:32], b"\x04" + GENERATOR[1:]])
@pytest.mark.parametrize("count", [1, 20])
def test_nothing_is_signed_by_what_is_no_point(point, count):
    signed = [(point, signature, digest) for _, signature, digest in signed_by(*[b"\x01" * 32] * count)]
    assert secp256k1.first_wrong(signed) == 0


@pytest.fixture(params=[None, 0, 9, 19])
def one_wrong(request) -> tuple[list[tuple[bytes, bytes, bytes]], int | None]:
    """Enough signatures for two threads, and which of them is wrong."""
    signed, wrong = signed_by(*[b"\x01" * 32] * 20), request.param
    if wrong is not None:
        signed[wrong] = *signed[wrong - 1][:2], signed[wrong][2]
    return signed, wrong


def test_does_not_wait_for_a_helper_that_has_other_things_to_do(one_wrong):
    signed, wrong = one_wrong
    release = threading.Event()
    under_way = helper.begin(release.wait, 30)
    assert under_way is not None
    try:
        assert secp256k1.first_wrong(signed) == wrong
        assert not under_way.done()
    finally:
        release.set()
        assert under_way.result(10)


def done_and_lost(work, *given) -> None:
    work(*given)


def test_what_is_done_of_the_work_that_found_no_thread_counts_for_nothing(monkeypatch, one_wrong):
    signed, wrong = one_wrong
    monkeypatch.setattr(helper, "begin", done_and_lost)
    assert secp256k1.first_wrong(signed) == wrong


def done_at_once(work, *given) -> Future[object]:
    done: Future[object] = Future()
    done.set_result(work(*given))
    return done


def test_what_the_helper_finds_counts(monkeypatch, one_wrong):
    signed, wrong = one_wrong
    monkeypatch.setattr(helper, "begin", done_at_once)
    assert secp256k1.first_wrong(signed) == wrong


def test_nobody_goes_on_after_a_wrong_one():
    key = secp256k1._verifier(secp256k1.public_key(b"\x01" * 32))
    assert key is not None
    left = deque((place, None, bytes(32), key) for place in range(20))
    assert secp256k1._first_wrong(left) == 0
    assert not left


def test_verifies_alone_where_there_are_no_more_threads(monkeypatch, one_wrong):
    signed, wrong = one_wrong

    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    helper._thread.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert secp256k1.first_wrong(signed) == wrong
    monkeypatch.undo()
    assert secp256k1.first_wrong(signed) == wrong


@pytest.mark.parametrize(
    "der",
    [
        "",
        "30",
        "3006020101020101" + "00",  # a byte too many
        "300702020001020101",  # padding that is not needed
        "3006020181020101",  # negative
        "3006020100020101",  # r is zero
        "3006020101020100",  # s is zero
        "308106020101020101",  # a long form of the length
        "3026022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141020101",  # r is the order
    ],
)
def test_refuses_a_signature_that_is_not_strict_der(der):
    assert secp256k1.from_der(bytes.fromhex("3006020101020101")) == bytes(31) + b"\x01" + bytes(31) + b"\x01"
    with pytest.raises(MalformedMessage, match="DER"):
        secp256k1.from_der(bytes.fromhex(der))


@given(secret=secrets, digest=digests)
def test_recovers_the_key_from_a_recoverable_signature(secret, digest):
    signature = secp256k1.sign_recoverable(secret, digest)
    assert secp256k1.recover(signature, digest) == secp256k1.public_key(secret)


@pytest.mark.parametrize("signature", [b"", bytes(65), b"\x01" * 64, b"\x01" * 64 + b"\x04", b"\xff" * 65])
def test_recovers_nothing_from_what_no_key_can_have_signed(signature):
    with pytest.raises(MalformedMessage, match="recovered"):
        secp256k1.recover(signature, bytes(32))


@given(secret=secrets, digest=digests, root=st.sampled_from([b"", b"\x17" * 32]))
def test_tweaks_a_key_for_taproot_as_embit_does(secret, digest, root):
    point = secp256k1.public_key(secret)
    tweaked = secp256k1.taproot_secret(secret, root)
    assert secp256k1.public_key(tweaked)[1:] == ec.PrivateKey(secret).taproot_tweak(root).xonly()
    x_only = secp256k1.taproot_point(point, root)
    assert x_only == ec.PublicKey.parse(point).taproot_tweak(root).xonly()
    assert x_only == secp256k1.public_key(tweaked)[1:]
    signature = secp256k1.sign_schnorr(tweaked, digest, bytes(32))
    assert secp256k1.verify_schnorr(x_only, signature, digest)
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    assert not secp256k1.verify_schnorr(x_only, flipped, digest)


@pytest.mark.parametrize(
    ("x_only", "signature", "digest"),
    [(b"\xff" * 32, bytes(64), bytes(32)), (bytes(31), bytes(64), bytes(32)), (bytes(32), b"", b"")],
)
def test_verifies_no_schnorr_signature_of_what_is_no_key(x_only, signature, digest):
    assert not secp256k1.verify_schnorr(x_only, signature, digest)


@given(secret=secrets, factor=secrets)
def test_multiplies_and_adds_points_and_secrets_alike(secret, factor):
    point = secp256k1.public_key(secret)
    product = secp256k1.multiply_secret(secret, factor)
    assert secp256k1.public_key(product) == secp256k1.sum_of_multiples((point, factor))
    assert product == (int.from_bytes(secret, "big") * int.from_bytes(factor, "big") % ORDER).to_bytes(
        32, "big"
    )
    other = secp256k1.public_key(factor)
    if point[1:] != other[1:]:
        total = (int.from_bytes(secret, "big") + int.from_bytes(factor, "big")) % ORDER
        total_point = secp256k1.public_key(total.to_bytes(32, "big"))
        assert secp256k1.sum_of_multiples((point, ONE), (other, ONE)) == total_point


def test_refuses_sums_and_products_that_are_no_point():
    opposite = b"\x03" + GENERATOR[1:]
    with pytest.raises(ValueError):
        secp256k1.sum_of_multiples((GENERATOR, ONE), (opposite, ONE))
    for factor in (bytes(32), ORDER.to_bytes(32, "big")):
        with pytest.raises(ValueError):
            secp256k1.sum_of_multiples((GENERATOR, ONE), (GENERATOR, factor))
        with pytest.raises(ValueError):
            secp256k1.multiply_secret(b"\x01" * 32, factor)


def test_hashes_with_the_tag_of_bip_340():
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    assert secp256k1.tagged_hash(b"BIP0340/challenge", b"x") == hashlib.sha256(tag + tag + b"x").digest()
