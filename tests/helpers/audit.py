"""Decisions to record, and stores that hold some."""

from __future__ import annotations

from pathlib import Path

from signerd.core.audit.record import Decision, Record
from signerd.core.state.book import NO_CHANGES, ChannelId
from signerd.store import lineage
from signerd.units import NodeId

NODE = NodeId(b"\x02" * 33)
CHANNEL = ChannelId(b"\x03" * 33, 7)
NOW = 1_800_000_000


def answered(number: int = 1, **more: object) -> Decision:
    """One that went well."""
    fields: dict[str, object] = {
        "time": NOW + number,
        "kind": "request",
        "request_id": number,
        "message": "sign_withdrawal",
        "outcome": "answered",
        "facts": {"fee_sat": 150, "outputs": ("1000 sat to 0014",)},
        "request_digest": bytes([number % 256]) * 32,
    }
    return Decision(**(fields | more))  # type: ignore[arg-type]


def refused(number: int = 1, rule: str = "sweep-fee-range", **more: object) -> Decision:
    """One that did not."""
    return answered(
        number,
        **({"outcome": "refused", "rule": rule, "reason": "the sweep burns 9 sat", "facts": {}} | more),
    )


def fill(path: Path, count: int) -> None:
    """A store of NODE with so many records more."""
    with lineage.in_use(path, NODE) as store:
        first = store.audit_head.number + 1
        records = [Record(number, answered(number)) for number in range(first, first + count)]
        store.commit(NO_CHANGES, records)
