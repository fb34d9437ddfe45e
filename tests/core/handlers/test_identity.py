"""What needs nothing but the node's keys: answers are in test_recorded_requests.py, here are the refusals."""

from __future__ import annotations

import pytest
from helpers.family_player import Player

from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire import identity as wire
from signerd.errors import MalformedMessage, Refused

SECRET = "01" * 32
POINT = Player(SECRET, "regtest", Dialect.HOSTED).keys.node_id


def answer(message, dialect=Dialect.CORE_LIGHTNING):
    reply = Player(SECRET, "regtest", dialect).answer(codec.encode(message), None, 0)
    return codec.decode_reply(message, reply)


@pytest.mark.parametrize(
    "message", [wire.CheckPubKey(2**31, POINT), wire.Bip137SignMessage(b"", 2**31)], ids=["check", "sign"]
)
def test_no_wallet_key_is_hardened(message):
    with pytest.raises(Refused, match="would be hardened") as caught:
        answer(message)
    assert caught.value.rule == "wallet-hardened-index"


def test_a_wrong_wallet_key_is_answered_with_no():
    assert answer(wire.CheckPubKey(0, POINT)) == wire.CheckPubKeyReply(ok=False)


def test_a_secret_of_32_bytes_has_no_bip86_keys():
    with pytest.raises(Refused) as caught:
        answer(wire.CheckBip86PubKey(0, POINT))
    assert caught.value.rule == "bip86-no-words"


def test_a_hosted_node_gets_no_message_signed():
    with pytest.raises(Refused) as caught:
        answer(wire.SignMessage(bytes(32)), Dialect.HOSTED)
    assert caught.value.rule == "sign-message"


@pytest.mark.parametrize("message", [wire.Bip137SignMessage(b"x", 0), wire.CheckBip86PubKey(0, POINT)])
def test_a_hosted_node_does_not_ask_what_is_not_advertised(message):
    with pytest.raises(Refused) as caught:
        answer(message, Dialect.HOSTED)
    assert caught.value.rule == "unsupported-message"


@pytest.mark.parametrize("point", [bytes(33), b"\x02" + b"\xff" * 32, b"\x04" + POINT[1:]], ids=bytes.hex)
def test_no_secret_is_shared_with_what_is_no_point(point):
    player = Player(SECRET, "regtest", Dialect.HOSTED)
    with pytest.raises(MalformedMessage):
        player.answer((1).to_bytes(2, "big") + point, None, 0)
