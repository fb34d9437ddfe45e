"""The reference's recorded lives in Core Lightning's dialect: its own hsmd's bytes, through the one door.

Its hsmd keeps no state and answers nearly everything. So what a careful signer should refuse may be refused
here; what is answered is answered in its bytes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from helpers import plain_nodes, vectors
from helpers.family_player import context_of

from signerd.core.requests import Refusal, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import MemoryBook
from signerd.core.tx.signing import Dialect
from signerd.units import UnixTime

HSM = {case["script"]: case["steps"] for case in vectors.load("hsm")["cases"]}
NOW = UnixTime(vectors.load("hsm")["made_at"])
REPLAYED = {item["session"]: item for item in vectors.load("cln_messages")["messages"]["replay"]}

EQUAL = {
    "basic": 64,
    "withdrawal": 12,
    "life-static-out": 54,
    "life-static-in": 53,
    "life-anchors-out": 54,
    "life-anchors-in": 53,
    "force-static-out": 90,
    "force-static-in": 85,
    "force-anchors-out": 92,
    "force-anchors-in": 87,
}

# The lives' gossip is of chains that do not exist. The others are a matter of policy.
REFUSED = {
    "sign_channel_announcement": "gossip-chain",
    "sign_any_channel_announcement": "gossip-chain",
    "sign_channel_update": "gossip-chain",
    "sign_channel_update 0": "gossip-chain",
    "sign_channel_update 1": "gossip-chain",
    "sign_channel_update 2": "gossip-chain",
    "sign_node_announcement for a foreign node id": "gossip-not-ours",
    "sign_invoice with a wrong network prefix": "invoice-network",
    "new_channel bad peer key": "malformed",
    "check_outpoint in an unknown channel's context": "channel-unknown",
    "get_channel_basepoints after forget": "channel-unknown",
    "sign_any_penalty_to_us with a random secret": "policy-sweep-other",
}


def reply_of(step: dict[str, Any], answer: dict[str, Any]) -> str | None:
    """Core Lightning's; None where it has none."""
    if answer["outcome"] != "reply":
        return None
    reply: str = step["reply"] if answer["reply"] == "same" else answer["reply"]
    return reply


def must_be_answered(step: dict[str, Any], answer: dict[str, Any]) -> bool:
    both = answer["outcome"] == step["outcome"] == "reply"
    return both and step.get("should") != "refuse" and step["what"] not in REFUSED


@pytest.mark.parametrize("name", REPLAYED)
def test_a_life_is_answered_as_by_core_lightnings_own_signer(name):
    recorded, book, equal = REPLAYED[name], MemoryBook(), Counter()
    signer = Signer(plain_nodes.keys_of(recorded), recorded["network"], Dialect.CORE_LIGHTNING)
    for answer in recorded["steps"]:
        step = HSM[name][answer["step"]]
        request = SigningRequest(1, bytes.fromhex(step["raw"]), context_of(answer["on"]))
        outcome, reply = signer.handle(request, book, NOW), reply_of(step, answer)
        if isinstance(outcome, Refusal):
            assert not must_be_answered(step, answer), f"{step['what']}: {outcome}"
            assert outcome.rule == REFUSED.get(step["what"], outcome.rule)
            continue
        assert step["what"] not in REFUSED
        book.apply(outcome.changes)
        assert reply in (None, outcome.reply.hex()), step["what"]
        equal[step["type"]] += reply is not None
    assert (EQUAL.get(name) or EQUAL[name.partition("-")[0]]) == equal.total()
