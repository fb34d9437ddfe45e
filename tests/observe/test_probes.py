"""Ready means: could be asked for a signature now."""

from __future__ import annotations

import json

import pytest

from signerd.observe import events
from signerd.observe.probes import StreamJudge

UPGRADED = events.Upgraded(old_version="a", signer_version="b")
OPEN = events.SchedulerStreamOpen()
ENDED = events.SchedulerStreamEnded(reason="x", retry_seconds=1.0)
ATTACHED = events.NodeAttached(uri="https://n")
DETACHED = events.NodeDetached(uri="https://n", reason="x", retry_seconds=1.0)


@pytest.mark.parametrize(
    ("heard", "state", "started", "ready"),
    [
        ([], "starting", False, False),
        ([OPEN], "starting", False, False),
        ([UPGRADED, OPEN], "detached", True, False),
        ([UPGRADED, OPEN, ATTACHED], "ready", True, True),
        ([UPGRADED, OPEN, ATTACHED, ENDED], "ready", True, True),
        ([UPGRADED, OPEN, ATTACHED, DETACHED], "detached", True, False),
        ([UPGRADED, OPEN, ATTACHED, ENDED, DETACHED], "detached", True, False),
    ],
)
def test_judges_by_the_streams(heard, state, started, ready):
    judge = StreamJudge()
    for event in heard:
        judge.hear(event)
    verdict = judge()

    assert (verdict.state, verdict.started, verdict.ready) == (state, started, ready)
    assert verdict.live


def test_the_document_has_a_version_and_the_reason():
    assert json.loads(StreamJudge()().document(False)) == {
        "v": 1,
        "ok": False,
        "state": "starting",
        "reason": "the scheduler has not answered yet",
    }
