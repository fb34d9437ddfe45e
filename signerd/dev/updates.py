"""What both sides of a channel have proposed and agreed on: HTLCs and feerates, step by step (BOLT 2).

Every update goes through five stages. Its proposer's partner has it in its commitment from SIGNED on, the
proposer in its own from SIGNED_BACK on; a stage between is when the commitment before is revoked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.fees import ANCHOR_SAT, commitment_fee
from signerd.core.tx.htlc import MSAT
from signerd.core.wire.composites import Side

PROPOSED, SIGNED, REVOKED, SIGNED_BACK, COMMITTED = range(5)

MAX_HTLCS = 483
"""For each side (BOLT 2)."""


def other(side: Side) -> Side:
    """The other one."""
    return Side.REMOTE if side is Side.LOCAL else Side.LOCAL


@dataclass(eq=False, slots=True)
class Update:
    """`by` is who proposed it."""

    by: Side
    stage: int = PROPOSED

    def holds_for(self, side: Side) -> bool:
        """Whether this side's newest commitment has it."""
        return self.stage >= (SIGNED_BACK if side is self.by else SIGNED)

    def sign(self, side: Side) -> bool:
        """This side's next commitment is signed by the other one; True if that brings the update in."""
        if self.stage == (REVOKED if side is self.by else PROPOSED):
            self.stage += 1
            return True
        return False

    def revoke(self, side: Side) -> None:
        """This side revokes the commitment before."""
        if self.stage == (SIGNED_BACK if side is self.by else SIGNED):
            self.stage += 1


@dataclass(eq=False, slots=True)
class Payment:
    """An HTLC, from its proposal until both sides have forgotten it."""

    by: Side
    amount_msat: int
    preimage: bytes = field(repr=False)
    cltv_expiry: int
    added: Update
    removed: Update | None = None
    fulfilled: bool = False
    known: bool = True
    """Whether its receiver knows the preimage."""

    @property
    def payment_hash(self) -> bytes:
        """32 bytes."""
        return hashlib.sha256(self.preimage).digest()

    @property
    def removable(self) -> bool:
        """Whether its receiver may fulfil or fail it."""
        return self.added.stage == COMMITTED and self.removed is None


@dataclass(frozen=True, slots=True)
class View:
    """What one side's commitment holds."""

    balances: dict[Side, int]
    """Millisatoshi, HTLCs not counted in."""
    payments: tuple[Payment, ...]
    feerate_per_kw: int

    def after(self, changes_msat: Mapping[Side, int]) -> View:
        """With other balances."""
        balances = {side: self.balances[side] + changes_msat[side] for side in Side}
        return View(balances, self.payments, self.feerate_per_kw)


@dataclass(eq=False, slots=True)
class Updates:
    """The updates of a channel. `balances` is what is settled for good, in millisatoshi."""

    format: CommitmentFormat
    funder: Side
    balances: dict[Side, int]
    feerate_per_kw: int
    reserve_sat: int
    payments: list[Payment] = field(default_factory=list)
    _feerates: list[tuple[Update, int]] = field(default_factory=list)
    leaving_msat: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    """What a splice in the making may take away from each side."""

    # Proposals.

    def room_msat(self, by: Side) -> int:
        """How much this side can offer now, whatever becomes of all that is open. 0 if nothing."""
        if sum(payment.by is by for payment in self.payments) >= MAX_HTLCS:
            return 0
        left = {side: self._worst(side) - self.reserve_sat * MSAT for side in Side}
        left[self.funder] -= self._cost_msat(self._highest_feerate(), more=1)
        return max(0, left[by]) if left[self.funder] >= 0 else 0

    def offer(self, by: Side, amount_msat: int, preimage: bytes, cltv_expiry: int) -> Payment:
        """Propose an HTLC. `amount_msat` is within the room."""
        payment = Payment(by, amount_msat, preimage, cltv_expiry, Update(by))
        self.payments.append(payment)
        return payment

    def remove(self, payment: Payment, *, fulfil: bool) -> None:
        """Propose its end, by its receiver; it must be removable."""
        payment.removed = Update(other(payment.by))
        payment.fulfilled = fulfil

    def affords(self, feerate_per_kw: int) -> bool:
        """Whether the funder can pay this feerate, whatever becomes of all that is open."""
        return self._worst(self.funder) >= self._cost_msat(feerate_per_kw, more=0) + self.reserve_sat * MSAT

    def change_feerate(self, feerate_per_kw: int) -> None:
        """Propose a feerate, by the funder."""
        self._feerates.append((Update(self.funder), feerate_per_kw))

    # Agreement.

    def pending(self, side: Side) -> bool:
        """Whether this side's next commitment would differ from its newest."""
        return any(update.stage == (REVOKED if side is update.by else PROPOSED) for update in self._all())

    def sign(self, side: Side) -> None:
        """This side's next commitment is signed by the other one."""
        for update in self._all():
            update.sign(side)

    def revoke(self, side: Side) -> None:
        """This side revokes its commitment before the newest. What both have agreed on is settled."""
        for update in self._all():
            update.revoke(side)
        for payment in [p for p in self.payments if p.removed and p.removed.stage == COMMITTED]:
            self.balances[payment.by] -= payment.amount_msat
            self.balances[other(payment.by) if payment.fulfilled else payment.by] += payment.amount_msat
            self.payments.remove(payment)
        while self._feerates and self._feerates[0][0].stage == COMMITTED:
            self.feerate_per_kw = self._feerates.pop(0)[1]

    def view(self, side: Side) -> View:
        """What this side's newest commitment holds."""
        balances = dict(self.balances)
        payments = []
        for payment in self.payments:
            if not payment.added.holds_for(side):
                continue
            balances[payment.by] -= payment.amount_msat
            if payment.removed is None or not payment.removed.holds_for(side):
                payments.append(payment)
            else:
                balances[other(payment.by) if payment.fulfilled else payment.by] += payment.amount_msat
        feerate = self.feerate_per_kw
        for update, changed in self._feerates:
            if update.holds_for(side):
                feerate = changed
        return View(balances, tuple(payments), feerate)

    @property
    def settled(self) -> bool:
        """Whether both commitments hold every update: no change is on its way (BOLT 2, quiescence)."""
        return all(update.stage == COMMITTED for update in self._all())

    def splice(self, changes_msat: Mapping[Side, int], reserve_sat: int) -> None:
        """The balances change from outside. Nothing else is under way."""
        for side in Side:
            self.balances[side] += changes_msat[side]
        self.leaving_msat = dict.fromkeys(Side, 0)
        self.reserve_sat = reserve_sat

    @property
    def quiet(self) -> bool:
        """Whether nothing is open: no HTLC, no change of the feerate."""
        return not self.payments and not self._feerates

    def _all(self) -> list[Update]:
        updates = [payment.added for payment in self.payments]
        updates += [payment.removed for payment in self.payments if payment.removed]
        return updates + [update for update, _ in self._feerates]

    def _worst(self, side: Side) -> int:
        offered = sum(p.amount_msat for p in self.payments if p.by is side)
        return self.balances[side] - self.leaving_msat[side] - offered

    def _highest_feerate(self) -> int:
        return max([self.feerate_per_kw, *(feerate for _, feerate in self._feerates)])

    def _cost_msat(self, feerate_per_kw: int, *, more: int) -> int:
        fee = commitment_fee(self.format, feerate_per_kw, len(self.payments) + more)
        return (fee + (2 * ANCHOR_SAT if self.format.anchors else 0)) * MSAT
