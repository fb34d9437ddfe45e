"""Who may ask what: which connection carries a message, and in which dialect it is spoken at all.

Core Lightning gives each of its daemons a connection with the permission bits that its job needs (hsmd
type 9); a node that states those bits in a request's context is held to them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from signerd.core.requests import Context
from signerd.core.tx.signing import Dialect
from signerd.core.wire.names import name_of
from signerd.errors import Refused


class Permission(enum.IntFlag):
    """Core Lightning's HSM_PERM bits."""

    ECDH = 1
    SIGN_GOSSIP = 2
    SIGN_ONCHAIN_TX = 4
    COMMITMENT_POINT = 8
    SIGN_REMOTE_TX = 16
    SIGN_CLOSING_TX = 32
    SIGN_WILL_FUND_OFFER = 64
    SIGN_SPLICE_TX = 128
    LOCK_OUTPOINT = 256
    MASTER = 1024
    """The main daemon's alone."""


MAIN_DAEMON = Permission.MASTER | Permission.SIGN_GOSSIP | Permission.ECDH
"""What lightningd's own connection may ask."""

_MESSAGES: Mapping[Permission, tuple[int, ...]] = {
    Permission.ECDH: (1,),
    Permission.SIGN_GOSSIP: (2, 3, 6),
    Permission.SIGN_ONCHAIN_TX: (12, 13, 14, 16),
    Permission.COMMITMENT_POINT: (18, 22, 31),
    Permission.SIGN_REMOTE_TX: (19, 20, 35, 36, 40),
    Permission.SIGN_CLOSING_TX: (21,),
    Permission.SIGN_WILL_FUND_OFFER: (26,),
    Permission.SIGN_SPLICE_TX: (29,),
    Permission.LOCK_OUTPOINT: (32, 37),
    Permission.MASTER: (
        4, 5, 7, 8, 9, 10, 11, 23, 24, 25, 27, 28, 30, 33, 34, 38, 39, 41, 45, 51, 52, 56, 99,
        142, 143, 144, 146, 147, 149, 1000, 1006, 1012, 2008,
    ),
}  # fmt: skip

NEEDED: Mapping[int, Permission] = {
    number: permission for permission, numbers in _MESSAGES.items() for number in numbers
}
"""Message → the bit that its connection must have."""
# Plain numbers: an enumeration's arithmetic costs more than the rest of a look at them.
_BITS = {number: int(permission) for number, permission in NEEDED.items()}
_MAIN_DAEMON, _ALL, _NOT_MAIN_DAEMON = int(MAIN_DAEMON), ~0, ~int(Permission.MASTER)

UNSPOKEN: Mapping[Dialect, frozenset[int]] = {
    # Not among the capabilities of the reference signer; its node's proxy keeps 9 and 99 to itself.
    Dialect.HOSTED: frozenset({9, 24, 26, 29, 45, 51, 52, 56, 99}),
    # 16 is gone since v26.04; the others are the reference signer's own.
    Dialect.CORE_LIGHTNING: frozenset({16, 1000, 1006, 1012, 2008}),
}
"""Dialect → messages that belong to the other one."""


def require_spoken(number: int, dialect: Dialect) -> None:
    """Raises Refused for a message that this dialect does not have."""
    if number in UNSPOKEN[dialect]:
        raise Refused("unsupported-message", f"{name_of(number)} is not asked on a {dialect.value} node")


def require_permission(number: int, context: Context | None) -> None:
    """Raises Refused where the connection that a message came on lacks the bit that it needs.

    A request without a context is the main daemon's. A context that states no bits (0) is not looked at,
    but for one thing: what is about a channel is not the main daemon's.
    """
    if _BITS.get(number, 0) & ~_held(context):
        needed = NEEDED[number].name
        raise Refused("permission", f"{name_of(number)} needs {needed}, which its connection lacks")


def _held(context: Context | None) -> int:
    if context is None:
        return _MAIN_DAEMON
    if context.capabilities:
        return context.capabilities
    return _NOT_MAIN_DAEMON if context.dbid else _ALL
