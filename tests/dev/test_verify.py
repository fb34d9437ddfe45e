"""The judge of a signer's answers: it knows the right ones, and each of their mutations."""

from __future__ import annotations

import pytest
from helpers.greenlight import node_keys

from signerd.core import startup
from signerd.core.keys import secp256k1
from signerd.dev.ledger import Registration
from signerd.dev.verify import Knowledge, WrongAnswer, check, child_public_key
from signerd.units import NETWORKS

KEYS = node_keys(3)
POINT_SECRET = bytes([9]) * 32
POINT = secp256k1.public_key(POINT_SECRET)
STARTUP = tuple((m.request, m.response) for m in startup.startup_messages(KEYS, "regtest"))
WALLET_KEY = KEYS.wallet_pubkey(7)


def known() -> Knowledge:
    registration = Registration(
        KEYS.node_id, "regtest", "v25.05", startup.init_message(KEYS, "regtest"), STARTUP
    )
    return Knowledge(registration, {POINT: POINT_SECRET})


def check_pubkey(index: int, key: bytes) -> bytes:
    return b"\0\x1c" + index.to_bytes(4, "big") + key


RIGHT = {
    "ecdh": (b"\0\1" + POINT, b"\0\x64" + KEYS.ecdh(POINT)),
    "init": STARTUP[0],
    "derive_secret": STARTUP[3],
    "check_pubkey, ours": (check_pubkey(7, WALLET_KEY), b"\0\x80\1"),
    "check_pubkey, another's": (check_pubkey(8, WALLET_KEY), b"\0\x80\0"),
    "ping": (b"\x03\xe8\0\x07\0", b"\x04\x4c\0\x07\0"),
    "heartbeat": (b"\x07\xd8", b"\x08\x3c\0\x6d\x40" + bytes(108)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_accepts_the_right_answer(case: str) -> None:
    check(*RIGHT[case], known())


@pytest.mark.parametrize("case", RIGHT)
def test_refuses_a_truncated_a_lengthened_and_an_empty_answer(case: str) -> None:
    request, reply = RIGHT[case]
    # A pong may have anything behind its number.
    for wrong in (b"", reply[:1], *([] if case == "ping" else [reply[:-1], reply + b"\0"])):
        with pytest.raises(WrongAnswer):
            check(request, wrong, known())


@pytest.mark.parametrize("case", [name for name in RIGHT if name != "heartbeat"])
def test_refuses_an_answer_with_another_content(case: str) -> None:
    request, reply = RIGHT[case]
    at = 3 if case == "ping" else len(reply) - 1
    with pytest.raises(WrongAnswer):
        check(request, reply[:at] + bytes([reply[at] ^ 1]) + reply[at + 1 :], known())


def test_knows_nothing_of_other_types_but_that_they_have_one() -> None:
    check(b"\0\x13", b"\0\x70", known())
    with pytest.raises(WrongAnswer):
        check(b"\0\x13", b"\0", known())


def test_takes_any_secret_for_a_point_that_is_not_ours() -> None:
    check(b"\0\1" + WALLET_KEY, b"\0\x64" + bytes(32), known())


def test_derives_wallet_keys_from_the_extended_key_alone() -> None:
    for network in NETWORKS:
        children = [child_public_key(KEYS.ext_key(network), index) for index in range(3)]
        assert [KEYS.wallet_pubkey(index) for index in range(3)] == children
