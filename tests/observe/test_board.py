"""What the board makes of events, and what readiness makes of the board."""

from __future__ import annotations

import dataclasses

import pytest
from helpers.boards import (
    ATTACHED,
    CONNECTED,
    NOW,
    answered,
    busy_board,
    event_of_every_kind,
    later,
    refused,
    started,
)
from hypothesis import given
from hypothesis import strategies as st

from signerd.observe import board, events
from signerd.observe.board import Board
from signerd.observe.readiness import REFUSING_AFTER, Readiness, health

READY = later(started(), *CONNECTED, ATTACHED)


def state(found: Board) -> Readiness:
    return health(found).state


# Connections


def test_a_connection_knows_since_when_it_stands():
    found = later(started(), *CONNECTED, at=NOW)
    assert (found.scheduler.state, found.scheduler.since) == ("connected", NOW + 3)
    assert later(found, events.SchedulerStreamOpen(), at=NOW + 50).scheduler.since == NOW + 3


def test_a_lost_connection_knows_why_since_when_and_when_it_is_tried_again():
    found = later(READY, events.SchedulerStreamEnded(reason="the wire was cut", retry_seconds=4.5), at=NOW)
    link = found.scheduler
    assert (link.state, link.since, link.last_error, link.last_error_at) == (
        "lost", NOW, "the wire was cut", NOW,
    )  # fmt: skip
    assert link.next_retry == NOW + 4.5
    again = later(found, events.SchedulerStreamEnded(reason="cut again", retry_seconds=9.0), at=NOW + 5)
    assert (again.scheduler.since, again.scheduler.next_retry) == (NOW, NOW + 14)
    back = later(again, events.SchedulerStreamOpen(), at=NOW + 20).scheduler
    assert (back.state, back.since, back.next_retry) == ("connected", NOW + 20, None)
    assert back.last_error == "cut again"


def test_a_failed_call_on_a_connection_that_stands_does_not_lose_it():
    failed = events.SchedulerCallFailed(call="GetNodeInfo", reason="busy", hint=None, retry_seconds=1.0)
    found = later(READY, failed, at=NOW)
    assert found.scheduler.state == "connected"
    assert (found.scheduler.last_error, found.scheduler.next_retry) == ("busy", NOW + 1)
    assert state(found) is Readiness.READY


def test_a_node_that_goes_is_detached_until_it_is_back():
    gone = later(READY, events.NodeDetached(uri="https://n", reason="closed", retry_seconds=2.0), at=NOW)
    assert (gone.node.state, gone.node.last_error, gone.node.next_retry) == ("detached", "closed", NOW + 2)
    assert state(gone) is Readiness.DETACHED
    assert "closed" in health(gone).reason
    assert state(later(gone, ATTACHED, at=NOW + 3)) is Readiness.READY


# Requests


def test_refusals_are_counted_by_rule_and_answers_beside_them():
    found = later(READY, answered(), refused("a"), refused("b"), refused("a"), at=NOW)
    tally = found.tally
    assert (tally.answered, tally.refused, tally.refused_by_rule) == (1, 3, {"a": 2, "b": 1})
    assert (tally.last_answer, tally.last_answer_to) == (NOW, "ecdh_req (type 1)")
    assert (tally.last_refusal, tally.last_refusal_rule) == (NOW + 3, "a")


def test_ten_refusals_in_a_row_are_refusing_and_one_answer_ends_it():
    nearly = later(READY, answered(), *[refused("some-rule")] * (REFUSING_AFTER - 1))
    assert state(nearly) is Readiness.READY
    over = later(nearly, refused("other-rule"))
    assert state(over) is Readiness.REFUSING
    assert "other-rule" in health(over).reason
    assert state(later(over, answered())) is Readiness.READY


def test_being_slower_than_another_signer_is_not_refusing():
    found = later(READY, *[refused(board.ANOTHER_WAS_QUICKER)] * REFUSING_AFTER * 2)
    assert state(found) is Readiness.READY
    assert found.tally.refused == REFUSING_AFTER * 2


def test_answers_that_the_node_refuses_are_refusing_until_it_takes_one():
    untaken = [answered(), refused(board.ANSWER_REFUSED)]
    nearly = later(READY, *untaken * (REFUSING_AFTER - 1))
    assert state(nearly) is Readiness.READY
    over = later(nearly, *untaken)
    assert state(over) is Readiness.REFUSING
    assert "answers" in health(over).reason
    taken = events.AnswersTaken(request_id=1, message="ecdh_req (type 1)")
    assert state(later(over, answered())) is Readiness.REFUSING
    assert state(later(over, answered(), taken)) is Readiness.READY
    assert state(later(over, ATTACHED)) is Readiness.READY


