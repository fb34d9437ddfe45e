"""Recorded requests in order, and the signer as it is after each of them: where inputs begin.

The recordings are those in tests/vectors: the reference signer's scripts, and what two nodes of Core
Lightning asked their own signer. Some rare ones are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from helpers import plain_nodes, vectors

from fuzz.witness import Witness
from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context, Entry, PendingRequest, SigningRequest
from signerd.core.signer import Signer
from signerd.core.tx.signing import Dialect
from signerd.core.wire import channel, codec, identity, payments, sweep
from signerd.greenlight.pb import greenlight_pb2
from signerd.units import Secret, UnixTime

PREAPPROVE_INVOICE = (38).to_bytes(2, "big")
WILL_FUND_OFFER = 64
"""The permission of Core Lightning's opening daemon for that."""


@dataclass
class Life:
    """One node's requests. `witnesses` are as after so many of them, as far as anybody has asked."""

    name: str
    requests: Sequence[SigningRequest]
    witnesses: list[Witness] = field(repr=False)

    @classmethod
    def of(cls, name: str, secret: bytes, signer: Signer, requests: Sequence[SigningRequest]) -> Life:
        """`secret` is what must never be seen: the node's, or the first half of its seed."""
        now = UnixTime(vectors.load("hsm")["made_at"])
        return cls(name, requests, [Witness(signer, secret[:32], now)])

    def after(self, count: int) -> Witness:
        """A copy, to go on with."""
        while len(self.witnesses) <= count:
            witness = self.witnesses[-1].copy()
            witness.ask(self.requests[len(self.witnesses) - 1])
            self.witnesses.append(witness)
        return self.witnesses[count].copy()


def context_of(recorded: Mapping[str, Any] | None) -> Context | None:
    """The reference's recording names the bits `capabilities`, Core Lightning's `permissions`."""
    if recorded is None:
        return None
    bits = recorded.get("capabilities", recorded.get("permissions", 0))
    return Context(bytes.fromhex(recorded["node_id"]), recorded["dbid"], bits)


def asked(raw: str, context: Mapping[str, Any] | None) -> SigningRequest:
    """A message that came with nothing but its context."""
    return SigningRequest(1, bytes.fromhex(raw), context_of(context))


def request_of(step: Mapping[str, Any]) -> SigningRequest:
    """A step of the reference's recording."""
    pending = [
        greenlight_pb2.PendingRequest.FromString(bytes.fromhex(raw)) for raw in step.get("requests") or []
    ]
    return SigningRequest(
        id=1,
        raw=bytes.fromhex(step["raw"]),
        context=context_of(step["context"]),
        entries=tuple(
            Entry(entry["key"], entry["version"], bytes.fromhex(entry["value"]), b"")
            for entry in step.get("signer_state_sent") or []
        ),
        pending=tuple(
            PendingRequest(call.uri, call.request, call.signature, call.pubkey, call.timestamp, call.rune)
            for call in pending
        ),
    )


@cache
def lives() -> Sequence[Life]:
    """Every recording, once in each dialect that has it."""
    found = []
    for dialect in Dialect:
        for script in vectors.load("hsm")["cases"]:
            requests = [request_of(step) for step in script["steps"]]
            name = f"{script['script']}, {dialect.value}"
            secret = bytes.fromhex(script["seed"])
            signer = Signer(NodeKeys.derive(Secret(secret)), script["network"], dialect)
            found.append(Life.of(name, secret, signer, requests))
    for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"]:
        for node in run["nodes"]:
            requests = [asked(step["raw"], step["on"]) for step in node["steps"]]
            name = f"{run['run']}-{node['node']}"
            signer = Signer(plain_nodes.keys_of(node), node["network"], Dialect.CORE_LIGHTNING)
            found.append(Life.of(name, bytes.fromhex(node["secret"]), signer, requests))
    onchain = vectors.load("onchain")
    wallet = [asked(case["raw"], case["context"]) for case in onchain["cases"]]
    rare = _rare(found)
    secret = bytes.fromhex(onchain["secret"])
    for dialect in Dialect:
        signer = Signer(NodeKeys.derive(Secret(secret)), onchain["network"], dialect)
        for what, requests in (("onchain", wallet), ("rare", rare)):
            found.append(Life.of(f"{what}, {dialect.value}", secret, signer, requests))
    return found


def _rare(recorded: Sequence[Life]) -> list[SigningRequest]:
    """What a plain node can ask and nobody was recorded to ask."""
    raws = (request.raw for life in recorded for request in life.requests if life.name.startswith("basic"))
    invoice = next(codec.decode(raw).invstring for raw in raws if raw[:2] == PREAPPROVE_INVOICE)
    point = secp256k1.public_key(bytes([5]) * 32)
    messages: Sequence[codec.Message] = (
        channel.NewChannel(point, 1),
        sweep.GetOutputScriptpubkey(1, point, None),
        sweep.GetOutputScriptpubkey(1, point, point),
        payments.SignOptionWillFundOffer(point, 1, 2, 3),
        payments.PreapproveInvoiceCheck(invoice, check_only=True),
        payments.PreapproveInvoiceCheck(invoice, check_only=False),
        identity.CheckBip86PubKey(0, point),
    )
    opener = Context(point, 1, WILL_FUND_OFFER)
    return [
        SigningRequest(1, codec.encode(message), opener if message.TYPE == 26 else None)
        for message in messages
    ]
