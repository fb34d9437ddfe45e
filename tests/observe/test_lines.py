"""Events as lines: complete, clean, and free of what could fool a terminal or a parser."""

from __future__ import annotations

import json

import pytest
from helpers.made_events import made
from hypothesis import given
from hypothesis import strategies as st

from signerd.observe import catalogue, events, lines
from signerd.observe.event import Event
from signerd.units import Secret

AT = 1_700_000_000.25
TEXT = lines.text_renderer(colours=False)


def refusal(reason: str) -> Event:
    return events.RequestRefused(request_id=1, message="m", rule="r", reason=reason)


@pytest.mark.parametrize("kind", catalogue.kinds(), ids=lambda k: k.NAME)
def test_every_event_is_one_line_with_its_headline_first(kind):
    event = made(kind)
    for render in (lines.json_line, TEXT):
        line = render(event, AT)
        assert line.count("\n") == 1
        assert line.endswith("\n")
        assert kind.NAME in line
    entry = json.loads(lines.json_line(event, AT))
    assert list(entry)[:3] == ["timestamp", "level", "event"]
    assert ("2023-11-14T22:13:20.250000Z", kind.LEVEL, kind.NAME) == tuple(entry.values())[:3]
    told = {name: getattr(event, name) for name in catalogue.field_names(kind)}
    assert list(entry.items())[3:] == [(name, value) for name, value in told.items() if value is not None]


@given(st.text(max_size=50))
def test_text_from_outside_cannot_steer_a_terminal_or_fake_a_line(text):
    for render in (lines.json_line, TEXT, lambda event, _: lines.sentence(event) + "\n"):
        line = render(refusal(text), AT)
        assert line.count("\n") == 1
        assert all(c.isprintable() for c in line.rstrip("\n"))


def test_long_text_is_cut():
    assert len(lines.json_line(refusal("x" * 10**6), AT)) < 3000


def test_fields_that_hold_nothing_are_left_out():
    entry = json.loads(lines.json_line(events.Failed(reason="x", hint=None, exit_code=70), AT))

    assert "hint" not in entry


def test_a_sentence_quotes_what_has_spaces():
    assert lines.sentence(refusal('too "much"')) == (
        r'request-refused: request_id=1 message=m rule=r reason="too \"much\""'
    )
    assert lines.sentence(events.SchedulerStreamOpen()) == "scheduler-stream-open"


def test_colours_are_there_only_when_asked_for():
    event = refusal("x")

    assert "\x1b[" in lines.text_renderer(colours=True)(event, AT)
    assert "\x1b" not in TEXT(event, AT)


@pytest.mark.parametrize(
    "secret", [b"\x07" * 32, bytearray(b"\x07" * 32), Secret(b"\x07" * 32), ("ok", b"\x07" * 32)]
)
def test_what_is_no_text_and_no_number_is_not_shown_even_if_it_gets_there(secret):
    for shown in (lines.json_line(refusal(secret), AT), TEXT(refusal(secret), AT)):
        assert "07" not in shown
        assert "x07" not in shown
        assert "not shown" in shown
