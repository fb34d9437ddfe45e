"""Is the daemon alive, and can it sign now? In one stable word, an exit code, and a reason for people."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `signerd health` needs the words alone, and is run every few seconds
    from signerd.observe.board import Board, Tally

REFUSING_AFTER = 10
"""So many refusals in a row, with no answer among them, and the node is not served, whatever else works."""


class Readiness(enum.StrEnum):
    """What stands between the node and a signature; in the order in which they are looked at."""

    READY = "ready"
    SEALED = "sealed"
    NOT_RUNNING = "not-running"
    STOPPING = "stopping"
    STUCK = "stuck"
    STORE_FAILING = "store-failing"
    STARTING = "starting"
    NODE_NOT_SCHEDULED = "node-not-scheduled"
    DETACHED = "detached"
    REFUSING = "refusing"

    @property
    def exit_code(self) -> int:
        """What `signerd health` leaves with. 69 is what every command says when nobody is there."""
        return _CODES[self]


_CODES = {
    Readiness.READY: 0,
    Readiness.STARTING: 20,
    Readiness.DETACHED: 21,
    Readiness.NODE_NOT_SCHEDULED: 22,
    Readiness.REFUSING: 23,
    Readiness.STORE_FAILING: 24,
    Readiness.SEALED: 25,
    Readiness.STUCK: 26,
    Readiness.STOPPING: 27,
    Readiness.NOT_RUNNING: 69,
}


@dataclass(frozen=True, slots=True)
class Health:
    """Alive: a restart would not help. Ready: what the node asks now would be answered now."""

    state: Readiness
    reason: str

    @property
    def live(self) -> bool:
        return self.state not in {Readiness.STUCK, Readiness.NOT_RUNNING, Readiness.SEALED}

    @property
    def ready(self) -> bool:
        return self.state is Readiness.READY


def health(board: Board) -> Health:
    """Of a daemon that runs, by what its board shows."""
    return _not_itself(board) or _not_connected(board) or _attached(board.tally)


def _not_itself(board: Board) -> Health | None:
    if board.stopping is not None:
        return Health(Readiness.STOPPING, f"it was told to stop ({board.stopping})")
    if board.stuck is not None:
        return Health(Readiness.STUCK, board.stuck)
    if board.store_failing is not None:
        return Health(Readiness.STORE_FAILING, board.store_failing)
    return None


def _not_connected(board: Board) -> Health | None:
    if not board.upgraded:
        return Health(Readiness.STARTING, _with_error("the scheduler has not been reached yet", board))
    if board.node.state != "attached":
        return _unattached(board)
    return None


def _attached(tally: Tally) -> Health:
    if tally.refused_in_a_row >= REFUSING_AFTER:
        return Health(
            Readiness.REFUSING,
            f"{tally.refused_in_a_row} requests in a row were refused, the last by {tally.last_refusal_rule}",
        )
    if tally.answers_refused_in_a_row >= REFUSING_AFTER:
        return Health(
            Readiness.REFUSING, f"the node refused the last {tally.answers_refused_in_a_row} answers"
        )
    return Health(Readiness.READY, "attached to the node, and answering")


def _unattached(board: Board) -> Health:
    if board.node.state == "not-scheduled" and board.scheduler.state != "lost":
        return Health(Readiness.NODE_NOT_SCHEDULED, "the scheduler does not say where the node runs")
    if board.scheduler.state == "lost":
        return Health(Readiness.DETACHED, _with_error("the scheduler is lost, and the node", board))
    error = f": {board.node.last_error}" if board.node.last_error else ""
    return Health(Readiness.DETACHED, f"not attached to the node{error}")


def _with_error(text: str, board: Board) -> str:
    error = board.scheduler.last_error
    return f"{text}: {error}" if error else text
