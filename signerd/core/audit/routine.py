"""Which answers need not be on disk before they leave, and which bytes leave no digest behind.

Whatever is not listed is durable: its record is written in the transaction of the decision, before the answer
leaves. So is a listed request that is refused, or that changes what is remembered. What is listed changes
nothing, and gives nobody anything that money could be moved with and that an earlier, durable record does not
account for.
"""

from __future__ import annotations

from collections.abc import Mapping

from signerd.core.requests import Signed

ROUTINE: Mapping[int, str] = {
    1: "a shared secret of a handshake or an onion, many a second: no signature",
    2: "an announcement: gossip moves no money",
    3: "a channel update: gossip moves no money",
    4: "an announcement: gossip moves no money",
    6: "an announcement: gossip moves no money",
    9: "a connection inside the node: nothing is signed",
    10: "public keys",
    11: "the session's beginning: public keys; a change of the wire's version is a change",
    14: "a penalty that nodes ask for with each revocation, in case; it pays to our own wallet alone",
    18: "a public point of a commitment that is not revoked",
    20: "an HTLC transaction of a commitment whose own signature was recorded: up to 483 for each",
    22: "a question: whether a secret is ours",
    24: "a script of ours: nothing is signed",
    28: "a question: whether a key is ours",
    30: "a channel that is known already; a new one is a change",
    31: "parameters that are known already; new ones are a change",
    32: "a question about the chain, which this signer does not follow",
    33: "a developer's question",
    34: "a channel that is forgotten already; the first time is a change",
    37: "a funding that is in force already; a new one is a change",
    51: "a question: whether a payment would be approved; an approval is a change",
    52: "a question: whether a payment would be approved; an approval is a change",
    56: "a question: whether a key is ours",
    99: "has no answer",
    1000: "a sign of life",
    1006: "an announcement or an update: gossip moves no money",
    1012: "public keys",
    2008: "a sign of life",
}
"""Message type → why its answers may be written up to a second later."""

_POINT = 18
_POINT_ALONE = 36
"""Bytes of a reply that holds a point and no secret: type, point, and that there is no secret."""

SECRET_REQUESTS = frozenset({11, 14, 22, 36, 144})
"""Requests with a field for a secret (a test compares them with the wire)."""
SECRET_REPLIES = frozenset({1, 18, 27, 35, 40})
"""Requests whose replies have a field for a secret (a test compares them with the wire)."""


def is_routine(number: int, outcome: Signed) -> bool:
    """Whether the answer to a message of this type may leave before its record is on disk."""
    if number not in ROUTINE or not outcome.changes.empty:
        return False
    return number != _POINT or len(outcome.reply) == _POINT_ALONE
