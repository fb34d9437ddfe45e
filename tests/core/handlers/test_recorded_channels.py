"""Recorded channels, asked of the handlers in order: what the reference signer and Core Lightning's answered.

What differs from the reference signer is named below with its reason, and nothing else may differ.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from helpers import vectors, witnesses
from helpers.one_channel import HANDLERS
from helpers.plain_nodes import keys_of

from signerd.core.handlers.call import Call
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire.commitment import SignCommitmentTx
from signerd.errors import MalformedMessage, Refused
from signerd.units import Network, Secret, UnixTime

NUMBERS = frozenset(kind.TYPE for kind in HANDLERS)
HOSTED = {case["script"]: case for case in vectors.load("hsm")["cases"]}
LIGHTNINGD = {
    f"{run['run']}-{node['node']}": node
    for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"]
    for node in run["nodes"]
}

STILL_ANSWERED = {
    # Only the client's command tells a payment that was asked for from one that was not.
    "sign_remote_commitment_tx 1 for an HTLC that was never approved",
}
"""Answered by the reference signer and here, though a careful signer would refuse."""

ANSWERED_ALL_THE_SAME = {
    # The reference signer revoked it one step before. That step is refused here, because the commitment was
    # signed for the chain: so it is not revoked, and this is the identical repetition of that signature.
    "sign_commitment_tx 0 after it was revoked",
}
"""Refused by the reference signer, and not here."""

# How many answers are equal at least, so that no loop below can run empty.
EQUAL = {
    10: 99, 12: 4, 13: 8, 14: 4, 16: 8, 18: 207, 19: 145, 20: 90, 21: 8, 22: 4, 30: 107, 31: 73, 32: 53,
    34: 9, 35: 114, 36: 78, 37: 53, 40: 58, 142: 12, 143: 8, 144: 12, 146: 8,
}  # fmt: skip
LIGHTNINGD_EQUAL = {
    "splice-a": {
        5: 3,
        14: 28,
        18: 8,
        19: 25,
        20: 15,
        21: 1,
        29: 3,
        31: 4,
        35: 25,
        36: 21,
        37: 4,
        40: 21,
        142: 3,
    },
    "splice-b": {
        5: 1,
        10: 3,
        14: 29,
        18: 7,
        19: 33,
        20: 18,
        21: 1,
        29: 1,
        30: 3,
        31: 4,
        32: 4,
        35: 34,
        36: 29,
        37: 4,
        40: 30,
        143: 3,
        144: 1,
    },
    "plain-a": {5: 2, 14: 49, 18: 6, 19: 49, 20: 44, 21: 1, 31: 3, 35: 46, 36: 46, 40: 43, 143: 6},
    "plain-b": {5: 2, 14: 50, 18: 7, 19: 53, 20: 42, 21: 1, 35: 58, 36: 50, 40: 55, 142: 2, 144: 1, 146: 1},
}


class Replay:
    """One node's requests, and what is remembered of them."""

    def __init__(self, keys: NodeKeys, network: Network, dialect: Dialect) -> None:
        self.keys = keys
        self.network, self.dialect = network, dialect
        self.book = MemoryBook()

    def ask(self, raw: bytes, where: dict[str, Any] | None) -> bytes | Refused | MalformedMessage:
        context = where and Context(bytes.fromhex(where["node_id"]), where["dbid"], 0)
        try:
            message = codec.decode(raw)
            call = Call(self.keys, self.network, self.dialect, UnixTime(0), self.book, context)
            answer = HANDLERS[type(message)](message, call)
        except (Refused, MalformedMessage) as refusal:
            return refusal
        self.book.apply(answer.changes)
        return codec.encode(answer.reply)

    def signs(self, raw: bytes, reply: bytes) -> bool:
        """Whether a sign_commitment_tx was answered with a signature for the transaction that it brought."""
        message, answer = codec.decode(raw), codec.decode(reply)
        assert isinstance(message, SignCommitmentTx)
        channel_id = ChannelId(message.peer_id, message.dbid)
        ours = self.keys.channel(message.peer_id, message.dbid)
        return witnesses.signs_commitment(message, answer, ours, self.book.channels[channel_id])


def number_of(raw: str) -> int:
    return int(raw[:4] or "0", 16)


@pytest.fixture(scope="module")
def hosted() -> dict[str, Any]:
    """All scripts, played once."""
    found: dict[str, Any] = {
        "wrong": [], "refused": [], "answered": set(), "lax": set(), "equal": Counter(), "verified": 0
    }  # fmt: skip
    for case in HOSTED.values():
        replay = Replay(NodeKeys.derive(Secret(bytes.fromhex(case["seed"]))), case["network"], Dialect.HOSTED)
        for step in case["steps"]:
            if number_of(step["raw"]) in NUMBERS:
                judge(case["script"], step, replay, found)
    return found


