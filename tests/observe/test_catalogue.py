"""The catalogue is complete, and the documentation is what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from signerd.observe import catalogue, events, journal
from signerd.observe.catalogue import CATALOGUE

EVENTS_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "events.md"


def test_every_kind_of_event_has_its_entry_and_nothing_else_has():
    assert set(CATALOGUE) == set(catalogue.kinds())


@pytest.mark.parametrize("kind", catalogue.kinds(), ids=lambda kind: kind.NAME)
def test_every_kind_says_what_it_means_and_whoever_is_warned_what_to_do(kind):
    assert (kind.__doc__ or "").strip().endswith(".")
    assert not kind.__doc__.startswith(kind.__name__)
    if kind.LEVEL in {"warning", "error"}:
        assert CATALOGUE[kind].advice


@pytest.mark.parametrize("kind", catalogue.kinds(), ids=lambda kind: kind.NAME)
def test_only_warnings_are_folded_and_by_fields_that_they_have(kind):
    same = CATALOGUE[kind].same
    if same is not None:
        assert kind.LEVEL == "warning"
        assert set(same) <= set(catalogue.field_names(kind))


def test_names_and_ids_are_unique_and_of_their_form():
    kinds = catalogue.kinds()

    assert len({kind.NAME for kind in kinds}) == len(kinds)
    assert len({catalogue.message_id(kind) for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.NAME)
        assert re.fullmatch(r"[0-9a-f]{32}", catalogue.message_id(kind))


def test_an_id_never_changes():
    """Somebody's alerts know them."""
    assert catalogue.message_id(events.RequestRefused) == "1754868db17958eb931a857f9b1a9cea"


def test_the_document_has_the_table_of_the_catalogue():
    """Made by `.ci/events`."""
    text = EVENTS_DOCUMENT.read_text(encoding="utf-8")
    shown = text.partition("<!-- events -->\n")[2].partition("<!-- /events -->")[0]

    assert shown.splitlines() == list(catalogue.table())


def test_the_document_names_the_fields_that_every_entry_has():
    text = EVENTS_DOCUMENT.read_text(encoding="utf-8")
    every = journal.fields_of(events.SchedulerStreamOpen(), node="02")

    for name in every:
        assert f"`{name}`" in text
