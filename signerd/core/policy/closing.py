"""Whether a mutual close pays us what is ours, and whether a splice stays within the channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from signerd.core.keys.node import NodeKeys
from signerd.core.policy import ownership
from signerd.core.policy.limits import Limits
from signerd.core.state.channel import ChannelState, Content, Funding
from signerd.core.tx import closing
from signerd.core.tx.closing import Terms
from signerd.core.tx.difference import first_difference
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.transaction import Transaction
from signerd.errors import Refused


@dataclass(frozen=True, slots=True)
class Balances:
    """What one commitment gives to each side, in satoshi."""

    holder_sat: int
    counterparty_sat: int


def balances(channel: ChannelState, funding: Funding) -> tuple[Balances, ...]:
    """Those of every commitment of this funding that may still be published, the peer's newest first.

    Raises Refused unless both sides have one, and none has an HTLC.
    """
    theirs = dict(channel.signed.contents if channel.signed else ()).get(funding.outpoint)
    ours = dict(channel.holder).get(funding.outpoint)
    if theirs is None or ours is None:
        raise Refused("policy-mutual-other", f"no commitments of both sides are known for {funding.outpoint}")
    pending = dict(channel.pending).get(funding.outpoint)
    own: Sequence[Content] = [ours] if pending is None else [ours, pending]
    if any(content.htlcs for content in (theirs, *own)):
        raise Refused("policy-mutual-no-pending-htlcs", "the channel has HTLCs pending")
    return (
        Balances(theirs.to_other_sat, theirs.to_broadcaster_sat),
        *(Balances(content.to_broadcaster_sat, content.to_other_sat) for content in own),
    )


def require_mutual_close(
    tx: Transaction, psbt: Psbt, channel: ChannelState, funding: Funding, *, wallet: NodeKeys, limits: Limits
) -> None:
    """Raises Refused unless this closes the channel to our advantage, whichever output is ours."""
    known = balances(channel, funding)
    if not 1 <= len(tx.outputs) <= 2:
        raise Refused("policy-mutual-other", f"a mutual close has one output or two, not {len(tx.outputs)}")
    # The likelier reading first: its refusal says more.
    readings = sorted(
        closing.readings(tx, funding.outpoint),
        key=lambda terms: abs(terms.holder_sat - known[0].holder_sat),
    )
    if words := first_difference(closing.compose(readings[0]), tx):
        raise Refused("policy-onchain-format-standard", f"this is not a mutual close of the channel: {words}")
    refusals: list[Refused] = []
    for terms in readings:
        try:
            _require_destination(terms, tx, psbt, channel, wallet)
            _require_values(terms, channel, known, limits)
        except Refused as refusal:
            refusals.append(refusal)
        else:
            break
    else:
        raise refusals[0]
    _require_fee(tx, funding, limits)


def require_splice(tx: Transaction, funding_scripts: Sequence[bytes]) -> None:
    """Raises Refused unless this moves the channel to another output that needs both sides' signatures.

    How much leaves the channel with it is not judged here. A commitment has no such output, so no revoked
    one passes for a splice.
    """
    if not any(output.script in funding_scripts for output in tx.outputs):
        raise Refused("splice-funding", "no output of the splice carries the channel on")


def _require_destination(
    terms: Terms, tx: Transaction, psbt: Psbt, channel: ChannelState, wallet: NodeKeys
) -> None:
    if not terms.holder_sat:
        return
    agreed = channel.ready.holder_shutdown_script
    if agreed:
        if terms.holder_script != agreed:
            raise Refused(
                "policy-mutual-destination-allowlisted", "our output is not to the script of the opening"
            )
        return
    for output, stated in zip(tx.outputs, psbt.outputs, strict=True):
        if (output.value, output.script) == (terms.holder_sat, terms.holder_script):
            index = ownership.named_index(stated)
            if index is not None and ownership.is_wallet_script(wallet, output.script, index):
                return
    raise Refused(
        "policy-mutual-destination-allowlisted", "our output is not to a wallet key that the PSBT names"
    )


def _require_values(terms: Terms, channel: ChannelState, known: Sequence[Balances], limits: Limits) -> None:
    """The side that pays the fee has what is left, so the other side's value is what can be compared."""
    for balance in known:
        if channel.ready.is_outbound:
            said, value, due = "the peer gets", terms.counterparty_sat, balance.counterparty_sat
        else:
            said, value, due = "we get", terms.holder_sat, balance.holder_sat
        # Too little for the peer is no loss of ours, and still not what both have agreed to.
        if abs(value - due) > limits.epsilon_sat:
            raise Refused(
                "policy-mutual-value-matches-commitment",
                f"{said} {value} sat, {abs(value - due)} sat {'more' if value > due else 'less'} than by the "
                "commitments",
            )


def _require_fee(tx: Transaction, funding: Funding, limits: Limits) -> None:
    fee = funding.value_sat - sum(output.value for output in tx.outputs)
    most = limits.max_feerate_per_kw * closing.signed_weight(tx) // 1000
    if not 0 <= fee <= most:
        raise Refused(
            "policy-mutual-fee-range", f"the mutual close pays {fee} sat of fee, at most {most} sat"
        )
