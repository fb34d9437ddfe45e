"""The session itself: init, connections, the heartbeat, and what only developers ask."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signerd.core import startup
from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys import secp256k1
from signerd.core.state.book import Changes
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.tx.signing import Dialect
from signerd.core.wire import session as wire
from signerd.core.wire import tlv
from signerd.errors import Refused
from signerd.units import Network

OLDEST_VERSION = {Dialect.HOSTED: 5, Dialect.CORE_LIGHTNING: startup.MIN_VERSION}
"""Every Core Lightning since v24.02 offers 5. In version 4, validate_commitment_tx revokes."""

CAPABILITIES: Mapping[Dialect, tuple[int, ...]] = {
    Dialect.HOSTED: startup.CAPABILITIES,
    Dialect.CORE_LIGHTNING: (28, 56, 142, 147, 149, 29, 32, 34, 40, 41, 45, 51, 52),
}
"""Messages that are advertised, in the order in which the other signers have them."""

_SECRET_TYPE, _BIP86_BASE = 1, 2
# dev_preinit's fail_preapprove and no_preapprove_check. The third one is about warnings.
_SWITCHES = (1, 3)
# BIP 32's versions of public and private keys → a network whose public keys have them.
_KEY_VERSIONS: dict[tuple[int, int], Network] = {
    (0x0488B21E, 0x0488ADE4): "bitcoin",
    (0x043587CF, 0x04358394): "regtest",
}


@dataclass(frozen=True, slots=True)
class Tip:
    """A block: `block_hash` is 32 bytes in internal byte order, `time` its header's, in seconds."""

    block_hash: bytes
    height: int
    time: int


# Where a signer that follows no chain stands: the reference signer's own first block per network.
_TIPS: dict[Network, Tip] = {
    "bitcoin": Tip(
        bytes.fromhex("d62ebf084dfb33496486e661bbadb8215569435cd08d01000000000000000000"), 849700, 1719501924
    ),
    "testnet": Tip(
        bytes.fromhex("0a1e484bcb9f810557d2368e53f294ce9ad7add6169f5d24ab03000000000000"), 2862000, 1719509561
    ),
    "signet": Tip(
        bytes.fromhex("f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000"), 0, 1598918400
    ),
    "regtest": Tip(
        bytes.fromhex("06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f"), 0, 1296688602
    ),
}


def init(message: wire.Init, call: Call) -> Answer:
    """hsmd type 114 for the highest version that both sides speak.

    Raises Refused for keys of the node's choice, for another network, and where no version is common.
    """
    dev = (
        message.dev_privkey,
        message.dev_bip32_seed,
        message.dev_channel_secrets,
        message.dev_channel_shaseed,
    )
    if any(value is not None for value in dev):
        raise Refused("init-foreign-secret", "the node wants to choose the signer's keys")
    if call.dialect is Dialect.HOSTED:
        return Answer(_hosted_reply(message, call))
    reply = _plain_reply(message, call)
    node = call.book.node.agree(reply.version)
    return Answer(reply, Changes() if node == call.book.node else Changes(node=node))


def _hosted_reply(message: wire.Init, call: Call) -> wire.InitReply:
    """A hosted node's init is a constant: it says neither network nor passphrase."""
    if message.encryption_key is not None:
        raise Refused("init-foreign-secret", "the node wants to choose the signer's keys")
    if message.tlvs:
        raise Refused("init-unknown-tlv", f"init carries TLV type {message.tlvs[0][0]}, which is not ours")
    return _reply(message, call, call.network)


def _plain_reply(message: wire.Init, call: Call) -> wire.InitReply:
    """Core Lightning's. What opens the secret, which is open here, its own hsmd ignores for a plain one."""
    tlv.values(message.tlvs, wire.INIT_TLVS)
    keys_of = _KEY_VERSIONS.get((message.bip32_public_version, message.bip32_private_version))
    if keys_of is None or message.chain_hash != CHAIN_HASHES[call.network]:
        raise Refused("init-network", f"the node is not on {call.network}, and this signer is")
    bip86 = call.keys.bip86_key(keys_of)
    kind = ((_SECRET_TYPE, bytes([call.keys.kind])),)
    return _reply(message, call, keys_of, tlvs=kind if bip86 is None else (*kind, (_BIP86_BASE, bip86)))


def _reply(message: wire.Init, call: Call, keys_of: Network, tlvs: tlv.Records = ()) -> wire.InitReply:
    oldest = OLDEST_VERSION[call.dialect]
    if message.max_version < oldest or message.min_version > startup.MAX_VERSION:
        raise Refused(
            "init-version",
            f"the node speaks hsmd versions {message.min_version} to {message.max_version}, "
            f"this signer {oldest} to {startup.MAX_VERSION}",
        )
    return wire.InitReply(
        version=min(message.max_version, startup.MAX_VERSION),
        capabilities=CAPABILITIES[call.dialect],
        node_id=call.keys.node_id,
        ext_key=call.keys.ext_key(keys_of),
        bolt12_key=call.keys.bolt12_key,
        tlvs=tlvs,
    )


def dev_preinit(message: wire.DevPreinit, call: Call) -> Answer:
    """hsmd type 99, which has no reply: a developer's node sends it before init and does not wait.

    Raises Refused for what a developer could switch on: approvals that fail, capabilities that are missing.
    """
    del call
    switches = tlv.values(message.tlvs, wire.DEV_PREINIT_TLVS)
    on = [kind for kind in _SWITCHES if switches.get(kind)]
    if on:
        raise Refused("dev-preinit", f"developer switch {on[0]} is on, and this signer does not have it")
    return Answer(None)


def client_hsmfd(message: wire.ClientHsmfd, call: Call) -> Answer:
    """hsmd type 109; whoever holds the sockets connects. Raises MalformedMessage for what is no node id."""
    del call
    secp256k1.require_point(message.node_id, what="the new connection's node id")
    return Answer(wire.ClientHsmfdReply())


def memleak(message: wire.DevMemleak, call: Call) -> Answer:
    """hsmd type 133: there is nothing to look for."""
    del message, call
    return Answer(wire.DevMemleakReply(leak=False))


def ping(message: wire.Ping, call: Call) -> Answer:
    """The reference signer's own type 1100."""
    del call
    return Answer(wire.PingReply(message.id, "pong"))


def node_info(message: wire.NodeInfo, call: Call) -> Answer:
    """The reference signer's own type 1112: nothing that init does not say."""
    del message
    return Answer(wire.NodeInfoReply(call.network, call.keys.node_id, call.keys.ext_key(call.network)))


def heartbeat(message: wire.GetHeartbeat, call: Call) -> Answer:
    """hsmd type 2108: the signer's tip and time (44 bytes), signed with the key of m/0/0."""
    del message
    tip = _TIPS[call.network]
    beat = (
        tip.block_hash
        + tip.height.to_bytes(4, "big")
        + tip.time.to_bytes(4, "big")
        + (call.now & 0xFFFF_FFFF).to_bytes(4, "big")
    )
    signature = call.keys.sign_heartbeat(hashlib.sha256(b"vls" + b"heartbeat" + beat).digest())
    return Answer(wire.GetHeartbeatReply(bytes([len(signature)]) + signature + beat))


HANDLERS: Mapping[type[Any], Handler] = {
    wire.Init: init,
    wire.ClientHsmfd: client_hsmfd,
    wire.DevPreinit: dev_preinit,
    wire.DevMemleak: memleak,
    wire.Ping: ping,
    wire.NodeInfo: node_info,
    wire.GetHeartbeat: heartbeat,
}
