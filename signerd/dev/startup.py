"""Are these an init message and startup messages that a node can start from (hsmd types 11, 114, 27, 127)?"""

from __future__ import annotations

import grpc

from signerd.core.keys import secp256k1
from signerd.dev import rpc

INIT_MESSAGE_SIZE = 180
INIT_REQUEST = bytes.fromhex("000b" + "00" * 45 + "0000000400000006")
LABELS = (b"bolt12-invoice-base", b"scb secret", b"commando", b"node-alias-base", b"offer-blinded-path")
"""What a node derives secrets for before any signer is attached, in this order."""

_INIT_HEADER = bytes.fromhex("007200000006")
_EXT_KEY_VERSIONS = {"bitcoin": bytes.fromhex("0488b21e")}
_EXT_KEY_VERSION = bytes.fromhex("043587cf")
_INVALID = grpc.StatusCode.INVALID_ARGUMENT


def ext_key(init_msg: bytes) -> bytes:
    """The 78-byte BIP 32 key in an init message."""
    return init_msg[69:147]


def check(node_id: bytes, network: str, init_msg: bytes, messages: tuple[tuple[bytes, bytes], ...]) -> None:
    """Raises rpc.Refusal (INVALID_ARGUMENT) naming the first thing that is not right."""
    if len(init_msg) != INIT_MESSAGE_SIZE or not init_msg.startswith(_INIT_HEADER):
        raise rpc.Refusal(_INVALID, "the init message is not an hsmd type 114 of 180 bytes")
    if init_msg[36:69] != node_id:
        raise rpc.Refusal(_INVALID, "the init message is another node's")
    version = _EXT_KEY_VERSIONS.get(network, _EXT_KEY_VERSION)
    key = ext_key(init_msg)
    if key[:5] != version + b"\x02" or not secp256k1.is_point(key[45:]):
        raise rpc.Refusal(_INVALID, f"the extended key of the init message is none of {network}")
    if not secp256k1.is_point(init_msg[147:]):
        raise rpc.Refusal(_INVALID, "the bolt12 key of the init message is no compressed point")
    if [request for request, _ in messages] != [INIT_REQUEST, *(_derive_secret(name) for name in LABELS)]:
        raise rpc.Refusal(_INVALID, "the startup messages are not the six that a node asks")
    if messages[0][1] != init_msg:
        raise rpc.Refusal(_INVALID, "the first startup answer is not the init message")
    if any(answer[:2] != b"\x00\x7f" or len(answer) != 34 for _, answer in messages[1:]):
        raise rpc.Refusal(_INVALID, "a startup answer is no derived secret (type 127, 32 bytes)")


def _derive_secret(label: bytes) -> bytes:
    return b"\x00\x1b" + len(label).to_bytes(2, "big") + label
