"""How things stand: every event changes it a little, and nothing else does.

A board is a value, and `after` a function of board, event and time: what it shows can be told from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from signerd.observe import events
from signerd.observe.event import Event

LinkState = Literal["not-yet", "connected", "lost"]
NodeState = Literal["not-yet", "not-scheduled", "attached", "detached"]

ANOTHER_WAS_QUICKER = "answer-not-taken"
"""Not our refusal: the node had its answer from another signer."""
ANSWER_REFUSED = "answer-refused"
"""Not our refusal either, but no service: the node does not take what we answer."""
STORE_FAILING = "store-failing"
"""Says nothing of requests: the store has a state of its own, which ends by itself."""

_NOT_OURS = {ANOTHER_WAS_QUICKER, ANSWER_REFUSED, STORE_FAILING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection that comes and goes. Times are Unix seconds."""

    state: LinkState | NodeState = "not-yet"
    uri: str = ""
    since: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    next_retry: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The node's requests, since the start."""

    answered: int = 0
    refused_by_rule: Mapping[str, int] = field(default_factory=dict)
    refused_in_a_row: int = 0
    answers_refused_in_a_row: int = 0
    """By the node."""
    last_answer: float | None = None
    """An answer is told while it travels: as long as the node refuses them, it is none."""
    last_answer_to: str | None = None
    last_refusal: float | None = None
    last_refusal_rule: str | None = None

    @property
    def refused(self) -> int:
        return sum(self.refused_by_rule.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All that is known. What a daemon cannot know yet is None, empty or "not-yet"."""

    started: float
    node_id: str = ""
    network: str = ""
    version: str = ""
    announced: str | None = None
    before: str | None = None
    upgraded: bool = False
    """MaybeUpgrade was accepted at least once: the start is over."""
    scheduler: Link = Link()
    node: Link = Link()
    tally: Tally = Tally()
    pairings_approved: int = 0
    pairings_refused: int = 0
    store_path: str = ""
    store_channels: int | None = None
    store_failing: str | None = None
    certificate_expires: int | None = None
    stuck: str | None = None
    stopping: str | None = None


def after(board: Board, event: Event, now: float) -> Board:
    """The board once this event has happened. Events that it does not show leave it as it is."""
    step = _STEPS.get(type(event))
    return board if step is None else step(board, event, now)


def _started(board: Board, event: events.Started, now: float) -> Board:
    return replace(
        board,
        node_id=event.node_id,
        network=event.network,
        version=event.version,
        announced=event.signer_version,
        scheduler=Link(uri=event.scheduler, since=now),
        node=Link(since=now),
    )


def _store_opened(board: Board, event: events.StoreOpened, _now: float) -> Board:
    return replace(board, store_path=event.path, store_channels=event.channels)


def _store_failing(board: Board, event: events.StoreFailing, _now: float) -> Board:
    return replace(board, store_failing=event.reason)


def _store_well(board: Board, _event: Event, _now: float) -> Board:
    # The node is asked anew, and may have nothing to ask.
    return replace(board, store_failing=None, tally=_nothing_in_a_row(board.tally))


def _certificate(board: Board, event: events.CertificateInUse, _now: float) -> Board:
    return replace(board, certificate_expires=event.expires)


def _upgraded(board: Board, event: events.Upgraded, _now: float) -> Board:
    return replace(
        board,
        upgraded=True,
        announced=event.signer_version,
        before=event.old_version or None,
        scheduler=replace(board.scheduler, next_retry=None),
    )


def _stream_open(board: Board, _event: Event, now: float) -> Board:
    return replace(board, scheduler=_now_in(board.scheduler, "connected", now))


def _stream_ended(board: Board, event: events.SchedulerStreamEnded, now: float) -> Board:
    return replace(board, scheduler=_failed(board.scheduler, "lost", event.reason, event.retry_seconds, now))


def _call_failed(board: Board, event: events.SchedulerCallFailed, now: float) -> Board:
    # The stream says whether the connection stands; a single call may fail on one that does.
    state: LinkState = "connected" if board.scheduler.state == "connected" else "lost"
    return replace(board, scheduler=_failed(board.scheduler, state, event.reason, event.retry_seconds, now))


def _not_scheduled(board: Board, _event: Event, now: float) -> Board:
    # It was waited for by a call that stands.
    return replace(
        board,
        node=_now_in(board.node, "not-scheduled", now),
        scheduler=replace(board.scheduler, next_retry=None),
    )


def _attached(board: Board, event: events.NodeAttached, now: float) -> Board:
    node = replace(_now_in(board.node, "attached", now), uri=event.uri, since=now)
    return replace(
        board,
        node=node,
        scheduler=replace(board.scheduler, next_retry=None),
        # Whether this stream takes answers is open again. What was refused before counts: a node that ends
        # its stream on each refusal is not served either.
        tally=replace(board.tally, answers_refused_in_a_row=0),
    )


def _detached(board: Board, event: events.NodeDetached, now: float) -> Board:
    return replace(board, node=_failed(board.node, "detached", event.reason, event.retry_seconds, now))


def _answered(board: Board, event: events.RequestAnswered, now: float) -> Board:
    tally = replace(board.tally, answered=board.tally.answered + 1, refused_in_a_row=0)
    if not tally.answers_refused_in_a_row:
        tally = replace(tally, last_answer=now, last_answer_to=event.message)
    return replace(board, tally=tally)


def _taken(board: Board, event: events.AnswersTaken, now: float) -> Board:
    tally = replace(board.tally, answers_refused_in_a_row=0, last_answer=now, last_answer_to=event.message)
    return replace(board, tally=tally)


def _refused(board: Board, event: events.RequestRefused, now: float) -> Board:
    old = board.tally
    # Rules are few and ours; a node cannot make this grow.
    counts = {**old.refused_by_rule, event.rule: old.refused_by_rule.get(event.rule, 0) + 1}
    tally = replace(
        old,
        refused_by_rule=counts,
        refused_in_a_row=old.refused_in_a_row + (event.rule not in _NOT_OURS),
        answers_refused_in_a_row=old.answers_refused_in_a_row + (event.rule == ANSWER_REFUSED),
        last_refusal=now,
        last_refusal_rule=event.rule,
    )
    return replace(board, tally=tally)


def _nothing_in_a_row(tally: Tally) -> Tally:
    return replace(tally, refused_in_a_row=0, answers_refused_in_a_row=0)


def _pairing_approved(board: Board, _event: Event, _now: float) -> Board:
    return replace(board, pairings_approved=board.pairings_approved + 1)


def _pairing_refused(board: Board, _event: Event, _now: float) -> Board:
    return replace(board, pairings_refused=board.pairings_refused + 1)


def _stuck(board: Board, event: events.Stuck, _now: float) -> Board:
    return replace(board, stuck=event.reason)


def _unstuck(board: Board, _event: Event, _now: float) -> Board:
    return replace(board, stuck=None)


def _stopping(board: Board, event: events.Stopping, _now: float) -> Board:
    return replace(board, stopping=event.reason)


def _now_in(link: Link, state: LinkState | NodeState, now: float) -> Link:
    since = link.since if link.state == state else now
    return replace(link, state=state, since=since, next_retry=None)


def _failed(link: Link, state: LinkState | NodeState, reason: str, retry_seconds: float, now: float) -> Link:
    return replace(
        _now_in(link, state, now), last_error=reason, last_error_at=now, next_retry=now + retry_seconds
    )


# Each step takes the one kind of event that stands beside it.
_STEPS: Mapping[type[Event], Callable[[Board, Any, float], Board]] = {
    events.Started: _started,
    events.StoreOpened: _store_opened,
    events.StoreFailing: _store_failing,
    events.StoreWell: _store_well,
    events.CertificateInUse: _certificate,
    events.Upgraded: _upgraded,
    events.SchedulerStreamOpen: _stream_open,
    events.SchedulerStreamEnded: _stream_ended,
    events.SchedulerCallFailed: _call_failed,
    events.NodeNotScheduled: _not_scheduled,
    events.NodeAttached: _attached,
    events.NodeDetached: _detached,
    events.RequestAnswered: _answered,
    events.AnswersTaken: _taken,
    events.RequestRefused: _refused,
    events.PairingApproved: _pairing_approved,
    events.PairingRefused: _pairing_refused,
    events.Stuck: _stuck,
    events.Unstuck: _unstuck,
    events.Stopping: _stopping,
}
