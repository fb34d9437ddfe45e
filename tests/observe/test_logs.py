"""The log: which form it takes where, what it folds, and what it does when nobody takes its lines."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.loglines import Pipe, Time, journald, pipe

from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.observe.logs import Log, choose, may_colour
from signerd.observe.metrics import REQUESTS, Metrics

DETACHED = events.NodeDetached(uri="https://n", reason="it went away", retry_seconds=1.0)
FAILED = events.Failed(reason="x", hint=None, exit_code=70)


def refusal(rule: str = "r", request: int = 1) -> Event:
    return events.RequestRefused(request_id=request, message="m", rule=rule, reason="because")


def log_to(p: Pipe, time: Time | None = None, **options: Any) -> Log:
    time = time or Time()
    defaults = {"form": "json", "level": "info", "environ": {}}
    return Log(descriptor=p.writing, clock=time, monotonic=time, **(defaults | options))


def entries(p: Pipe) -> list[dict[str, Any]]:
    return [json.loads(line) for line in p.text().splitlines()]


# Form and level


def test_the_level_hides_what_is_below_it_until_it_is_changed():
    with pipe() as p:
        log = log_to(p, level="error")
        log.emit(refusal())
        assert entries(p) == []
        log.emit(FAILED)
        commit = log.prepared(form="json", level="info")
        log.emit(refusal("before"))
        commit()
        log.emit(refusal())
        assert [entry["event"] for entry in entries(p)] == ["failed", "request-refused"]


def test_auto_is_the_journal_where_stderr_leads_to_it_and_json_in_any_other_pipe():
    with pipe() as p, pipe() as other:
        found = os.fstat(p.writing)
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert choose("auto", environ, p.writing) == "journal"
        assert choose("auto", environ, other.writing) == "json"
        assert choose("auto", {}, p.writing) == "json"
        assert choose("text", environ, p.writing) == "text"


def test_auto_is_text_on_a_terminal_with_colours_for_whoever_wants_them():
    ours, theirs = pty.openpty()
    try:
        assert choose("auto", {}, theirs) == "text"
        assert may_colour({"TERM": "xterm"}, theirs)
        assert may_colour({"NO_COLOR": ""}, theirs)
        assert not may_colour({"NO_COLOR": "1"}, theirs)
        assert not may_colour({"TERM": "dumb"}, theirs)
        for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            log = Log(form="auto", level="info", environ=environ, descriptor=theirs)
            log.emit(DETACHED)
            log.close()
            assert (b"\x1b[" in os.read(ours, 65536)) is coloured
    finally:
        os.close(ours)
        os.close(theirs)


def test_no_colours_in_a_pipe():
    with pipe() as p:
        assert not may_colour({}, p.writing)


def test_the_form_can_be_changed_while_it_runs(tmp_path):
    with pipe() as p, journald(tmp_path / "socket") as daemon:
        log = log_to(p, journal_socket=tmp_path / "socket")
        for form in ("journal", "text", "journal", "json"):
            log.prepared(form=form, level="info")()
            log.emit(refusal(form))
        assert [entry["SIGNERD_RULE"] for entry in daemon.entries()] == ["journal", "journal"]
        text, last = p.text().splitlines()
        assert "rule=text" in text
        assert json.loads(last)["rule"] == "json"


# Repeats


def test_repeats_are_folded_and_summed_up():
    time = Time()
    with pipe() as p:
        log = log_to(p, time)
        for number in range(100):
            log.emit(refusal(request=number))
            time.pass_by(0.5)
        shown = entries(p)
        assert [entry["request_id"] for entry in shown] == [0, 1, 2, 3, 4]
        time.pass_by(10)
        log.tick()
        (summary,) = entries(p)
    assert (summary["event"], summary["level"], summary["of"]) == ("repeated", "warning", "request-refused")
    assert (summary["count"], summary["seconds"]) == (95, 60)
    assert "rule=r" in summary["like"]
    assert log.folded == 95


def test_the_summary_comes_with_the_next_event_if_nothing_ticks():
    time = Time()
    with pipe() as p:
        log = log_to(p, time)
        for _ in range(7):
            log.emit(DETACHED)
        time.pass_by(61)
        log.emit(refusal())
        assert [entry["event"] for entry in entries(p)][5:] == ["repeated", "request-refused"]


def test_what_was_left_out_is_said_before_the_log_ends():
    with pipe() as p:
        log = log_to(p)
        for _ in range(9):
            log.emit(refusal())
        log.close()
        log.close()
        assert [entry.get("count") for entry in entries(p)] == [None] * 5 + [4]


def test_the_first_of_another_trouble_is_always_shown():
    with pipe() as p:
        log = log_to(p)
        for _ in range(50):
            log.emit(refusal("one"))
        log.emit(refusal("another"))
        assert entries(p)[-1]["rule"] == "another"


def test_errors_and_answers_are_never_folded():
    answered = events.RequestAnswered(request_id=1, message="m", ms=1.0)
    with pipe() as p:
        log = log_to(p)
        for _ in range(50):
            log.emit(FAILED)
            log.emit(answered)
        assert len(entries(p)) == 100


def test_whoever_else_listens_hears_what_the_log_folds():
    metrics = Metrics()
    with pipe() as p:
        bus = Bus(log_to(p).emit, lambda event: metrics.hear(event, 0.0))
        for _ in range(50):
            bus.emit(refusal())
        assert len(entries(p)) == 5
    assert dict(metrics.families())[REQUESTS] == {("unknown", "refused", "r"): 50}


def test_what_the_level_hides_is_not_counted():
    with pipe() as p:
        log = log_to(p, level="error")
        for _ in range(50):
            log.emit(refusal())
        log.close()
        assert entries(p) == []


# Readers that are gone


def test_an_event_goes_to_stderr_while_journald_is_away(tmp_path: Path):
    where = tmp_path / "socket"
    with pipe() as p:
        log = log_to(p, form="journal", journal_socket=where, node="02ab")
        log.emit(refusal("early"))
        with journald(where) as daemon:
            log.emit(refusal("there"))
            assert [entry["SIGNERD_RULE"] for entry in daemon.entries()] == ["there"]
        log.emit(refusal("away"))
        with journald(where) as daemon:
            log.emit(refusal("again"))
            assert [entry["SIGNERD_RULE"] for entry in daemon.entries()] == ["again"]
        log.close()
        assert [entry["rule"] for entry in entries(p)] == ["early", "away"]


def test_lost_lines_are_counted_and_said_as_soon_as_somebody_reads():
    with pipe() as p:
        log = log_to(p)
        for number in range(3000):
            log.emit(events.RequestAnswered(request_id=number, message="m", ms=1.0))
        read = entries(p)
        while not log._outlet.has_room:
            log.tick()
            read += entries(p)
        log.emit(FAILED)
        said, failed = entries(p)
    assert [entry["request_id"] for entry in read] == list(range(len(read)))
    assert (said["event"], said["count"]) == ("log-lines-lost", 3000 - len(read))
    assert failed["event"] == "failed"
    assert log.lost == said["count"]


def test_without_a_stderr_no_other_file_gets_its_lines(tmp_path):
    """Whoever closes stderr gives its number to the next file that is opened."""
    precious = tmp_path / "precious"
    program = (
        "import os, sys\n"
        "from signerd.observe import events, logs\n"
        "assert os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY) == 2\n"
        "log = logs.Log(form='auto', level='info')\n"
        "log.emit(events.SchedulerStreamOpen())\n"
    )
    shell = 'exec "$0" -c "$1" "$2" 2>&-'
    done = subprocess.run(["sh", "-c", shell, sys.executable, program, precious], check=False)

    assert done.returncode == 0
    assert precious.read_bytes() == b""


def test_a_reader_that_is_gone_raises_nothing():
    with pipe() as p:
        log = log_to(p)
        os.close(p.reading)
        log.emit(FAILED)
        log.tick()
        log.close()
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


@pytest.mark.parametrize("form", ["json", "text", "journal"])
def test_every_form_takes_every_kind_of_text(form, tmp_path):
    with pipe() as p:
        log = log_to(p, form=form, journal_socket=tmp_path / "none")
        log.emit(refusal("\udc80\x00\n\x1b[31m"))
        log.close()
        assert p.text().count("\n") == 1
