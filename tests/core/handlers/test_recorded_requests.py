"""Every recorded request for a signature without a commitment, as other signers answered it: byte for byte.

Where we differ, the step is listed here by its name, with the reason; the lists are exact in both directions.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, NamedTuple

import pytest
from helpers import vectors
from helpers.family_player import NUMBERS, Player, context_of
from helpers.plain_nodes import keys_of

from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.policy import payments
from signerd.core.requests import PendingRequest
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.errors import MalformedMessage, Refused
from signerd.greenlight.pb import greenlight_pb2
from signerd.units import Secret

HOSTED = {case["script"]: case for case in vectors.load("hsm")["cases"] if case["script"] != "state"}
MADE_AT = vectors.load("hsm")["made_at"]
CLN = vectors.load("cln_messages")["messages"]
HEARTBEAT = 2008
SIGN_MESSAGE = 23
INVOICES = {38, 51}

# Answered as the reference answers, though a careful signer refuses: to see why takes the client's own
# command, which is not looked at yet, or a memory of the invoices that were issued.
NEEDS_A_COMMAND = {
    "basic": {
        "sign_bolt12 plain",
        "sign_bolt12 with tweak",
        "preapprove_invoice without a request",
        "preapprove_invoice with a Pay for another invoice",
        "preapprove_invoice: Pay in upper case, message in lower case",
        "preapprove_keysend without a request",
        "sign_invoice without a request",
        "sign_invoice with a Pay request pending",
        "sign_invoice whose amount differs from the request",
        "sign_invoice for a hash already used, other amount",
    },
    "auth": {
        "timestamp present but not signed",
        "timestamp signed but sent as 0",
        "timestamp altered",
        "timestamp ten years old",
        "timestamp ten years ahead",
        "signature of another key",
        "signature flipped",
        "signature empty",
        "signature DER",
        "pubkey empty",
        "pubkey compressed",
        "rune empty",
        "other key, own signature, stolen rune",
        "rune of another node",
        "rune method=Pay",
        "rune method=invoice",
        "rune method^list|method^get",
        "rune expired",
        "rune with an unknown field",
        "rune cut to 32 bytes",
        "rune of 10 bytes",
        "uri of an unknown service",
        "uri greenlight.Node/Pay",
        "uri without a method",
        "uri empty",
        "uri of an unknown method",
        "uri in lower case",
        "uri with more path",
        "request of another type (Invoice)",
        "request for another invoice",
    },
}
# Refused here, answered by the reference: wrong without any command.
REFUSED_ALREADY = {
    "basic": {
        "preapprove_invoice for another network": "invoice-network",
        "preapprove_keysend again with another amount": "payment-hash-reused",
    },
    "auth": {"request is not protobuf": "malformed"},
}
# A matter of policy: refused here, because what would be signed is not what it says.
OUR_CHOICE = {
    "basic": {
        "sign_node_announcement for a foreign node id": "gossip-not-ours",
        "sign_node_announcement that is no node announcement": "malformed",
        "sign_node_announcement of 66 bytes": "malformed",
        "sign_channel_update that is none": "malformed",
        "sign_gossip_message empty": "malformed",
        "sign_invoice with a wrong network prefix": "invoice-network",
    },
    "malformed": {
        "sign_channel_update, well formed filler": "malformed",
        "sign_node_announcement, well formed filler": "malformed",
        "sign_gossip_message, well formed filler": "malformed",
        "message of 65535 byte body": "malformed",
    },
}
# What the door sees before a handler does.
THE_DOORS = {"context with a short node id"}

HOSTED_LEAST = {
    1: 25, 2: 4, 3: 10, 4: 4, 6: 6, 8: 12, 25: 9, 27: 21, 28: 15, 33: 3, 38: 123, 39: 5, 1000: 3, 1006: 6,
    1012: 3, 2008: 10,
}  # fmt: skip
"""How many steps are answered like the reference at least, so that no loop runs empty."""


class Played(NamedTuple):
    """A step, and our reply or the rule that refused it."""

    step: dict[str, Any]
    reply: str | None
    rule: str


def ask(player: Player, raw: bytes, context: Any, now: int, pending: tuple[PendingRequest, ...] = ()) -> Any:
    """The reply and the rule, one of which is empty."""
    try:
        return player.answer(raw, context, now, pending).hex(), ""
    except Refused as refused:
        return None, refused.rule
    except MalformedMessage:
        return None, "malformed"


def number_of(raw: bytes) -> int:
    return int.from_bytes(raw[:2], "big") if len(raw) > 1 else -1


@cache
def play_hosted(script: str) -> list[Played]:
    case = HOSTED[script]
    player = Player(case["seed"], case["network"], Dialect.HOSTED)
    played = []
    for step in case["steps"]:
        raw, context = bytes.fromhex(step["raw"]), context_of(step["context"])
        player.watch(raw, context)
        if number_of(raw) in NUMBERS and step["what"] not in THE_DOORS:
            pending = tuple(pending_of(item) for item in step.get("requests") or ())
            played.append(Played(step, *ask(player, raw, context, MADE_AT, pending)))
    return played


def pending_of(recorded: str) -> PendingRequest:
    item = greenlight_pb2.PendingRequest.FromString(bytes.fromhex(recorded))
    return PendingRequest(item.uri, item.request, item.signature, item.pubkey, item.timestamp, item.rune)


def is_equal(item: Played) -> bool:
    if item.step["type"] == HEARTBEAT:
        return item.reply is not None and len(item.reply) == len(item.step["reply"])
    return item.reply == item.step.get("reply")


def of_family(table: dict[str, Any], script: str) -> Any:
    return table.get(script.partition("-")[0], {})


@pytest.mark.parametrize("script", HOSTED)
def test_answers_every_ordinary_request_as_the_reference_signer_does(script):
    wrong = [
        (item.step["what"], item.rule)
        for item in play_hosted(script)
        if item.step.get("should") in (None, "answer") and not is_equal(item)
    ]
    assert wrong == []


@pytest.mark.parametrize("script", HOSTED)
def test_refuses_whatever_the_reference_signer_refuses(script):
    answered = [
        item.step["what"]
        for item in play_hosted(script)
        if item.step["outcome"] != "reply" and item.step["should"] == "refuse" and item.reply is not None
    ]
    assert answered == []


@pytest.mark.parametrize("script", HOSTED)
def test_what_a_careful_signer_refuses_is_refused_or_waits_for_commands(script):
    lax = [
        item
        for item in play_hosted(script)
        if item.step["outcome"] == "reply" and item.step.get("should") == "refuse"
    ]
    assert set(of_family(NEEDS_A_COMMAND, script)) == {
        item.step["what"] for item in lax if item.reply is not None
    }
    assert of_family(REFUSED_ALREADY, script) == {
        item.step["what"]: item.rule for item in lax if item.reply is None
    }
    assert all(is_equal(item) for item in lax if item.reply is not None)


@pytest.mark.parametrize("script", HOSTED)
def test_where_it_is_a_matter_of_policy_the_answer_is_equal_or_refused_by_name(script):
    free = [
        item
        for item in play_hosted(script)
        if item.step["outcome"] == "reply" and item.step.get("should") == "either"
    ]
    assert of_family(OUR_CHOICE, script) == {
        item.step["what"]: item.rule for item in free if item.reply is None
    }
    assert all(is_equal(item) for item in free if item.reply is not None)


def test_enough_of_each_type_was_played():
    equal = Counter(
        item.step["type"]
        for script in HOSTED
        for item in play_hosted(script)
        if item.reply and is_equal(item)
    )
    few = {number: equal[number] for number, least in HOSTED_LEAST.items() if equal[number] < least}
    assert few == {}


# Core Lightning's own hsmd

LIGHTNINGD = {
    f"{run['run']}-{node['node']}": node for run in CLN["lightningd"]["runs"] for node in run["nodes"]
}
SESSIONS = {item["session"]: item for item in CLN["sessions"]}

# Its hsmd keeps no state and signs what it is told. We want to know the channel, and to read what we sign.
NOT_OURS_TO_SIGN = {
    "channel_announcement": "channel-unknown",
    "channel_announcement, other channel, extra bytes": "channel-unknown",
    "channel_announcement of a channel connection": "channel-unknown",
    "channel_announcement of exactly 258 bytes": "malformed",
    "node_announcement of exactly 66 bytes": "malformed",
    "sign_invoice, not an invoice at all": "malformed",
    "sign_invoice, empty": "malformed",
    "preapprove_invoice, not an invoice": "malformed",
    "preapprove_invoice_check, not an invoice": "malformed",
    "preapprove_invoice_check, empty": "malformed",
    "preapprove_keysend_check, id not on the curve": "malformed",
}
LIGHTNINGD_LEAST = {1: 20, 3: 6, 4: 6, 6: 1, 8: 4, 9: 11, 11: 1, 23: 1, 27: 6, 28: 8, 45: 1, 51: 7}
SESSION_LEAST = {
    1: 5,
    3: 3,
    6: 2,
    8: 3,
    23: 4,
    25: 8,
    26: 4,
    27: 8,
    28: 5,
    38: 1,
    39: 1,
    41: 10,
    45: 6,
    51: 2,
    52: 3,
}


def play_plain(recorded: dict[str, Any]) -> list[Played]:
    """The clock stands where the newest invoice was made: the recordings do not say when they were."""
    player = Player(keys_of(recorded), recorded["network"], Dialect.CORE_LIGHTNING)
    now = 0
    played = []
    for step in recorded["steps"]:
        raw, context = bytes.fromhex(step["raw"]), context_of(step["on"])
        player.watch(raw, context)
        if number_of(raw) in NUMBERS:
            now = max(now, made(raw))
            played.append(Played(step, *ask(player, raw, context, now)))
    return played


def made(raw: bytes) -> int:
    """When the invoice in a request was made; 0 for other requests."""
    if number_of(raw) not in INVOICES:
        return 0
    try:
        found = payments.require_invoice(codec.decode(raw).invstring)
    except MalformedMessage:
        return 0
    return getattr(found, "created_at", 0) or found.invoice.timestamp


@pytest.mark.parametrize("name", LIGHTNINGD)
def test_answers_a_real_node_as_core_lightnings_own_signer_does(name):
    played = play_plain(LIGHTNINGD[name])
    # dev_preinit has no reply.
    wrong = [item for item in played if item.reply != (item.step["reply"] or "")]
    assert [(item.step["type"], item.rule) for item in wrong] == []
    # A wallet whose keys are of BIP 86 is asked for those. What the two pay differs, too.
    least = LIGHTNINGD_LEAST | {"splice-b": {28: 0, 51: 4, 56: 8}}.get(name, {})
    assert missing(played, least) == {}
    assert {25, 41} & {item.step["type"] for item in played}


@pytest.mark.parametrize("name", SESSIONS)
def test_answers_made_up_requests_as_core_lightnings_own_signer_does_or_refuses_by_name(name):
    played = play_plain(SESSIONS[name])
    answered = [item for item in played if item.step["outcome"] == "reply"]
    assert NOT_OURS_TO_SIGN == {item.step["what"]: item.rule for item in answered if item.reply is None}
    assert [item.step["what"] for item in answered if item.reply not in (None, item.step["reply"])] == []
    assert missing(answered, SESSION_LEAST) == {}


@pytest.mark.parametrize("name", SESSIONS)
def test_where_core_lightnings_own_signer_ends_itself_the_answer_is_a_refusal_or_no(name):
    ended = [item for item in play_plain(SESSIONS[name]) if item.step["outcome"] == "died"]
    assert len(ended) >= 6
    no = {None, "008000"} | ({"009c00"} if "words" in SESSIONS[name]["about"] else set())
    assert no == {item.reply for item in ended}


def missing(played: list[Played], least: dict[int, int]) -> dict[int, int]:
    equal = Counter(item.step["type"] for item in played if item.reply and item.reply == item.step["reply"])
    return {number: equal[number] for number, count in least.items() if equal[number] < count}


def test_gossip_of_another_chain_would_have_core_lightnings_signature():
    """The reference's lives, played to Core Lightning, have made-up chain hashes: we would refuse."""
    signed_from = {2: 258, 3: 66, 4: 258, 6: 66}
    compared: Counter[int] = Counter()
    for replay in CLN["replay"]:
        keys = NodeKeys.derive(Secret(bytes.fromhex(replay["secret"])))
        steps = HOSTED[replay["session"]]["steps"]
        for answer in replay["steps"]:
            step = steps[answer["step"]]
            if step["type"] not in signed_from or answer["outcome"] != "reply":
                continue
            message = codec.decode(bytes.fromhex(step["raw"]))
            body = getattr(message, "update", None) or message.announcement
            signature = keys.sign_gossip(body[signed_from[step["type"]] :], Nonce.LOW_R_FROM_ZERO)
            assert signature.hex() in answer["reply"]
            compared[step["type"]] += 1
    assert {2: 4, 3: 12, 4: 4, 6: 8} == compared
