"""Events as lines: complete, clean, and free of what could fool a terminal or a parser."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.observe import events
from signerd.observe.logs import Log

KINDS = [k for k in vars(events).values() if isinstance(k, type) and issubclass(k, events.Event)]
KINDS.remove(events.Event)


def line_of(event: events.Event, form: str = "json") -> str:
    out = io.StringIO()
    Log(form=form, level="debug", stream=out).emit(event)
    return out.getvalue()


def refusal(reason: str) -> events.Event:
    return events.RequestRefused(request_id=1, message="m", rule="r", reason=reason)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.NAME)
def test_every_event_is_one_line_with_its_headline_first(kind):
    hints = get_type_hints(kind)
    values = {f.name: 7 if hints[f.name] in (int, float) else "text" for f in dataclasses.fields(kind)}
    for form in ("json", "text"):
        line = line_of(kind(**values), form)
        assert line.count("\n") == 1
        assert kind.NAME in line
    entry = json.loads(line_of(kind(**values)))
    assert list(entry)[:3] == ["timestamp", "level", "event"]
    assert (kind.NAME, kind.LEVEL) == (entry["event"], entry["level"])
    assert values == {name: entry[name] for name in values}


def test_event_names_are_unique():
    assert len({kind.NAME for kind in KINDS}) == len(KINDS)


@given(st.text(max_size=50))
def test_text_from_outside_cannot_steer_a_terminal_or_fake_a_line(text):
    for form in ("json", "text"):
        line = line_of(refusal(text), form)
        assert line.count("\n") == 1
        assert all(c.isprintable() for c in line.rstrip("\n"))


def test_long_text_is_cut():
    assert len(line_of(refusal("x" * 10**6))) < 3000


def test_the_level_hides_what_is_below_it():
    out = io.StringIO()
    log = Log(form="json", level="error", stream=out)
    log.emit(refusal("x"))
    assert out.getvalue() == ""
    log.emit(events.Failed(reason="x", hint=None, exit_code=70))
    assert "failed" in out.getvalue()


def test_fields_that_hold_nothing_are_left_out():
    assert "hint" not in json.loads(line_of(events.Failed(reason="x", hint=None, exit_code=70)))
