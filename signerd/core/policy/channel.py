"""Which channels are set up at all: their type, size and delays, and where a mutual close will pay us."""

from __future__ import annotations

from signerd.core.keys.node import NodeKeys
from signerd.core.policy import ownership
from signerd.core.policy.limits import Limits
from signerd.core.state.channel import Funding, Setup
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.htlc import MSAT
from signerd.errors import Refused

_SAFE = frozenset({CommitmentFormat.STATIC_REMOTEKEY, CommitmentFormat.ANCHORS_ZERO_FEE_HTLC})


_LONGEST_SCRIPT = 83
"""Bytes: BOLT 2 allows no longer script for a shutdown."""
_LONGEST_TYPE = 64
"""Bytes: 512 features."""


def check_setup(setup: Setup, funding: Funding, wallet: NodeKeys, limits: Limits) -> None:
    """Raises Refused, and MalformedMessage for a channel type that nobody has defined."""
    if setup.format not in _SAFE:
        raise Refused("policy-channel-safe-type", f"channels of type {setup.format.value} are not signed for")
    if len(setup.counterparty_shutdown_script) > _LONGEST_SCRIPT or len(setup.channel_type) > _LONGEST_TYPE:
        raise Refused("channel-setup-size", "the peer's shutdown script or the channel's type is too long")
    check_value(funding, limits)
    if setup.push_msat > funding.value_sat * MSAT:
        raise Refused(
            "policy-routing-balanced", f"{setup.push_msat} msat cannot be pushed in {funding.value_sat} sat"
        )
    _check_delay("counterparty", setup.holder_delay, "we impose on the peer", limits)
    _check_delay("holder", setup.counterparty_delay, "the peer imposes on us", limits)
    _check_shutdown(setup, wallet)


def check_value(funding: Funding, limits: Limits) -> None:
    """Raises Refused for a channel of nothing, or of too much."""
    if not 0 < funding.value_sat <= limits.max_channel_size_sat:
        raise Refused(
            "policy-funding-max",
            f"a channel holds 1 to {limits.max_channel_size_sat} sat, not {funding.value_sat}",
        )


def _check_delay(side: str, delay: int, what: str, limits: Limits) -> None:
    if not limits.min_delay <= delay <= limits.max_delay:
        raise Refused(
            f"policy-channel-contest-delay-range-{side}",
            f"the delay that {what} is {delay} blocks, not {limits.min_delay} to {limits.max_delay}",
        )


def _check_shutdown(setup: Setup, wallet: NodeKeys) -> None:
    if not setup.holder_shutdown_script:
        return
    index = setup.holder_shutdown_index
    if index is None or not ownership.is_wallet_script(wallet, setup.holder_shutdown_script, index):
        raise Refused(
            "policy-mutual-destination-allowlisted",
            "the script for our share of a mutual close is not that of the wallet key that is named",
        )
