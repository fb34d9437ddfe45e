"""Whole channels, as other signers answered for them: same keys, same transactions, same signatures.

Every answer is recomputed from our keys and the channel's setup alone. What was signed must be what we
compose; and where the other signer adds no randomness, its signature must be ours.
"""

from __future__ import annotations

from collections import Counter

import pytest
from helpers import plain_nodes, vectors
from helpers.channel_life import Channel

from signerd.core.keys import commitment as keys_of
from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Transaction
from signerd.core.wire import codec
from signerd.units import Secret

HOSTED = {
    case["script"]: case
    for case in vectors.load("hsm")["cases"]
    if case["script"].startswith(("life", "force", "attacks"))
}
LIGHTNINGD = {
    f"{run['run']}-{node['node']}": node
    for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"]
    for node in run["nodes"]
}

# How many answers are recomputed at least, so that no loop below can run empty.
AT_LEAST = {
    "life": {10: 1, 18: 2, 19: 5, 20: 4, 21: 2, 35: 6, 36: 5, 40: 5},
    "force": {5: 1, 12: 1, 13: 2, 14: 1, 16: 2, 19: 2, 20: 2, 35: 3, 142: 3, 143: 2, 144: 3, 146: 2},
    "attacks": {10: 9, 18: 18, 19: 20, 20: 9, 35: 20, 36: 9, 40: 1},
    "splice-a": {5: 3, 10: 3, 14: 28, 18: 8, 19: 34, 20: 19, 21: 1, 29: 3, 35: 33, 36: 30, 40: 29, 142: 3},
    "splice-b": {
        5: 1,
        10: 3,
        14: 29,
        18: 7,
        19: 33,
        20: 18,
        21: 1,
        29: 1,
        35: 34,
        36: 29,
        40: 30,
        143: 3,
        144: 1,
    },
    "plain-a": {5: 2, 10: 3, 14: 49, 18: 6, 19: 58, 20: 48, 21: 1, 35: 53, 36: 55, 40: 50, 143: 6},
    "plain-b": {5: 2, 10: 3, 14: 50, 18: 7, 19: 53, 20: 42, 21: 1, 35: 58, 36: 50, 40: 55, 142: 2, 144: 1},
}


def seed_keys(case) -> NodeKeys:
    return NodeKeys.derive(Secret(bytes.fromhex(case["seed"])))


