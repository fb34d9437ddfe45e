"""What a node's own keys sign, as Core Lightning's hsmd and the reference signer signed it."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers import vectors
from helpers.plain_nodes import keys_of

from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys, double_sha256
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.tx import signing
from signerd.core.tx.signing import Dialect
from signerd.core.wire import codec
from signerd.errors import MalformedMessage
from signerd.units import Secret

SESSIONS = vectors.load("cln_messages")["messages"]["sessions"]
LIGHTNINGD = [
    node for run in vectors.load("cln_messages")["messages"]["lightningd"]["runs"] for node in run["nodes"]
]
BASIC = [case for case in vectors.load("hsm")["cases"] if not case["script"].startswith("malformed")]


def packed(u5bytes: bytes) -> bytes:
    """Five bits a byte, most significant first, zero-padded."""
    bits = "".join(f"{byte:05b}" for byte in u5bytes)
    bits += "0" * (-len(bits) % 8)
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def gossip(node: NodeKeys, message, dialect: Dialect):
    nonce = signing.nonce_of(message.TYPE, dialect)
    if message.TYPE == 4:
        part = message.announcement[258:]
        channel = node.channel(message.peer_id, message.dbid)
        return node.sign_gossip(part, nonce), channel.sign_funding(double_sha256(part), nonce)
    whole = message.update if message.TYPE == 3 else message.announcement
    return (node.sign_gossip(whole[66:], nonce),)


def bolt12(node: NodeKeys, message):
    terms = message.message_name, message.field_name, message.merkle_root
    if message.TYPE == 25:
        return node.sign_bolt12(*terms, message.public_tweak)
    return node.sign_bolt12_as_node(*terms, label=message.info, tweak=message.public_tweak)


def lease(node: NodeKeys, message):
    limits = message.channel_fee_base_max_msat, message.channel_fee_proportional_basis_max
    return node.sign_lease(message.funding_pubkey, message.blockheight, *limits)


SIGN = {
    8: lambda node, message: node.sign_invoice(message.hrp, packed(message.u5bytes)),
    23: lambda node, message: node.sign_message(message.msg),
    25: bolt12,
    26: lease,
    41: bolt12,
    45: lambda node, message: node.sign_bitcoin_message(message.key_index, message.msg),
}
ASKED = (3, 4, 6, *SIGN)


def signed(node: NodeKeys, message, dialect: Dialect):
    """Every signature of our answer."""
    if message.TYPE in SIGN:
        return (SIGN[message.TYPE](node, message),)
    return gossip(node, message, dialect)


def told(reply):
    if reply.TYPE == 103:
        return (reply.update[2:66],)
    if hasattr(reply, "node_signature"):
        return reply.node_signature, reply.bitcoin_signature
    return (reply.signature,)


def compare(node, steps, dialect) -> Counter:
    done = Counter()
    for step in steps:
        if not step.get("reply") or int(step["raw"][:4], 16) not in ASKED or step.get("lax"):
            continue
        try:
            message = codec.decode(bytes.fromhex(step["raw"]))
        except MalformedMessage:
            continue
        assert signed(node, message, dialect) == told(codec.decode(bytes.fromhex(step["reply"]))), step
        done[message.TYPE] += 1
    return done


def test_signs_as_core_lightnings_own_signer_does():
    done = Counter()
    for recorded in SESSIONS + LIGHTNINGD:
        node = keys_of(recorded)
        done += compare(node, recorded["steps"], Dialect.CORE_LIGHTNING)
    assert {number: count for number, count in done.items() if count < 3} == {}
    assert set(done) == set(ASKED)


def test_signs_as_the_reference_signer_does():
    done = Counter()
    for case in BASIC:
        node = NodeKeys.derive(Secret(bytes.fromhex(case["seed"])))
        done += compare(node, case["steps"], Dialect.HOSTED)
    assert {number for number, count in done.items() if count >= 3} == {3, 4, 6, 8, 25}


@pytest.fixture
def node() -> NodeKeys:
    return NodeKeys.derive(Secret(b"\x01" * 32))


@pytest.mark.parametrize("index", [0, 1, 7, 2**31 - 1])
def test_signs_for_the_wallet_with_the_key_that_it_tells(node, index):
    digest, key = bytes(range(32)), node.wallet_pubkey(index)
    for nonce in Nonce:
        assert secp256k1.verify_compact(key, node.sign_wallet(index, digest, nonce), digest)
    signature = node.sign_wallet_taproot(index, digest)
    assert secp256k1.verify_schnorr(secp256k1.taproot_point(key), signature, digest)


@pytest.mark.parametrize("index", [-1, 2**31, 2**32])
def test_has_no_hardened_wallet_keys(node, index):
    with pytest.raises(ValueError, match="2\\^31"):
        node.sign_wallet(index, bytes(32), Nonce.PLAIN)
    with pytest.raises(ValueError, match="2\\^31"):
        node.sign_wallet_taproot(index, bytes(32))


def test_remembers_a_channels_keys(node):
    assert node.channel(node.node_id, 1) is node.channel(node.node_id, 1)
    assert node.channel(node.node_id, 1) is not node.channel(node.node_id, 2)


def test_refuses_a_bitcoin_message_that_is_too_long(node):
    assert len(node.sign_bitcoin_message(0, bytes(65535))) == 65
    with pytest.raises(ValueError, match="65535"):
        node.sign_bitcoin_message(0, bytes(65536))


def test_shows_no_wallet_or_channel_secret_in_any_repr(node):
    shown = " ".join(repr(getattr(node, name)) for name in NodeKeys.__slots__)
    wallet_secret = bytes.fromhex("07d1a985f093548201a13f7c97386cfbb885abbb9c7c7daecde38aedc9fc7866")
    assert secp256k1.public_key(wallet_secret) == node.wallet_pubkey(0)
    assert wallet_secret.hex() not in shown
    assert repr(wallet_secret)[2:12] not in shown
