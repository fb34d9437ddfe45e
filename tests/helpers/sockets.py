"""In which other orders the sockets of a recorded node could have been read."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from signerd.core.wire import codec

CLIENT_HSMFD, SIGN_WITHDRAWAL, PREAPPROVE = 9, 7, 51
SIGN_COMMITMENT, SIGN_REMOTE_COMMITMENT = 5, 19

Socket = tuple[str, int, int] | None
"""Node id, dbid and permission bits; None is lightningd's own connection."""


def socket_of(step: Mapping[str, Any]) -> Socket:
    on = step["on"]
    return on and (on["node_id"], on["dbid"], on["permissions"])


def shuffled(steps: Sequence[Mapping[str, Any]], seed: int) -> list[Mapping[str, Any]]:
    """The steps with each socket's order kept, and each wait of one socket for another."""
    choice = random.Random(seed)
    waits = _waits(steps)
    queues: dict[Socket, deque[int]] = {}
    for number, step in enumerate(steps):
        queues.setdefault(socket_of(step), deque()).append(number)
    done: set[int] = set()
    order = []
    while queues:
        ready = [socket for socket, queue in queues.items() if waits[queue[0]] <= done]
        socket = choice.choice(ready)
        number = queues[socket].popleft()
        done.add(number)
        order.append(steps[number])
        if not queues[socket]:
            del queues[socket]
    return order


def _waits(steps: Sequence[Mapping[str, Any]]) -> list[set[int]]:
    """For each step those before it, on other sockets, without which it would not have been sent.

    A daemon waits for its socket; lightningd for what a channel's daemons did before it goes on with that
    channel, or signs a transaction of its wallet; a channel for the payments that were approved, and for
    the commitment that was signed for the chain.
    """
    opened: dict[Socket, int] = {}
    of_channel: dict[int, set[int]] = {}
    published: dict[int, set[int]] = {}
    approved: set[int] = set()
    waits = []
    for number, step in enumerate(steps):
        socket, kind = socket_of(step), step["type"]
        if socket is not None:
            dbid = socket[1]
            waits.append({opened[socket]} | published.get(dbid, set()))
            if kind == SIGN_REMOTE_COMMITMENT:
                waits[-1] |= approved
            if dbid:
                of_channel.setdefault(dbid, set()).add(number)
            continue
        message = codec.decode(bytes.fromhex(step["raw"]))
        dbid = getattr(message, "dbid", 0)
        waits.append(set(of_channel.get(dbid, ())))
        if kind == CLIENT_HSMFD:
            opened[message.node_id.hex(), dbid, message.permissions] = number
        elif kind == SIGN_WITHDRAWAL:
            waits[-1] = set().union(*of_channel.values())
        elif kind == PREAPPROVE:
            approved.add(number)
        elif kind == SIGN_COMMITMENT:
            published.setdefault(dbid, set()).add(number)
    return waits