def judge(name: str, step: dict[str, Any], replay: Replay, found: dict[str, Any]) -> None:
    raw, should = bytes.fromhex(step["raw"]), step.get("should")
    outcome, replied = replay.ask(raw, step["context"]), step["outcome"] == "reply"
    said = f"{name}: {step['what']}"
    if not isinstance(outcome, bytes):
        if should == "answer" or (should is None and replied):
            found["refused"].append(f"{said}: {outcome}")
        return
    if should == "refuse":
        found["lax" if replied else "answered"].add(step["what"])
    elif not replied and should is None:
        found["answered"].add(step["what"])
    if replied and step.get("deterministic", True):
        if step["reply"] != outcome.hex():
            found["wrong"].append(said)
        found["equal"][number_of(step["raw"])] += 1
    elif replied:
        if not (replay.signs(raw, outcome) and replay.signs(raw, bytes.fromhex(step["reply"]))):
            found["wrong"].append(said)
        found["verified"] += 1


def test_every_answer_is_the_reference_signers(hosted):
    assert [] == hosted["wrong"]
    assert {} == {
        number: hosted["equal"][number] for number in EQUAL if hosted["equal"][number] < EQUAL[number]
    }
    assert hosted["verified"] >= 12


def test_no_step_of_a_life_is_refused(hosted):
    assert [] == hosted["refused"]


def test_what_the_reference_signer_refuses_is_refused(hosted):
    assert hosted["answered"] == ANSWERED_ALL_THE_SAME


def test_what_only_a_careful_signer_refuses_is_refused_but_for_what_is_named(hosted):
    assert hosted["lax"] == STILL_ANSWERED


def cheated(number: int, done: dict[str, Any], where: dict[str, Any] | None) -> bool:
    """Whether a refused step follows the signature of a commitment which this node went on to revoke."""
    return number in (19, 20, 35, 36, 40) and where is not None and where["dbid"] in done["published"]


@pytest.mark.parametrize("name", LIGHTNINGD)
def test_a_real_node_is_answered_as_by_core_lightnings_own_signer(name):
    """Refused is what would cheat: a node that had a commitment signed for the chain, and then revoked it."""
    node = LIGHTNINGD[name]
    replay = Replay(keys_of(node), node["network"], Dialect.CORE_LIGHTNING)
    done: dict[str, Any] = {"published": set()}
    equal: Counter[int] = Counter()
    for step in node["steps"]:
        number, raw = number_of(step["raw"]), bytes.fromhex(step["raw"])
        if number not in NUMBERS:
            continue
        outcome = replay.ask(raw, step["on"])
        if isinstance(outcome, bytes):
            assert step["reply"] == outcome.hex()
            equal[number] += 1
        else:
            assert cheated(number, done, step["on"]), f"{number}: {outcome}"
        if number == 5:
            done["published"].add(codec.decode(raw).dbid)
    least = LIGHTNINGD_EQUAL[name]
    assert {} == {number: equal[number] for number in least if equal[number] < least[number]}


def test_the_cheater_is_refused_its_revocation():
    """Node a of the plain run signs its commitment 4 for the chain, goes on, and publishes it later."""
    node = LIGHTNINGD["plain-a"]
    replay = Replay(keys_of(node), node["network"], Dialect.CORE_LIGHTNING)
    refused = {}
    for step in node["steps"]:
        if number_of(step["raw"]) in NUMBERS:
            outcome = replay.ask(bytes.fromhex(step["raw"]), step["on"])
            if isinstance(outcome, Refused):
                refused.setdefault(outcome.rule, number_of(step["raw"]))
    assert 19 == refused["channel-closing"]
    assert 40 == refused["revoke-not-validated"]
    channel = next(channel for key, channel in replay.book.channels.items() if key.dbid == 3)
    assert (5, True) == (channel.next_holder, channel.published)


def test_tells_old_closing_scripts_as_core_lightning_does():
    checked = 0
    for session in vectors.load("cln_messages")["messages"]["sessions"]:
        replay = Replay(keys_of(session), session["network"], Dialect.CORE_LIGHTNING)
        for step in session["steps"]:
            if number_of(step["raw"]) == 24 and step["outcome"] == "reply":
                assert step["reply"] == replay.ask(bytes.fromhex(step["raw"]), None).hex()
                checked += 1
    assert checked == 30
