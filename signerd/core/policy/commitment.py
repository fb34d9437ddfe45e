"""What a commitment may hold: no dust, no more fee than its feerate, and nothing of ours given away."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from signerd.core.policy.limits import Limits
from signerd.core.state.channel import Content, Funding, Setup
from signerd.core.state.loss import Loss
from signerd.core.tx import fees
from signerd.core.tx.htlc import MSAT, Htlc
from signerd.errors import Refused
from signerd.units import UnixTime

CLTV_TIME = 500_000_000
"""From here on a lock time is a time, not a height (BIP 65)."""

_WEARS_OFF_A_DAY = 10
"""Times the loss that may be open wears off in a day: all of it in less than two and a half hours."""
_HIGHEST_LOSS = 1_000_000
"""Satoshi that may be open at any feerate."""
_MOST_BELOW_DUST = 2000
"""Satoshi in main outputs that do not exist: more than twice any dust limit in use."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A commitment that is about to be signed or validated. `holder` says that it is our own."""

    setup: Setup
    funding: Funding
    number: int
    content: Content
    holder: bool

    @property
    def to_holder_sat(self) -> int:
        """Our main output."""
        return self.content.to_broadcaster_sat if self.holder else self.content.to_other_sat

    @property
    def to_counterparty_sat(self) -> int:
        """The peer's main output."""
        return self.content.to_other_sat if self.holder else self.content.to_broadcaster_sat


def check(proposed: Proposed, limits: Limits) -> None:
    """Raises Refused for what no commitment may hold, whatever came before it."""
    _check_htlcs(proposed, limits)
    _check_dust(proposed, limits)
    _check_fee(proposed, limits)


def check_first(proposed: Proposed) -> None:
    """Raises Refused unless the first commitment has no HTLC, and gives of ours only what we push."""
    if proposed.content.htlcs:
        raise Refused("policy-commitment-first-no-htlcs", "the first commitment has HTLCs")
    pushed = proposed.setup.push_msat // MSAT
    if proposed.setup.is_outbound and proposed.to_counterparty_sat > pushed:
        raise Refused(
            "policy-commitment-initial-funding-value",
            f"the first commitment gives the peer {proposed.to_counterparty_sat} sat, we push {pushed} sat",
        )


def require_htlc_count(count: int, limits: Limits) -> None:
    """Raises Refused for more HTLCs than a commitment may have, before any work is done for them."""
    if count > limits.max_htlcs:
        raise Refused(
            "policy-commitment-htlc-count-limit", f"the commitment has {count} HTLCs, over {limits.max_htlcs}"
        )


def require_htlc_value(content: Content, limits: Limits) -> None:
    """Raises Refused for more money in HTLCs than a hosted node may have in flight in a channel."""
    value = sum(htlc.amount_sat for htlc in content.htlcs)
    if value > limits.max_htlc_value_sat:
        raise Refused(
            "policy-commitment-htlc-inflight-limit",
            f"the commitment has {value} sat in HTLCs, over {limits.max_htlc_value_sat} sat",
        )


def _check_htlcs(proposed: Proposed, limits: Limits) -> None:
    least = {offered: MSAT * _htlc_dust(proposed, limits, offered=offered) for offered in (True, False)}
    for htlc in proposed.content.htlcs:
        if htlc.amount_msat < least[htlc.offered]:
            raise Refused(
                "policy-commitment-outputs-trimmed",
                f"an HTLC of {htlc.amount_msat} msat is too small, {least[htlc.offered]} is the least",
            )
        if htlc.cltv_expiry >= CLTV_TIME:
            raise Refused(
                "policy-commitment-htlc-cltv-range", f"an HTLC expires at {htlc.cltv_expiry}, no block height"
            )


def _htlc_dust(proposed: Proposed, limits: Limits, *, offered: bool) -> int:
    commitment_format = proposed.setup.format
    if not commitment_format.pays_htlc_fees:
        return limits.dust_limit_sat
    fee = fees.htlc_fee(commitment_format, proposed.content.feerate_per_kw, offered=offered)
    return limits.htlc_dust_limit_sat + fee


