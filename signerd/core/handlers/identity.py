"""Answers that need nothing but the node's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core.handlers.call import Answer, Call, Handler
from signerd.core.keys import bip32
from signerd.core.tx.signing import Dialect
from signerd.core.wire import identity as wire
from signerd.errors import Refused


def ecdh(message: wire.Ecdh, call: Call) -> Answer:
    """hsmd type 100: for BOLT 8 handshakes and BOLT 4 onions."""
    return Answer(wire.EcdhReply(call.keys.ecdh(message.point)))


def derive_secret(message: wire.DeriveSecret, call: Call) -> Answer:
    """hsmd type 127. Labels live under their own base: none of them leads to a key of the node."""
    return Answer(wire.DeriveSecretReply(call.keys.derived_secret(message.info)))


def check_pubkey(message: wire.CheckPubKey, call: Call) -> Answer:
    """hsmd type 128, about m/0/0 whatever the wallet's keys are. Raises Refused for a hardened index."""
    _require_normal(message.index)
    ours = call.keys.account_pubkey(message.index)
    return Answer(wire.CheckPubKeyReply(ours == message.pubkey))


def check_bip86_pubkey(message: wire.CheckBip86PubKey, call: Call) -> Answer:
    """hsmd type 156. Raises Refused where the secret is 32 bytes, as Core Lightning's own hsmd does."""
    if not call.keys.kind.words:
        raise Refused("bip86-no-words", "BIP 86 keys come from words, and this node's secret is 32 bytes")
    _require_normal(message.index)
    ours = call.keys.wallet_pubkey(message.index)
    return Answer(wire.CheckBip86PubKeyReply(ours == message.pubkey))


def sign_bitcoin_message(message: wire.Bip137SignMessage, call: Call) -> Answer:
    """hsmd type 145, with a wallet key. Raises Refused for a hardened index: no wallet key has one."""
    _require_normal(message.key_index)
    signature = call.keys.sign_bitcoin_message(message.key_index, message.msg)
    return Answer(wire.Bip137SignMessageReply(signature))


def sign_message(message: wire.SignMessage, call: Call) -> Answer:
    """hsmd type 123, for a plain node. Raises Refused for a hosted one."""
    if call.dialect is Dialect.HOSTED:
        raise Refused(
            "sign-message", "a node may not have messages signed: the scheduler's challenges are messages"
        )
    return Answer(wire.SignMessageReply(call.keys.sign_message(message.msg)))


def _require_normal(index: int) -> None:
    if index >= bip32.HARDENED:
        raise Refused("wallet-hardened-index", f"wallet key {index} would be hardened")


HANDLERS: Mapping[type[Any], Handler] = {
    wire.Ecdh: ecdh,
    wire.DeriveSecret: derive_secret,
    wire.CheckPubKey: check_pubkey,
    wire.CheckBip86PubKey: check_bip86_pubkey,
    wire.Bip137SignMessage: sign_bitcoin_message,
    wire.SignMessage: sign_message,
}