class Replay:
    """The channels of one recording."""

    def __init__(self, keys: NodeKeys, dialect: Dialect) -> None:
        self.node = keys
        self.dialect = dialect
        self.channels: dict[tuple[bytes, int], Channel] = {}
        self.revoked: dict[tuple[bytes, int], keys_of.RevokedSecrets] = {}
        self.points: dict[tuple[bytes, int, int], bytes] = {}
        self.done: Counter[int] = Counter()

    def play(self, raw: str, reply: str, context) -> None:
        number = int(raw[:4], 16)
        check = getattr(self, f"on_{number}", self.on_signature if int(reply[:4], 16) in (105, 112) else None)
        if check is None:
            return
        message = codec.decode(bytes.fromhex(raw))
        if hasattr(message, "dbid"):
            where = message.peer_id, message.dbid
        else:
            where = bytes.fromhex(context["node_id"]), context["dbid"]
        channel = self.channels.setdefault(where, Channel(self.node, *where, self.dialect))
        check(channel, message, codec.decode(bytes.fromhex(reply)), where)
        self.done[number] += 1

    def on_signature(self, channel, message, reply, where):
        if message.TYPE == 19:
            self.points[*where, message.commit_num] = message.remote_per_commitment_point
        assert channel.signed(message) == (reply.signature.signature, reply.signature.sighash)

    def on_5(self, channel, message, reply, where):
        if self.dialect is Dialect.CORE_LIGHTNING:
            self.on_signature(channel, message, reply, where)
            return
        # The reference signer signs our commitment with randomness, so its signature and ours are verified.
        digest = channel.funding_digest(Transaction.parse(message.tx.raw))
        for signature in (channel.signed(message)[0], reply.signature.signature):
            assert secp256k1.verify_compact(channel.keys.basepoints.funding, signature, digest)
            assert signature[0] < 0x80

    def on_10(self, channel, message, reply, where):
        ours, told = channel.keys.basepoints, reply.basepoints
        assert (ours.funding, ours.revocation) == (reply.funding_pubkey, told.revocation)
        assert (ours.payment, ours.htlc, ours.delayed) == (told.payment, told.htlc, told.delayed_payment)

    def on_18(self, channel, message, reply, where):
        assert reply.per_commitment_point == channel.keys.per_commitment_point(message.n)

    def on_22(self, channel, message, reply, where):
        assert reply.correct == channel.keys.is_secret(message.n, message.commitment_secret)

    def on_31(self, channel, message, reply, where):
        channel.set_up(message)

    def on_35(self, channel, message, reply, where):
        channel.verify(message)
        next_point = channel.keys.per_commitment_point(message.commit_num + 1)
        assert (reply.old_commitment_secret, reply.next_per_commitment_point) == (None, next_point)

    def on_36(self, channel, message, reply, where):
        secret, index = message.per_commitment_secret, keys_of.index_of(message.revoke_num)
        assert keys_of.point_of(secret) == self.points[*where, message.revoke_num]
        kept = self.revoked.get(where, keys_of.RevokedSecrets()).insert(index, secret)
        assert kept.secret_for(index) == secret
        self.revoked[where] = kept

    def on_40(self, channel, message, reply, where):
        assert reply.old_commitment_secret == channel.keys.release_secret(message.commit_num)
        assert reply.next_per_commitment_point == channel.keys.per_commitment_point(message.commit_num + 2)


def missing(done, least):
    return {number: done[number] for number, count in least.items() if done[number] < count}


@pytest.mark.parametrize("name", HOSTED)
def test_answers_for_a_channel_as_the_reference_signer_does(name):
    case = HOSTED[name]
    replay = Replay(seed_keys(case), Dialect.HOSTED)
    for step in case["steps"]:
        careless = step.get("lax") or step.get("should") in ("refuse", "either")
        if step["outcome"] == "reply" and not careless:
            replay.play(step["raw"], step["reply"], step["context"])
    assert missing(replay.done, AT_LEAST[name.split("-")[0]]) == {}


@pytest.mark.parametrize("name", LIGHTNINGD)
def test_answers_a_real_node_as_core_lightnings_own_signer_does(name):
    node = LIGHTNINGD[name]
    replay = Replay(plain_nodes.keys_of(node), Dialect.CORE_LIGHTNING)
    for step in node["steps"]:
        if step.get("reply"):
            replay.play(step["raw"], step["reply"], step["on"])
    assert missing(replay.done, AT_LEAST[name]) == {}


REPLAYED = {
    case["session"]: case
    for case in vectors.load("cln_messages")["messages"]["replay"]
    if case["session"].startswith(("life", "force"))
}


@pytest.mark.parametrize("name", REPLAYED)
def test_answers_a_recorded_channel_as_core_lightnings_own_signer_does(name):
    steps = HOSTED[name]["steps"]
    replay = Replay(seed_keys(HOSTED[name]), Dialect.CORE_LIGHTNING)
    for answer in REPLAYED[name]["steps"]:
        step = steps[answer["step"]]
        careless = step.get("lax") or step.get("should") in ("refuse", "either") or step["outcome"] != "reply"
        if answer["outcome"] == "reply" and not careless:
            reply = step["reply"] if answer["reply"] == "same" else answer["reply"]
            replay.play(step["raw"], reply, step["context"])
    least = {number: count for number, count in AT_LEAST[name.split("-")[0]].items() if number != 16}
    assert missing(replay.done, least) == {}