def _check_dust(proposed: Proposed, limits: Limits) -> None:
    for value in (proposed.to_holder_sat, proposed.to_counterparty_sat):
        if 0 < value < limits.dust_limit_sat:
            raise Refused(
                "policy-commitment-outputs-trimmed",
                f"a main output of {value} sat is too small: {limits.dust_limit_sat} sat is the least",
            )


def _check_fee(proposed: Proposed, limits: Limits) -> None:
    content = proposed.content
    if content.feerate_per_kw > limits.max_feerate_per_kw:
        raise Refused(
            "policy-commitment-fee-range",
            f"a feerate of {content.feerate_per_kw} sat per kw is over {limits.max_feerate_per_kw}",
        )
    fee = _fee(proposed.funding, content)
    if fee < 0:
        raise Refused("policy-commitment-fee-range", "the commitment holds more than the channel")
    # The opening daemon does not tell the feerate of the first commitment.
    feerate = content.feerate_per_kw or limits.max_feerate_per_kw
    most = fees.commitment_fee(proposed.setup.format, feerate, len(content.htlcs)) + 2 * fees.ANCHOR_SAT
    # What has no output goes to the miner too: fractions of a satoshi, a main output below dust, small HTLCs.
    most += len(content.htlcs) + _MOST_BELOW_DUST
    if proposed.number:
        most += limits.max_dust_exposure_sat
    if fee > most:
        raise Refused(
            "policy-commitment-fee-range", f"the commitment leaves {fee} sat to the miner, over {most} sat"
        )


def check_balance(proposed: Proposed, before: Content, loss: Loss, now: UnixTime, limits: Limits) -> Loss:
    """What we have lost unexplained with this commitment. `before` is the same side's last one.

    What was ours stays ours, but for HTLCs that we offered and that are gone now: those may be paid. Which
    of them were, the signer is not shown. An HTLC too small for an output is not shown either: of such
    losses, some may be open at a time, and wear off. Raises Refused for more.
    """
    most = _most_lost(proposed, limits)
    gone = _gone(before, proposed.content)
    paid = sum(htlc.amount_sat for htlc in gone if htlc.offered is proposed.holder)
    least = _ours(proposed, before) - paid
    held = _ours(proposed, proposed.content)
    # What we gain by an HTLC that the peer offered is ours, and covers no loss.
    main = proposed.to_holder_sat - replace(proposed, content=before).to_holder_sat
    gained = min(sum(htlc.amount_sat for htlc in gone) - paid, max(0, main))
    fall = least - held if held < least else min(0, least + gained - held)
    after = loss.then(fall, now, most_sat=most, per_day_sat=_WEARS_OFF_A_DAY * most)
    if fall > 0 and after.sat > most:
        raise Refused(
            "commitment-balance",
            f"commitment {proposed.number} leaves us {held} sat of {least} sat, for no HTLC that we offered; "
            f"with earlier ones that is {after.sat} sat, over {most} sat at a time",
        )
    return after


def _most_lost(proposed: Proposed, limits: Limits) -> int:
    """Satoshi. Where HTLCs need fees of their own, more of a payment is too small for an output."""
    threshold = _htlc_dust(proposed, limits, offered=True)
    most = limits.max_dust_exposure_sat * max(1, threshold // limits.dust_limit_sat)
    return min(most, _HIGHEST_LOSS)


def _gone(before: Content, now: Content) -> list[Htlc]:
    """The HTLCs that are in the one commitment and not in the other, as often as it has more of them."""
    if before.htlcs == now.htlcs:  # as after a change of the feerate, and much quicker to see
        return []
    return list((Counter(before.htlcs) - Counter(now.htlcs)).elements())


def _ours(proposed: Proposed, content: Content) -> int:
    """Our main output, what we offer, and the fee if it is ours to pay: satoshi."""
    main = content.to_broadcaster_sat if proposed.holder else content.to_other_sat
    offered = sum(htlc.amount_sat for htlc in content.htlcs if htlc.offered is proposed.holder)
    fee = _fee(proposed.funding, content) if proposed.setup.is_outbound else 0
    return main + offered + fee


def _fee(funding: Funding, content: Content) -> int:
    """All that is in no output that holds money: fee, anchors, what was trimmed."""
    held = content.to_broadcaster_sat + content.to_other_sat + sum(htlc.amount_sat for htlc in content.htlcs)
    return funding.value_sat - held
