"""What is ours stays ours while a channel moves to another funding: in its commitments, and what we add.

A splice shows who pays in, but not who takes out: what goes to nobody we know may be ours or the peer's. As
with a withdrawal, only a client's command can say. So our balance may fall by as much as the channel does; it
never falls where the channel grows, and what the wallet adds has to come out in it. What the first commitment
of a splice gives us, beside that of the funding in force, stays ours in all that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from signerd.core.policy.commitment import Proposed
from signerd.core.policy.limits import Limits
from signerd.core.policy.onchain import Destination, Spend, final_txid
from signerd.core.state import gap
from signerd.core.state.channel import ChannelState, Contents, Funding
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.transaction import Outpoint, Output, Transaction
from signerd.errors import Refused

_RULE = "splice-balance"

ALLOWED_SAT = 1000
"""A main output below dust does not exist, before the splice or after it."""
_ELSEWHERE = (Destination.ELSEWHERE, Destination.HTLC)
_WITNESS_WEIGHT = 300
"""What an input's witness weighs at most, roughly: that of a 2-of-2 has 222."""


def share(proposed: Proposed) -> int:
    """What a commitment leaves us, in satoshi, and the fee if it is ours to pay.

    Only for comparing commitments with the same HTLCs: those of both sides may be in it.
    """
    if proposed.setup.is_outbound:
        return proposed.funding.value_sat - proposed.to_counterparty_sat
    return proposed.to_holder_sat


def require_fit(
    proposed: Proposed, channel: ChannelState, before: Contents, beside: Contents
) -> ChannelState:
    """The channel, that knows what sets a new funding's commitments apart from those of the one in force.

    `before` has the contents of the same side's commitment one number earlier, `beside` those with the same
    number; each is empty where it is not known any more. What has a commitment before is compared with that,
    elsewhere. Raises Refused.
    """
    outpoint = proposed.funding.outpoint
    if outpoint in dict(before) or outpoint in dict(beside):
        return channel
    if before:
        raise Refused(
            "splice-number",
            f"{outpoint} has no commitment {proposed.number - 1}: a splice begins with the one in force",
        )
    if not beside:
        return channel
    try:
        found = _gap(proposed, channel, beside)
    except Refused:
        # An opening by both sides is replaced by one with other amounts. A splice of a channel that has paid
        # nothing yet looks the same, until the funding in force is to be spent: see `require_spent`.
        if proposed.number or channel.splices:
            raise
        return channel
    return channel.remember_gap(outpoint, found, holder=proposed.holder)


def _gap(proposed: Proposed, channel: ChannelState, beside: Contents) -> int:
    """By how much more this leaves us than the commitment in force. Raises Refused if that is not enough."""
    outpoint, in_force = proposed.funding.outpoint, channel.funding(channel.in_force)
    content = dict(beside).get(in_force.outpoint)
    if content is None:
        raise Refused(
            "splice-number", f"commitment {proposed.number} of the funding in force is not known yet"
        )
    old = Proposed(proposed.setup, in_force, proposed.number, content, proposed.holder)
    if Counter(content.htlcs) != Counter(proposed.content.htlcs):
        raise Refused(_RULE, f"commitment {proposed.number} has other HTLCs in the splice than in force")
    least = gap.find(channel.gaps, outpoint, holder=proposed.holder)
    if least is None:
        if proposed.funding not in channel.later:
            raise Refused("splice-number", f"{outpoint} was replaced as the funding of this channel")
        least = min(0, proposed.funding.value_sat - in_force.value_sat)
    found = share(proposed) - share(old)
    if found + ALLOWED_SAT < least:
        raise Refused(
            _RULE,
            f"the splice leaves us {share(proposed)} sat, and {share(old) + least} sat are ours in it",
        )
    return found


def require_spent(tx: Transaction, channel: ChannelState) -> None:
    """Raises Refused unless a splice spends the funding in force, and takes nothing of ours from it.

    That funding's commitments are those that the new ones were compared with.
    """
    outpoints = {funding.outpoint for funding in channel.fundings}
    spent = [item.outpoint for item in tx.inputs if item.outpoint in outpoints]
    if len(spent) > 1 or (spent != [channel.in_force] and tx.txid not in channel.splices):
        raise Refused("splice-funding", f"the splice does not spend {channel.in_force}, which is in force")
    theirs = channel.signed.contents if channel.signed else ()
    for funding in channel.later:
        for contents, holder in ((channel.holder, True), (theirs, False)):
            known = gap.find(channel.gaps, funding.outpoint, holder=holder) is not None
            if funding.outpoint in dict(contents) and not known:
                raise Refused(_RULE, f"a commitment of {funding.outpoint} leaves us less than we have")


