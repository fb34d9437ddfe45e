"""What /livez, /readyz and /startupz answer: whether it lives, can sign now, and is past its start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from signerd.observe import events
from signerd.observe.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`state` is one word that programs match on; `reason` is for people."""

    started: bool
    live: bool
    ready: bool
    state: str
    reason: str

    def document(self, answer: bool) -> bytes:  # noqa: FBT001 - the answer to one of three questions
        """As JSON, for whoever asked one of the questions."""
        told = {"v": 1, "ok": answer, "state": self.state, "reason": self.reason}
        return json.dumps(told).encode() + b"\n"


Judge = Callable[[], Verdict]


class StreamJudge:
    """Judges by the streams alone: ready is who could be asked for a signature right now."""

    def __init__(self) -> None:
        self._started = False
        self._scheduler = False
        self._node = False

    def hear(self, event: Event) -> None:
        """One event more."""
        match event:
            case events.Upgraded():
                self._started = True
            case events.SchedulerStreamOpen():
                self._scheduler = True
            case events.SchedulerStreamEnded():
                self._scheduler = False
            case events.NodeAttached():
                self._node = True
            case events.NodeDetached():
                self._node = False
            case _:
                pass

    def __call__(self) -> Verdict:
        if self._node:
            # Who is attached signs, also while the scheduler is away.
            return self._is("ready", "attached to the node")
        if not self._started:
            return self._is("starting", "the scheduler has not answered yet")
        if not self._scheduler:
            return self._is("detached", "no connection to the scheduler")
        return self._is("detached", "not attached to the node: it does not run, or is not reached")

    def _is(self, state: str, reason: str) -> Verdict:
        return Verdict(
            started=self._started or self._node, live=True, ready=state == "ready", state=state, reason=reason
        )
