"""Is this answer of a signer right, judged from the other side: without the secret, and by other means."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from signerd.core.keys import secp256k1
from signerd.dev.ledger import Registration

ECDH, INIT, DERIVE_SECRET, CHECK_PUBKEY, PING, HEARTBEAT = 1, 11, 27, 28, 1000, 2008
"""hsmd message types that are judged here."""

_HEARTBEAT_SIZE = 109


class WrongAnswer(Exception):
    """A reply that an honest signer of this node does not give."""


@dataclass(slots=True)
class Knowledge:
    """What the hosting side knows of a node. `points` are ours: point → the secret that we made it of."""

    registration: Registration
    points: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    @property
    def ext_key(self) -> bytes:
        """The 78-byte BIP 32 public key of m/0/0, as registered in the init message."""
        return self.registration.init_msg[69:147]


def check(request: bytes, reply: bytes, known: Knowledge) -> None:
    """Judge an hsmd reply (2-byte type first). Types that nothing is known of pass. Raises WrongAnswer."""
    if len(reply) < 2:
        raise WrongAnswer("the reply has no message type")
    judge = _JUDGES.get(int.from_bytes(request[:2], "big"))
    if judge is not None:
        judge(request, reply, known)


def child_public_key(ext_key: bytes, index: int) -> bytes:
    """The public key of the non-hardened child `index` of a 78-byte extended public key (BIP 32, CKDpub)."""
    chain_code, parent = ext_key[13:45], ext_key[45:78]
    digest = hmac.digest(chain_code, parent + index.to_bytes(4, "big"), hashlib.sha512)
    return secp256k1.add_to_point(parent, digest[:32])


def _ecdh(request: bytes, reply: bytes, known: Knowledge) -> None:
    body = _body(reply, 100, 32)
    secret = known.points.get(request[2:])
    if secret is not None and not hmac.compare_digest(
        body, secp256k1.ecdh(secret, known.registration.node_id)
    ):
        raise WrongAnswer("the shared secret is not the one that our own key gives")


def _init(_request: bytes, reply: bytes, known: Knowledge) -> None:
    if reply != known.registration.init_msg:
        raise WrongAnswer("the init reply is not the registered one")


def _derive_secret(request: bytes, reply: bytes, known: Knowledge) -> None:
    _body(reply, 127, 32)
    registered = dict(known.registration.startup).get(request)
    if registered is not None and not hmac.compare_digest(registered, reply):
        raise WrongAnswer("the derived secret is not the registered one")


def _check_pubkey(request: bytes, reply: bytes, known: Knowledge) -> None:
    body = _body(reply, 128, 1)
    index, claimed = int.from_bytes(request[2:6], "big"), request[6:]
    if body != bytes([child_public_key(known.ext_key, index) == claimed]):
        raise WrongAnswer("the verdict on the wallet key is not what the extended key says")


def _ping(request: bytes, reply: bytes, _known: Knowledge) -> None:
    if reply[:4] != (1100).to_bytes(2, "big") + request[2:4]:
        raise WrongAnswer("the pong does not repeat the ping's number")


def _heartbeat(_request: bytes, reply: bytes, _known: Knowledge) -> None:
    body = _body(reply, 2108, 2 + _HEARTBEAT_SIZE)
    if body[:3] != _HEARTBEAT_SIZE.to_bytes(2, "big") + b"\x40":
        raise WrongAnswer("the heartbeat does not begin with a signature of 64 bytes")


def _body(reply: bytes, message_type: int, size: int) -> bytes:
    found = int.from_bytes(reply[:2], "big")
    if found != message_type or len(reply) != 2 + size:
        raise WrongAnswer(
            f"expected type {message_type} with {size} bytes, got type {found} with {len(reply) - 2}"
        )
    return reply[2:]


_JUDGES: dict[int, Callable[[bytes, bytes, Knowledge], None]] = {
    ECDH: _ecdh,
    INIT: _init,
    DERIVE_SECRET: _derive_secret,
    CHECK_PUBKEY: _check_pubkey,
    PING: _ping,
    HEARTBEAT: _heartbeat,
}
