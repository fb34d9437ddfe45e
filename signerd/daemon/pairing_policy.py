"""The [pairing] table of the configuration as what the core decides by."""

from __future__ import annotations

from signerd.config import PairingConfig
from signerd.core.pairing import PairingPolicy
from signerd.core.pairing_auto import AutoRule, read_rules


def pairing_policy(config: PairingConfig) -> tuple[PairingPolicy, tuple[AutoRule, ...]]:
    """The policy and the rules for unattended use; the configuration was checked when it was read."""
    policy = PairingPolicy(
        mode=config.policy,
        allow_widening=config.allow_widening,
        max_age_seconds=config.max_age_seconds,
        max_ahead_seconds=config.max_ahead_seconds,
    )
    return policy, read_rules((rule.name, rule.restrictions, rule.daily_limit) for rule in config.auto)
