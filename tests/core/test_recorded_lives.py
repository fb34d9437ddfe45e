"""Every recorded script, played through the one door: equal to the reference signer, or safer and listed.

Of each step the recording says what the reference did and what a careful signer should do. Nothing is
allowed but: an equal answer; a refusal where it refused, or should have; an answer where it should have
given one. What is still answered although a client's command, a limit or shared state would be needed to
refuse it stands in LATER by name, and nothing else may.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from helpers import vectors

from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context, Entry, PendingRequest, Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import MemoryBook
from signerd.greenlight.pb import greenlight_pb2
from signerd.units import Secret, UnixTime

RECORDING = vectors.load("hsm")
NOW = UnixTime(RECORDING["made_at"])
HEARTBEAT = 2008
SCRIPTS = {script["script"]: script for script in RECORDING["cases"]}

BASIC = {
    "preapprove_invoice with a Pay for another invoice",
    "preapprove_invoice without a request",
    "preapprove_invoice: Pay in upper case, message in lower case",
    "preapprove_keysend without a request",
    "sign_bolt12 plain",
    "sign_bolt12 with tweak",
    "sign_invoice for a hash already used, other amount",
    "sign_invoice whose amount differs from the request",
    "sign_invoice with a Pay request pending",
    "sign_invoice without a request",
}
AUTH = {
    "other key, own signature, stolen rune",
    "pubkey compressed",
    "pubkey empty",
    "request for another invoice",
    "request of another type (Invoice)",
    "rune cut to 32 bytes",
    "rune empty",
    "rune expired",
    "rune method=Pay",
    "rune method=invoice",
    "rune method^list|method^get",
    "rune of 10 bytes",
    "rune of another node",
    "rune with an unknown field",
    "signature DER",
    "signature empty",
    "signature flipped",
    "signature of another key",
    "timestamp altered",
    "timestamp present but not signed",
    "timestamp signed but sent as 0",
    "timestamp ten years ahead",
    "timestamp ten years old",
    "uri empty",
    "uri greenlight.Node/Pay",
    "uri in lower case",
    "uri of an unknown method",
    "uri of an unknown service",
    "uri with more path",
    "uri without a method",
}
WITHDRAWAL = {
    "payment to an unknown destination without a request",
    # It is recognised as ours by derivation: what it lacks is only the node's word for it.
    "wallet output without derivation info",
}
ATTACKS = {"sign_remote_commitment_tx 1 for an HTLC that was never approved"}

LATER: dict[str, set[str]] = {
    "basic-regtest": BASIC,
    "basic-bitcoin": BASIC,
    "withdrawal-regtest": WITHDRAWAL,
    "withdrawal-bitcoin": WITHDRAWAL,
    "auth": AUTH,
    "attacks-static": ATTACKS,
    "attacks-anchors": ATTACKS,
}
"""Script → steps that only a client's command, a limit or shared state can tell from good ones."""

NOT_REVOKED_HERE = "sign_commitment_tx 0 after it was revoked (sign_commitment_tx)"
"""The revocation just before it is refused here, because the commitment was signed for the chain. So it is
not revoked, and asking again for the same signature gets the same one."""


@dataclass
class Count:
    """What became of a script's steps, by kind; each entry names step and difference."""

    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    lax: set[str] = field(default_factory=set)
    equal: Counter[str] = field(default_factory=Counter)


def request_of(step: dict[str, Any]) -> SigningRequest:
    context, sent = step["context"], step.get("signer_state_sent") or []
    pending = [
        greenlight_pb2.PendingRequest.FromString(bytes.fromhex(raw)) for raw in step.get("requests") or []
    ]
    return SigningRequest(
        id=1,
        raw=bytes.fromhex(step["raw"]),
        context=None
        if context is None
        else Context(bytes.fromhex(context["node_id"]), context["dbid"], context["capabilities"]),
        entries=tuple(Entry(e["key"], e["version"], bytes.fromhex(e["value"]), b"") for e in sent),
        pending=tuple(
            PendingRequest(p.uri, p.request, p.signature, p.pubkey, p.timestamp, p.rune) for p in pending
        ),
    )


def play(script: dict[str, Any]) -> Count:
    signer = Signer(NodeKeys.derive(Secret(bytes.fromhex(script["seed"]))), script["network"])
    book, count = MemoryBook(), Count()
    for step in script["steps"]:
        outcome = signer.handle(request_of(step), book, NOW)
        if isinstance(outcome, Signed):
            book.apply(outcome.changes)
        judge(step, outcome, count)
    return count


def judge(step: dict[str, Any], outcome: Signed | Refusal, count: Count) -> None:
    name, should = f"{step['what']} ({step['name']})", step.get("should")
    if isinstance(outcome, Refusal):
        if should == "answer" or (should is None and step["outcome"] == "reply"):
            count.refused.append(f"{name}: {outcome}")
        return
    if should == "refuse":
        if step["outcome"] == "reply":
            count.lax.add(step["what"])
        else:
            count.answered.append(name)
        return
    if step["outcome"] != "reply":
        if should not in ("either", "answer"):
            count.answered.append(name)
        return
    compare(step, outcome, name, count)


def compare(step: dict[str, Any], outcome: Signed, name: str, count: Count) -> None:
    if step["type"] == HEARTBEAT or not step.get("deterministic", True):
        if len(step["reply"]) == 2 * len(outcome.reply) and step["reply"][:4] == outcome.reply[:2].hex():
            count.equal[step["name"]] += 1
        else:
            count.wrong.append(name)
    elif step["reply"] == outcome.reply.hex():
        count.equal[step["name"]] += 1
    elif step.get("should") != "either":
        count.wrong.append(f"{name}: {step['reply'][:80]}… is {outcome.reply.hex()[:80]}…")


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_answered_like_the_reference_or_more_carefully(name):
    count = play(SCRIPTS[name])
    assert count.wrong == []
    assert count.refused == []
    assert [step for step in count.answered if step != NOT_REVOKED_HERE] == []
    assert (NOT_REVOKED_HERE in count.answered) == name.startswith("attacks")
    assert LATER.get(name, set()) == count.lax
