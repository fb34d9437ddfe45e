"""Does this rune allow this call?

A call has a method, a key and a time. Any other field counts as missing, so that a restriction which we do
not understand forbids.
"""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signerd.core.runes.compare import holds
from signerd.core.runes.explain import briefly
from signerd.core.runes.restriction import Alternative, Restriction
from signerd.core.runes.rune import VERSION, Rune, authcode
from signerd.errors import Refused

if TYPE_CHECKING:
    from signerd.units import Secret, UnixTime


class RuneRule(enum.StrEnum):
    """Why a rune is refused. The names are stable."""

    AUTHCODE = "rune-authcode"
    UNBOUND = "rune-unbound"
    ID = "rune-id"
    METHOD = "rune-method"
    PUBKEY = "rune-pubkey"
    TIME = "rune-time"
    UNKNOWN_FIELD = "rune-unknown-field"
    RESTRICTION = "rune-restriction"


FIELDS = {
    "": RuneRule.ID,
    "method": RuneRule.METHOD,
    "pubkey": RuneRule.PUBKEY,
    "time": RuneRule.TIME,
}
"""The fields that a call has, and the rule for each. The empty one is the rune's own id."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """What is known of a call: `method` in lower case, `pubkey` as 130 lower-case hex digits, `time`."""

    method: str
    pubkey: str
    time: UnixTime


def check(rune: Rune, rune_secret: Secret, context: CallContext) -> None:
    """Raises Refused with a `RuneRule` unless the rune is ours, allows the call and names its key."""
    if not is_authentic(rune, rune_secret):
        raise Refused(
            RuneRule.AUTHCODE,
            "the rune was not made for this node, or it was changed",
            hint="get a rune that this node's signer made, and narrow it with `signerd rune restrict` only",
        )
    require_restrictions(rune.restrictions, context)
    if not is_bound(rune.restrictions, context.pubkey):
        raise Refused(
            RuneRule.UNBOUND,
            "the rune is not bound to the caller's key alone",
            hint="use a rune with a restriction pubkey=KEY that has no alternatives",
        )


def is_authentic(rune: Rune, rune_secret: Secret) -> bool:
    """Whether the authcode is what the secret (32 bytes) makes of the restrictions."""
    return hmac.compare_digest(authcode(rune_secret, rune.restrictions), rune.authcode)


def is_bound(restrictions: tuple[Restriction, ...], pubkey: str) -> bool:
    """Whether one restriction is just `pubkey=<pubkey>`: only then can no other key use the rune."""
    binding = Alternative("pubkey", "=", pubkey)
    return any(restriction.only == binding for restriction in restrictions)


def bound_key(restrictions: tuple[Restriction, ...]) -> str | None:
    """The only key that can use the rune, from its first restriction `pubkey=KEY`; None if any key may."""
    for restriction in restrictions:
        only = restriction.only
        if only and (only.field, only.op) == ("pubkey", "="):
            return only.value
    return None


def require_restrictions(restrictions: tuple[Restriction, ...], context: CallContext) -> None:
    """Raises Refused, naming the first restriction that does not hold. The authcode is not looked at."""
    values = {
        "": _unique_id(restrictions),
        "method": context.method,
        "pubkey": context.pubkey,
        "time": str(context.time),
    }
    for restriction in restrictions:
        if not any(holds(item, values.get(item.field)) for item in restriction.alternatives):
            raise Refused(
                _rule(restriction),
                f"the rune demands that {briefly(restriction)}",
                hint="use a rune that allows this call",
            )


def _unique_id(restrictions: tuple[Restriction, ...]) -> str:
    """What the rune's own id must look like; a rune without an id has nothing to compare with it."""
    for restriction in restrictions:
        for alternative in restriction.alternatives:
            if not alternative.field:
                return f"{alternative.value.partition('-')[0]}-{VERSION}"
    return ""


def _rule(restriction: Restriction) -> RuneRule:
    rules = {FIELDS.get(item.field, RuneRule.UNKNOWN_FIELD) for item in restriction.alternatives}
    return rules.pop() if len(rules) == 1 else RuneRule.RESTRICTION
