"""Answers that need nothing but the node's own keys."""

from __future__ import annotations

from signerd.core.keys import bip32
from signerd.core.keys.node import NodeKeys
from signerd.core.wire import codec
from signerd.core.wire import identity as wire
from signerd.errors import Refused


def ecdh(message: wire.Ecdh, keys: NodeKeys) -> bytes:
    """hsmd type 100: for BOLT 8 handshakes and BOLT 4 onions."""
    return codec.encode(wire.EcdhReply(keys.ecdh(message.point)))


def derive_secret(message: wire.DeriveSecret, keys: NodeKeys) -> bytes:
    """hsmd type 127. Labels live under their own base: none of them leads to a key of the node."""
    return codec.encode(wire.DeriveSecretReply(keys.derived_secret(message.info)))


def check_pubkey(message: wire.CheckPubKey, keys: NodeKeys) -> bytes:
    """hsmd type 128. Raises Refused for a hardened index: no wallet key has one."""
    if message.index >= bip32.HARDENED:
        raise Refused("wallet-hardened-index", f"wallet key {message.index} would be hardened")
    ours = keys.wallet_pubkey(message.index)
    return codec.encode(wire.CheckPubKeyReply(ours == message.pubkey))
