"""Every recorded script, played through the one door: equal to the reference signer, or safer and listed.

Of each step the recording says what the reference did and what a careful signer should do. Nothing is
allowed but: an equal answer; a refusal where it refused, or should have; an answer where it should have
given one. What is still answered although a client's command, a limit or shared state would be needed to
refuse it stands in LATER by name, and nothing else may.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from helpers import vectors, witnesses

from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context, Entry, PendingRequest, Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.core.tx.psbt import Psbt
from signerd.core.wire import codec
from signerd.core.wire.commitment import SignCommitmentTx
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

EQUAL = {
    "check_future_secret": 4,
    "check_outpoint": 53,
    "check_pubkey": 15,
    "derive_secret": 21,
    "ecdh": 35,
    "forget_channel": 9,
    "get_channel_basepoints": 99,
    "get_per_commitment_point": 207,
    "lock_outpoint": 53,
    "memleak": 3,
    "new_channel": 107,
    "node_info": 3,
    "ping": 3,
    "preapprove_invoice": 87,
    "preapprove_keysend": 3,
    "revoke_commitment_tx": 58,
    "setup_channel": 73,
    "sign_any_channel_announcement": 4,
    "sign_any_delayed_payment_to_us": 12,
    "sign_any_local_htlc_tx": 8,
    "sign_any_penalty_to_us": 12,
    "sign_any_remote_htlc_to_us": 8,
    "sign_bolt12": 1,
    "sign_channel_announcement": 4,
    "sign_channel_update": 10,
    "sign_delayed_payment_to_us": 4,
    "sign_gossip_message": 6,
    "sign_htlc_tx_mingle": 3,
    "sign_invoice": 4,
    "sign_local_htlc_tx": 8,
    "sign_mutual_close_tx": 8,
    "sign_node_announcement": 6,
    "sign_penalty_to_us": 4,
    "sign_remote_commitment_tx": 143,
    "sign_remote_htlc_to_us": 8,
    "sign_remote_htlc_tx": 90,
    "sign_withdrawal": 67,
    "validate_commitment_tx": 114,
    "validate_revocation": 78,
}
"""Message → answers that are the reference's to the byte, in all scripts."""
VERIFIED = {"get_heartbeat": 10, "sign_anchorspend": 2, "sign_commitment_tx": 12}


@dataclass
class Count:
    """What became of a script's steps, by kind; each entry names step and difference."""

    wrong: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    lax: set[str] = field(default_factory=set)
    equal: Counter[str] = field(default_factory=Counter)
    """Answers by message: the reference's to the byte."""
    verified: Counter[str] = field(default_factory=Counter)
    """Answers by message that cannot be: both sign the same, and well."""


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


@cache
def played(name: str) -> Count:
    script = SCRIPTS[name]
    signer = Signer(NodeKeys.derive(Secret(bytes.fromhex(script["seed"]))), script["network"])
    book, count = MemoryBook(), Count()
    for step in script["steps"]:
        outcome = signer.handle(request_of(step), book, NOW)
        if isinstance(outcome, Signed):
            book.apply(outcome.changes)
        judge(step, outcome, count, signer.keys, book)
    return count


def judge(
    step: dict[str, Any], outcome: Signed | Refusal, count: Count, keys: NodeKeys, book: MemoryBook
) -> None:
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
    compare(step, outcome, name, count, (keys, book))


def compare(
    step: dict[str, Any], outcome: Signed, name: str, count: Count, node: tuple[NodeKeys, MemoryBook]
) -> None:
    if step["type"] == HEARTBEAT:
        # It holds a time. Its signature is verified where heartbeats are (handlers/test_session.py).
        if len(step["reply"]) == 2 * len(outcome.reply) and step["reply"][:4] == outcome.reply[:2].hex():
            count.verified[step["name"]] += 1
        else:
            count.wrong.append(name)
    elif not step.get("deterministic", True):
        if signs_the_same(outcome.message, outcome.reply, bytes.fromhex(step["reply"]), *node):
            count.verified[step["name"]] += 1
        else:
            count.wrong.append(name)
    elif step["reply"] == outcome.reply.hex():
        count.equal[step["name"]] += 1
    elif step.get("should") != "either":
        count.wrong.append(f"{name}: {step['reply'][:80]}… is {outcome.reply.hex()[:80]}…")


def signs_the_same(message: Any, reply: bytes, theirs: bytes, keys: NodeKeys, book: MemoryBook) -> bool:
    """Whether both replies sign what was asked for, and well; they need not be the same bytes."""
    ours, reference = codec.decode(reply), codec.decode(theirs)
    if isinstance(message, SignCommitmentTx):
        channel_id = ChannelId(message.peer_id, message.dbid)
        channel_keys = keys.channel(message.peer_id, message.dbid)
        return all(
            witnesses.signs_commitment(message, answer, channel_keys, book.channels[channel_id])
            for answer in (ours, reference)
        )
    try:
        inputs = witnesses.signed(message.psbt, ours.psbt)
    except AssertionError:
        return False
    same = witnesses.without_randomness(ours.psbt) == witnesses.without_randomness(reference.psbt)
    return same and bool(inputs) and inputs == witnesses.signed(message.psbt, reference.psbt)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_answered_like_the_reference_or_more_carefully(name):
    count = played(name)
    assert count.wrong == []
    assert count.refused == []
    assert [step for step in count.answered if step != NOT_REVOKED_HERE] == []
    assert (NOT_REVOKED_HERE in count.answered) == name.startswith("attacks")
    assert LATER.get(name, set()) == count.lax


def test_so_many_answers_of_each_message_are_the_references():
    equal: Counter[str] = Counter()
    verified: Counter[str] = Counter()
    for name in SCRIPTS:
        equal += played(name).equal
        verified += played(name).verified
    assert dict(equal) == EQUAL
    assert dict(verified) == VERIFIED


def test_a_wrong_signature_with_randomness_in_it_is_noticed():
    script, found = SCRIPTS["force-anchors-in"], set()
    keys, book = NodeKeys.derive(Secret(bytes.fromhex(script["seed"]))), MemoryBook()
    for step in script["steps"]:
        outcome = Signer(keys, script["network"]).handle(request_of(step), book, NOW)
        if isinstance(outcome, Signed):
            book.apply(outcome.changes)
            if step["type"] != HEARTBEAT and not step.get("deterministic", True):
                found.add(step["type"])
                given = outcome.message, outcome.reply, bytes.fromhex(step["reply"]), keys, book
                assert signs_the_same(*given)
                assert not signs_the_same(given[0], spoiled(outcome.reply), *given[2:])
    assert {5, 147} == found


def spoiled(reply: bytes) -> bytes:
    """With another number in the middle of its signature."""
    message = codec.decode(reply)
    if hasattr(message, "psbt"):
        witness = [item.final_witness for item in Psbt.parse(message.psbt).inputs if item.final_witness]
        signature = witness[-1][0]
    else:
        signature = message.signature.signature
    return reply.replace(signature[20:24], bytes(4))
