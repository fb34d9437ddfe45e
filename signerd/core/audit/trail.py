"""The decisions that are not on disk yet: their numbers, their order, and what repeats too often to be each.

1. A number is given once, in the order of the decisions, and nothing that has one is dropped.
2. Whoever writes takes `pending`, or `with_more`, and says `written` when it is on disk; a write that
   fails changes nothing here.
3. Routine answers and refusals, which a node can cause as fast as it can ask, have a record each until too
   many in one minute are alike; after that they are counted, and the count is a record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from signerd.core.audit.record import Decision, Record
from signerd.core.state.book import ChannelId

WINDOW_SECONDS = 60
ALIKE = 30
"""Decisions in a window, alike in message, outcome, rule and channel, that have a record each."""
ROUTINE = 1000
REFUSED = 200
"""Routine answers and refusals in a window that have a record each, whatever they are."""
MOST_COUNTS = 32
"""Different counts that are kept at once; what is beyond goes into one of `various`."""
VARIOUS = "various"

_Key = tuple[str, str, str, str | None, ChannelId | None]


@dataclass(slots=True)
class _Window:
    """What had a record of its own in the minute that began at `start`."""

    start: int
    alike: Counter[_Key] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Count:
    """Decisions that have no record of their own, the first of them at `since`."""

    since: int
    number: int = 0
    latest: Decision | None = None

    def decision(self, key: _Key) -> Decision:
        """The one that stands for all: of the latest, with what is common to all of them."""
        assert self.latest is not None
        _, message, _, rule, channel = key
        return replace(
            self.latest,
            message=message,
            rule=rule,
            channel=channel,
            facts={},
            request_digest=None,
            reply_digest=None,
            count=self.number,
            since=self.since,
        )


class Trail:
    """In memory, behind a chain whose last record is `last`. Takes times from the decisions."""

    def __init__(self, last: int) -> None:
        self._next = last + 1
        self._pending: list[Record] = []
        self._window = _Window(0)
        self._counts: dict[_Key, _Count] = {}

    @property
    def pending(self) -> tuple[Record, ...]:
        """Numbered, and not on disk yet."""
        return tuple(self._pending)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to be written."""
        return not self._pending and not self._counts

    @property
    def last(self) -> int:
        """The latest number that was given."""
        return self._next - 1

    def add(self, decision: Decision) -> Record:
        """A routine answer: its record will be written with the next, or is counted and then has number 0."""
        if not self._has_its_own(decision):
            return self._count(decision)
        self._spend(decision)
        record = Record(self._next, decision)
        self._next += 1
        self._pending.append(record)
        return record

    def refused_too_often(self, decision: Decision) -> Record | None:
        """A refusal that is only counted; None for one that has to be written before it is told."""
        return None if self._has_its_own(decision) else self._count(decision)

    def with_more(self, *decisions: Decision) -> tuple[Record, ...]:
        """All that is pending and these, which have to be on disk before they are told."""
        return (*self._pending, *(Record(self._next + n, decision) for n, decision in enumerate(decisions)))

    def written(self, records: tuple[Record, ...]) -> None:
        """These are on disk: all that was pending, and perhaps more."""
        for record in records[len(self._pending) :]:
            if record.decision.is_refusal:
                self._spend(record.decision)
        del self._pending[: len(records)]
        if records:
            self._next = max(self._next, records[-1].number + 1)

    def close_counts(self) -> None:
        """Give the counts their numbers: from now on they are pending."""
        counts, self._counts = self._counts, {}
        for key, count in counts.items():
            self._pending.append(Record(self._next, count.decision(key)))
            self._next += 1

    def _has_its_own(self, decision: Decision) -> bool:
        window = self._window
        # Also when the clock is set back: a window that is not over for hours would only count.
        if not window.start <= decision.time < window.start + WINDOW_SECONDS:
            window = self._window = _Window(decision.time)
        key = _key(decision, decision.channel)
        most = REFUSED if decision.is_refusal else ROUTINE
        return window.alike[key] < ALIKE and window.kinds[decision.outcome] < most

    def _spend(self, decision: Decision) -> None:
        self._window.alike[_key(decision, decision.channel)] += 1
        self._window.kinds[decision.outcome] += 1

    def _count(self, decision: Decision) -> Record:
        window = self._window
        # Beyond the window's whole measure, channels are not told apart: the node makes them up.
        most = REFUSED if decision.is_refusal else ROUTINE
        channel = None if window.kinds[decision.outcome] >= most else decision.channel
        key = _key(decision, channel)
        if key not in self._counts and len(self._counts) >= MOST_COUNTS:
            rule = VARIOUS if decision.is_refusal else None
            key = (decision.kind, VARIOUS, decision.outcome, rule, None)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(decision.time)
        count.number += 1
        count.latest = decision
        return Record(0, decision)


def _key(decision: Decision, channel: ChannelId | None) -> _Key:
    return (decision.kind, decision.message, decision.outcome, decision.rule, channel)
