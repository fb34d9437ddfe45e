"""What a decision means in plain words: every rule, every message, once for all who tell of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from signerd.core.audit.decision import REVOKE_DEVICE, UNREADABLE
from signerd.core.audit.record import Decision, channel_name
from signerd.core.audit.trail import VARIOUS
from signerd.core.audit.words import facts_lines
from signerd.core.explain import channel_rules, onchain_rules, pairing_rules, session_rules
from signerd.core.explain.explanation import Explanation
from signerd.core.explain.messages import ASKED

REQUEST_RULES: Mapping[str, Explanation] = {
    **session_rules.RULES,
    **channel_rules.RULES,
    **onchain_rules.RULES,
}
"""Rules for the node's requests."""
PAIRING_RULES: Mapping[str, Explanation] = pairing_rules.RULES
"""Rules for pairing approvals; `malformed` is in both."""
RULES: Mapping[str, Explanation] = {**REQUEST_RULES, **PAIRING_RULES}

_VARIOUS = Explanation(
    "too many different refusals in one minute to be recorded one by one",
    "look at the records just before: the first of each kind are there",
)


@dataclass(frozen=True, slots=True)
class Told:
    """A decision in plain words; what is None does not apply."""

    asked: str
    outcome: str
    facts: tuple[str, ...]
    rule: str | None
    reason: str | None
    meaning: str | None
    remedy: str | None


def of_rule(rule: str) -> Explanation | None:
    """None for a rule that this signerd does not have."""
    return _VARIOUS if rule == VARIOUS else RULES.get(rule)


def of_decision(decision: Decision) -> Told:
    """What was asked, what became of it, and if it was refused, why and what to do."""
    known = None if decision.rule is None else of_rule(decision.rule)
    if decision.rule is not None and known is None:
        known = Explanation("this signerd does not have that rule", "ask the version that made the record")
    return Told(
        asked=_asked(decision),
        outcome=_outcome(decision),
        facts=facts_lines(decision.facts),
        rule=decision.rule,
        reason=decision.reason,
        meaning=None if known is None else known.meaning,
        remedy=None if known is None else known.remedy,
    )


def _asked(decision: Decision) -> str:
    if decision.message == REVOKE_DEVICE:
        return "you asked that a device is believed no more"
    if decision.kind == "pairing":
        return "a paired device approved a new one, and the scheduler asked for its rune"
    if decision.message == UNREADABLE:
        words = "something that is no message"
    elif decision.message == VARIOUS:
        words = "various things"
    else:
        words = ASKED.get(decision.message, "something that this signer does not know")
    where = "" if decision.channel is None else f", for channel {channel_name(decision.channel)}"
    return f"the node asked for {words} ({decision.message}){where}"


def _outcome(decision: Decision) -> str:
    if decision.count != 1:
        return f"{decision.count} alike were {decision.outcome}, and are counted in this one record"
    return f"it was {decision.outcome}"
