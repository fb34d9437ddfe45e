"""All that two real lightningd nodes asked while they opened, paid, spliced, closed, cheated and punished.

Every reply is Core Lightning's own, byte for byte, in the recorded order and in others in which the sockets
could have been read. Refused is a cheat, and what builds on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from helpers import plain_nodes, vectors
from helpers.family_player import context_of
from helpers.sockets import SIGN_COMMITMENT, shuffled, socket_of

from signerd.core.policy import payments
from signerd.core.requests import Refusal, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import MemoryBook
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.core.wire.commitment import SignCommitmentTx
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

NODES = {
    f"{run['run']}-{node['node']}": node
    for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"]
    for node in run["nodes"]
}
PREAPPROVE = 51

ANSWERED = {
    "splice-a": 291,
    "splice-b": 295,
    "plain-a": 442,
    "plain-b": 470,
}
"""Of 318, 295, 469 and 470 requests."""

CHEATING_CHANNEL = 3
AFTER_THE_CHEAT = {
    (19, "channel-closing"): 1,
    (19, "commitment-skipped"): 5,
    (20, "htlc-unknown"): 3,
    (35, "channel-closing"): 1,
    (35, "commitment-skipped"): 5,
    (36, "revocation-early"): 1,
    (36, "revocation-sequence"): 5,
    (40, "revoke-not-validated"): 6,
}
"""Node a has its current commitment of channel 3 signed for the chain, goes on, revokes it, and publishes it
after all. The next commitment and the revocation are refused, and so all that follows on that channel."""

Step = Mapping[str, Any]


class Replay:
    """One node's requests through the one door. The clock stands where the newest invoice was made."""

    def __init__(self, node: Mapping[str, Any], book: Any = None) -> None:
        self.signer = Signer(plain_nodes.keys_of(node), node["network"], Dialect.CORE_LIGHTNING)
        self.book = book or MemoryBook()
        self.now = UnixTime(max(_made(step) for step in node["steps"]))
        self.equal: Counter[int] = Counter()
        self.refused: Counter[tuple[int, str]] = Counter()

    def play(self, steps: Iterable[Step]) -> Replay:
        for step in steps:
            outcome = self.ask(step)
            if isinstance(outcome, Refusal):
                assert _is_after_the_cheat(step), outcome
                self.refused[step["type"], outcome.rule] += 1
            else:
                # dev_preinit has no reply.
                assert (step["reply"] or "") == outcome.reply.hex(), step["type"]
                self.equal[step["type"]] += 1
        return self

    def ask(self, step: Step):
        request = SigningRequest(1, bytes.fromhex(step["raw"]), context_of(step["on"]))
        outcome = self.signer.handle(request, self.book, self.now)
        if not isinstance(outcome, Refusal):
            remember = self.book.apply if isinstance(self.book, MemoryBook) else self.book.commit
            remember(outcome.changes)
        return outcome


def _made(step: Step) -> int:
    if step["type"] != PREAPPROVE:
        return 0
    found = payments.require_invoice(codec.decode(bytes.fromhex(step["raw"])).invstring)
    return getattr(found, "created_at", 0) or found.invoice.timestamp


def _is_after_the_cheat(step: Step) -> bool:
    return step["on"] is not None and step["on"]["dbid"] == CHEATING_CHANNEL


def _require_all(name: str, replay: Replay) -> None:
    asked = Counter(step["type"] for step in NODES[name]["steps"])
    refused = Counter(dict.fromkeys(asked, 0))
    for (number, _), count in replay.refused.items():
        refused[number] += count
    assert replay.equal == asked - refused
    assert (AFTER_THE_CHEAT if name.endswith("a") else {}) == replay.refused
    assert ANSWERED[name] == replay.equal.total()


@pytest.mark.parametrize("name", NODES)
def test_a_real_node_is_answered_in_full(name):
    _require_all(name, Replay(NODES[name]).play(NODES[name]["steps"]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NODES)
def test_a_real_node_is_answered_in_full_whichever_socket_comes_first(name, seed):
    steps = NODES[name]["steps"]
    order = shuffled(steps, seed)
    assert order != steps
    assert {socket_of(step) for step in steps} == {socket_of(step) for step in order}
    for socket in {socket_of(step) for step in steps}:
        assert [step for step in steps if socket_of(step) == socket] == [
            step for step in order if socket_of(step) == socket
        ]
    _require_all(name, Replay(NODES[name]).play(order))


@pytest.mark.parametrize("name", ["splice-a", "plain-b"])
def test_a_real_node_is_answered_in_full_by_a_signer_that_restarts(name, tmp_path):
    node, total = NODES[name], Counter()
    for first in range(0, len(node["steps"]), 10):
        with StateDb(tmp_path / "db") as store:
            replay = Replay(node, store).play(node["steps"][first : first + 10])
            total += replay.equal
    assert ANSWERED[name] == total.total()


@pytest.mark.parametrize("name", ["splice-a", "plain-a"])
def test_without_the_cheat_the_cheating_channel_is_answered_in_full_and_then_the_cheat_is_refused(name):
    node = NODES[name]
    cheat = next(step for step in node["steps"] if _is_publishing(step))
    honest = [step for step in node["steps"] if step is not cheat]
    replay = Replay(node).play(honest)
    assert (len(honest), Counter()) == (replay.equal.total(), replay.refused)
    outcome = replay.ask(cheat)
    assert isinstance(outcome, Refusal)
    assert outcome.rule == "commitment-revoked"


def _is_publishing(step: Step) -> bool:
    if step["type"] != SIGN_COMMITMENT:
        return False
    message = codec.decode(bytes.fromhex(step["raw"]))
    assert isinstance(message, SignCommitmentTx)
    return message.dbid == CHEATING_CHANNEL
