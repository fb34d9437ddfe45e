"""Answers that need nothing but the node's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys import bip32
from signerd.core.wire import identity as wire
from signerd.errors import Refused


def ecdh(message: wire.Ecdh, call: Call) -> Answer:
    """hsmd type 100: for BOLT 8 handshakes and BOLT 4 onions."""
    return Answer(wire.EcdhReply(call.keys.ecdh(message.point)))


def derive_secret(message: wire.DeriveSecret, call: Call) -> Answer:
    """hsmd type 127. Labels live under their own base: none of them leads to a key of the node."""
    return Answer(wire.DeriveSecretReply(call.keys.derived_secret(message.info)))


def check_pubkey(message: wire.CheckPubKey, call: Call) -> Answer:
    """hsmd type 128. Raises Refused for a hardened index: no wallet key has one."""
    if message.index >= bip32.HARDENED:
        raise Refused("wallet-hardened-index", f"wallet key {message.index} would be hardened")
    ours = call.keys.wallet_pubkey(message.index)
    return Answer(wire.CheckPubKeyReply(ours == message.pubkey))


HANDLERS: Mapping[type[Any], Handler] = {
    wire.Ecdh: ecdh,
    wire.DeriveSecret: derive_secret,
    wire.CheckPubKey: check_pubkey,
}
