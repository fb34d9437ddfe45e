"""An approval that waits for a person: what is kept of it, for how long, and what a decision may still do."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signerd.core.devices import SHOWN_NAME, SHOWN_RESTRICTIONS, Device
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.runes.restriction import parse_restrictions, to_text
from signerd.core.runes.rune import Rune, authcode
from signerd.errors import Refused
from signerd.units import UnixTime

if TYPE_CHECKING:
    from signerd.core.keys.node import NodeKeys

MAX_WAITING, MAX_OF_ONE_DEVICE = 32, 8
"""A person reads no more. And one device that approves too much must not shut out the others."""


class State(enum.StrEnum):
    """How far it has come. The last three are final."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Item:
    """An approval that was held. Its `number` is given by the store, and is given once.

    The approving rune is kept as its restrictions alone, from which the node's secret makes it again: runes
    stand in no file of ours.
    """

    number: int
    digest: bytes
    approval: PairingApproval
    approver: str
    received: UnixTime
    expires: UnixTime
    """When its digest may be forgotten; it is past waiting long before."""
    state: State = State.WAITING
    rule: str = ""
    """Why it was denied, or what approved it."""

    @property
    def keys(self) -> frozenset[bytes]:
        """The devices that it is about, 65 bytes each: the one that asks, and the one that speaks for it."""
        return frozenset({bytes.fromhex(self.approval.device_id), self.approval.pubkey})

    def with_rune(self, keys: NodeKeys) -> PairingApproval:
        """The approval as it came."""
        restrictions = parse_restrictions(self.approver, with_id=True)
        rune = Rune(authcode(keys.rune_secret, restrictions), restrictions)
        return _with_rune(self.approval, rune.to_base64())


@dataclass(frozen=True, slots=True)
class Settled:
    """What a person decided. `outcome` is what the scheduler is to hear; None when it was decided before."""

    item: Item
    outcome: Approved | Denied | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What became of a revocation, the device that was meant first."""

    devices: tuple[Device, ...]
    new: tuple[bytes, ...]
    """The keys among them that were believed until now."""
    denied: tuple[Item, ...]
    """What waited for them or by them."""
    let_in: tuple[Device, ...]
    """What they let in, directly or not, and what is believed still."""


def to_hold(approval: PairingApproval) -> tuple[PairingApproval, str]:
    """The approval without its rune, and that rune's restrictions. The rune must have been checked."""
    return _with_rune(approval, ""), to_text(Rune.from_base64(approval.rune).restrictions)


def waits_until(item: Item, policy: PairingPolicy) -> UnixTime:
    """The last second in which it may be approved."""
    return UnixTime(item.approval.timestamp + policy.max_age_seconds)


def is_over(item: Item, policy: PairingPolicy, now: UnixTime) -> bool:
    """Whether it would not be accepted any more, also because this clock was set back."""
    ahead = item.approval.timestamp - now
    return now > waits_until(item, policy) or ahead > policy.max_ahead_seconds


def why_not_held(approval: PairingApproval, waiting: Sequence[Item]) -> Denied | None:
    """Why one more is not let in; None if it is."""
    if len(approval.device_name) > SHOWN_NAME or len(approval.restrictions) > SHOWN_RESTRICTIONS:
        return Denied(
            PairingRule.SIZE,
            f"a person reads no name over {SHOWN_NAME} characters and no restrictions over "
            f"{SHOWN_RESTRICTIONS}",
            hint="pair with a shorter name, and fewer restrictions",
        )
    of_this = sum(item.approval.pubkey == approval.pubkey for item in waiting)
    if len(waiting) >= MAX_WAITING or of_this >= MAX_OF_ONE_DEVICE:
        return Denied(
            PairingRule.INBOX_FULL,
            f"{len(waiting)} approvals wait for a person already, {of_this} of them by this device",
            hint="decide what waits (`signerd pairing list`), then approve again on the device; if you know "
            "nothing of them, revoke the device that approves so much (`signerd devices`)",
        )
    return None


def answer_again(item: Item) -> Denied | None:
    """What a copy of a decided approval gets; None when it was approved, and gets its rune again."""
    if item.state is State.DENIED:
        return Denied(
            PairingRule(item.rule) if item.rule in set(PairingRule) else PairingRule.OWNER,
            "this approval was denied before",
            hint="approve again on the device, if it was a mistake",
        )
    if item.state is State.EXPIRED:
        return Denied(
            PairingRule.EXPIRED,
            "nobody decided it in time",
            hint="approve again on the device, and decide sooner",
        )
    return None


def require_waiting(item: Item, wanted: State) -> None:
    """Refuse to decide what was decided otherwise; the same decision twice is no error. Raises Refused."""
    if item.state in (State.WAITING, wanted):
        return
    hints = {
        State.APPROVED: "`signerd devices revoke` takes back what a device may do",
        State.DENIED: "approve again on the device: that makes a new request",
        State.EXPIRED: "approve again on the device, and decide sooner",
    }
    raise Refused("pairing-not-waiting", f"request {item.number} is {item.state}", hint=hints[item.state])


def _with_rune(approval: PairingApproval, rune: str) -> PairingApproval:
    return PairingApproval(
        device_id=approval.device_id,
        timestamp=approval.timestamp,
        device_name=approval.device_name,
        restrictions=approval.restrictions,
        sig=approval.sig,
        pubkey=approval.pubkey,
        rune=rune,
    )