def test_an_answer_that_the_node_refuses_is_not_the_last_one():
    untaken = later(READY, answered(), refused(board.ANSWER_REFUSED), at=NOW)
    assert later(untaken, answered(), at=NOW + 50).tally.last_answer == NOW
    taken = events.AnswersTaken(request_id=2, message="sign_invoice (type 8)")
    found = later(untaken, answered(), taken, at=NOW + 50).tally
    assert (found.last_answer, found.last_answer_to) == (NOW + 51, "sign_invoice (type 8)")


def test_a_store_that_fails_has_a_state_of_its_own_and_leaves_none_behind():
    failing = events.StoreFailing(path="/p", reason="its file system is full", hint="h")
    requests = [refused(board.STORE_FAILING)] * REFUSING_AFTER * 2
    found = later(READY, failing, *requests)
    assert state(found) is Readiness.STORE_FAILING
    assert found.tally.refused == REFUSING_AFTER * 2
    # Also where the last refusal comes behind the recovery.
    assert state(later(found, events.StoreWell(path="/p"), *requests)) is Readiness.READY


def test_a_node_that_is_asked_anew_is_not_refused_until_it_is():
    over = later(READY, *[refused("some-rule")] * REFUSING_AFTER)
    assert state(over) is Readiness.REFUSING
    well = events.StoreWell(path="/p")
    assert state(later(over, well)) is Readiness.READY
    assert state(later(over, well, *[refused("some-rule")] * REFUSING_AFTER)) is Readiness.REFUSING


def test_a_node_that_comes_back_after_each_refusal_is_refused_all_the_same():
    sessions = [ATTACHED, refused("some-rule")]
    assert state(later(READY, *sessions * REFUSING_AFTER)) is Readiness.REFUSING
    assert state(later(READY, *sessions * REFUSING_AFTER, ATTACHED)) is Readiness.REFUSING


# Readiness, from the bottom to the top


def test_before_the_scheduler_was_reached_it_is_starting_and_says_what_is_in_the_way():
    assert state(started()) is Readiness.STARTING
    failed = events.SchedulerCallFailed(call="MaybeUpgrade", reason="no route", hint=None, retry_seconds=1.0)
    assert "no route" in health(later(started(), failed)).reason


def test_a_node_that_does_not_run_is_not_scheduled_and_a_lost_scheduler_is_another_matter():
    waiting = later(started(), *CONNECTED, events.NodeNotScheduled())
    assert state(waiting) is Readiness.NODE_NOT_SCHEDULED
    lost = later(waiting, events.SchedulerStreamEnded(reason="cut", retry_seconds=1.0))
    assert state(lost) is Readiness.DETACHED
    assert "cut" in health(lost).reason


def test_a_lost_scheduler_keeps_nobody_from_signing_while_the_node_is_attached():
    assert state(later(READY, events.SchedulerStreamEnded(reason="x", retry_seconds=1.0))) is Readiness.READY


@pytest.mark.parametrize(
    ("event", "expected", "end"),
    [
        (
            events.StoreFailing(path="/p", reason="its file system is full", hint="h"),
            Readiness.STORE_FAILING,
            events.StoreWell(path="/p"),
        ),
        (events.Stuck(reason="an answer should have ended"), Readiness.STUCK, events.Unstuck()),
        (events.Stopping(reason="SIGTERM"), Readiness.STOPPING, None),
    ],
)
def test_what_is_wrong_with_the_daemon_itself_comes_before_its_connections(event, expected, end):
    for before in (started(), READY):
        found = later(before, event)
        assert state(found) is expected
        assert end is None or state(later(found, end)) is state(before)


def test_only_a_stuck_daemon_is_not_alive():
    assert not health(later(READY, events.Stuck(reason="x"))).live
    for happened in (events.StoreFailing(path="p", reason="r", hint="h"), events.Stopping(reason="SIGTERM")):
        found = health(later(READY, happened))
        assert found.live
        assert not found.ready


def test_every_state_has_an_exit_code_of_its_own_and_only_ready_has_none():
    codes = [found.exit_code for found in Readiness]
    assert len(set(codes)) == len(codes)
    assert [found for found in Readiness if found.exit_code == 0] == [Readiness.READY]


# All of it


def test_every_field_of_a_board_is_set_by_some_event():
    untouched = Board(started=0.0)
    found = later(busy_board(), *event_of_every_kind())
    for item in dataclasses.fields(Board):
        if item.name not in {"started", "stuck", "store_failing"}:  # which the last events have ended
            assert getattr(found, item.name) != getattr(untouched, item.name), item.name


@given(st.lists(st.sampled_from(event_of_every_kind()), max_size=60), st.floats(0, 4e9))
def test_no_order_of_events_breaks_the_board_or_what_is_said_of_it(happened, at):
    found = later(started(), *happened, at=at)
    said = health(found)
    assert said.reason
    assert said.ready <= said.live
    assert found.tally.answered == sum(isinstance(event, events.RequestAnswered) for event in happened)
    assert found.tally.refused == sum(isinstance(event, events.RequestRefused) for event in happened)
    assert found.tally.refused_in_a_row <= found.tally.refused