def require_outputs(tx: Transaction, fundings: Mapping[Outpoint, Output]) -> None:
    """Raises Refused if the transaction of a splice lacks one of these, which are known to come from it.

    Commitments for another value or key than the output's are worth nothing.
    """
    for outpoint, output in fundings.items():
        if outpoint.txid == tx.txid and tx.outputs[outpoint.index : outpoint.index + 1] != (output,):
            raise Refused("splice-funding", f"{outpoint} is not the funding that the channel was told of")


def require_fee(tx: Transaction, psbt: Psbt, limits: Limits) -> None:
    """Raises Refused if the transaction of a splice leaves more to the miner than a fee."""
    spent = [item.spent.value for item in psbt.inputs if item.spent is not None]
    if len(spent) != len(tx.inputs):
        raise Refused("onchain-utxo-missing", "the PSBT does not say what every input of the splice spends")
    fee = sum(spent) - sum(output.value for output in tx.outputs)
    weight = 4 * len(tx.without_witnesses()) + _WITNESS_WEIGHT * len(tx.inputs)
    most = limits.max_feerate_per_kw * weight // 1000
    if not 0 <= fee <= most:
        raise Refused("policy-onchain-fee-range", f"the splice pays a fee of {fee} sat, at most {most} sat")


def require_added(spend: Spend, destinations: Sequence[Destination]) -> None:
    """Raises Refused unless what the wallet adds to splices is ours in both sides' commitments after them."""
    carried = _carried(spend)
    funded = _funded(spend, destinations)
    if not any(outpoint in carried for channel, _ in funded for outpoint in _outpoints(channel)):
        return
    values = [0 if item.spent is None else item.spent.value for item in spend.psbt.inputs]
    ours = sum(values[number] for number in spend.inputs)
    others = sum(values) - ours - sum(values[number] for number in carried.values())
    outputs = list(zip(spend.psbt.tx.outputs, destinations, strict=True))
    back = sum(output.value for output, whose in outputs if whose is Destination.WALLET)
    elsewhere = sum(output.value for output, whose in outputs if whose in _ELSEWHERE)
    fee = sum(values) - sum(output.value for output, _ in outputs)
    # What others bring pays first for what goes elsewhere.
    least = ours - back - max(0, elsewhere + fee - others)
    gained = sum(_gain(channel, funding, carried) for channel, funding in funded)
    if gained + ALLOWED_SAT < least:
        raise Refused(_RULE, f"our wallet adds {least} sat to a splice, and our balance grows by {gained}")


def _carried(spend: Spend) -> dict[Outpoint, int]:
    """The inputs that carry channels of ours, and their numbers."""
    inputs = enumerate(spend.psbt.tx.inputs)
    return {
        item.outpoint: number
        for number, item in inputs
        if spend.book.channel_funded_by(item.outpoint) is not None
    }


def _funded(spend: Spend, destinations: Sequence[Destination]) -> list[tuple[ChannelState, Funding]]:
    """The channels that outputs carry on or open."""
    txid, found = final_txid(spend), []
    for number, whose in enumerate(destinations):
        outpoint = Outpoint(txid, number)
        channel_id = spend.book.channel_funded_by(outpoint) if whose is Destination.CHANNEL else None
        channel = channel_id and spend.book.channel(channel_id)
        if channel:
            found.append((channel, channel.funding(outpoint)))
    return found


def _outpoints(channel: ChannelState) -> list[Outpoint]:
    return [funding.outpoint for funding in channel.fundings]


def _gain(channel: ChannelState, funding: Funding, carried: Mapping[Outpoint, int]) -> int:
    """By how much our balance grows from the funding that is spent, if one is, to the new one."""
    spent = next((item for item in channel.fundings if item.outpoint in carried), None)
    theirs = channel.signed.contents if channel.signed else ()
    gains = []
    for contents, holder in ((channel.holder, True), (theirs, False)):
        shares = [_share_of(channel, item, contents, holder=holder) for item in (funding, spent) if item]
        gains.append(shares[0] - sum(shares[1:]))
    return min(gains)


def _share_of(channel: ChannelState, funding: Funding, contents: Contents, *, holder: bool) -> int:
    content = dict(contents).get(funding.outpoint)
    if content is None:
        whose = "our" if holder else "the peer's"
        raise Refused(_RULE, f"a splice moves {funding.outpoint}, for which {whose} commitment is not known")
    return share(Proposed(channel.ready, funding, 0, content, holder))
