"""What a rule means, and what to do about it; the remedies that many rules share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """Both for people: without a capital and a full stop, as in the tables of the documentation."""

    meaning: str
    remedy: str


NODE = (
    "nothing here: an honest node does not ask this. If it repeats, send the record to the operator of the "
    "service, and open no new channels until you know why"
)
PEER = (
    "nothing here: the peer of the channel, or the node in its name, broke the protocol. If it repeats, "
    "close "
    "the channel"
)
DIFFERS = (
    "wait: after a reconnection the node mostly asks again, in order. If it repeats, node and signer "
    "disagree "
    "about the channel: stop any second signer, keep the store as it is, and close the channel"
)
LOSS = (
    "look at what the channel has paid; if you did not order it, close the channel and tell the operator of "
    "the service. Small losses wear off by themselves in some hours"
)
LOST = (
    "if you know the channel, the store may not be the newest one: stop signerd and bring that back. Else "
    "nothing: the node asked for a channel that there is not"
)
VERSIONS = (
    "compare the versions of node and signerd, and upgrade the older one; if they fit, send the record to"
    " the "
    "operator of the service"
)
