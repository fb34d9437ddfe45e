"""HTLCs and feerates that honest software would agree to, also parts of payments, and those near dust."""

from __future__ import annotations

from signerd.core.tx.fees import htlc_fee
from signerd.core.tx.htlc import MSAT
from signerd.core.wire.composites import Side
from signerd.dev import invoices
from signerd.dev.channel import Channel
from signerd.dev.choices import Choices
from signerd.dev.lifecycle import Life
from signerd.dev.steps import Steps
from signerd.dev.updates import COMMITTED, Payment

_MOST_DUST_SAT = 50_000
"""What Core Lightning exposes itself to in HTLCs that have no output."""
_FEERATES = (253, 1000, 5000, 25_000)
_EXPIRIES = (10, 2000)


def offer(life: Life, choices: Choices, channel: Channel, side: Side) -> Steps[None]:
    """One HTLC to three; some are parts of a payment that is under way, some of ours have an invoice."""
    for _ in range(choices.between(1, 3)):
        room = channel.updates.room_msat(side)
        if not room:
            return
        whole = _whole(choices, channel, side)
        amount = min(room, _amount(choices, channel, room, whole))
        if dust_sat(channel, channel.updates.feerate_per_kw, amount) > _MOST_DUST_SAT:
            return
        delta = choices.between(*_EXPIRIES)
        preimage = b""
        if whole is not None:
            preimage = whole.preimage
            if choices.one_in(2):
                delta = max(1, whole.cltv_expiry - life.world.chain.height)
        payment = life.offer(channel, side, amount, preimage, delta)
        payment.known = whole.known if whole else not choices.one_in(3)
        if side is Side.LOCAL and whole is None and choices.one_in(2):
            invoice = invoices.usual(life.world, payment.preimage, amount)
            for _ in range(choices.between(1, 2)):
                yield from invoices.approve_as(channel.peer, invoice)


def change_feerate(choices: Choices, channel: Channel) -> Steps[None]:
    """To any that the funder can pay, if not too much becomes dust by it."""
    least, most = _FEERATES[0], choices.among(_FEERATES[1:])
    feerate = choices.between(least, most)
    if channel.updates.affords(feerate) and dust_sat(channel, feerate) <= _MOST_DUST_SAT:
        channel.updates.change_feerate(feerate)
    yield from ()


def dust_sat(channel: Channel, feerate_per_kw: int, more_msat: int = 0) -> int:
    """What is in HTLCs that may have no output at this feerate, with one more of this amount."""
    feerate = max(feerate_per_kw, channel.updates.feerate_per_kw)
    least = _least_sat(channel, feerate)
    amounts = [payment.amount_msat for payment in channel.updates.payments] + [more_msat]
    return sum(amount for amount in amounts if amount < least * MSAT) // MSAT


def _whole(choices: Choices, channel: Channel, side: Side) -> Payment | None:
    """A payment under way, of which there is to be another part; or one that comes back to us."""
    if not choices.one_in(3):
        return None
    payments = channel.updates.payments
    over = {payment.preimage for payment in payments if payment.removed}
    under_way = [p for p in payments if p.preimage not in over and (p.by is side or p.known)]
    return choices.among(under_way) if under_way else None


def removable(channel: Channel) -> list[Payment]:
    """What its receiver may end now: it waits for the parts that it knows to be on their way."""
    payments = channel.updates.payments
    waiting = {payment.preimage for payment in payments if payment.added.stage < COMMITTED}
    return [payment for payment in payments if payment.removable and payment.preimage not in waiting]


def _amount(choices: Choices, channel: Channel, room: int, whole: Payment | None) -> int:
    if whole is not None and choices.one_in(2):
        return whole.amount_msat
    if choices.one_in(4):
        # By a millisatoshi more or less, it has an output or none.
        dust = channel.terms.dust_sat(choices.among(tuple(Side)))
        offered = choices.one_in(2)
        least = dust + htlc_fee(channel.format, channel.updates.feerate_per_kw, offered=offered)
        return least * MSAT + choices.among((-1000, -1, 0, 1, 999))
    most = choices.among((room, room // 10, 2_000_000, 300_000))
    return choices.between(1, max(1, min(most, room)))


def _least_sat(channel: Channel, feerate_per_kw: int) -> int:
    fee = max(htlc_fee(channel.format, feerate_per_kw, offered=offered) for offered in (False, True))
    return fee + max(channel.terms.dust_sat(side) for side in Side)
