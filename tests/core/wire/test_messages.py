"""Every class of the wire against the written table: number, name, fields, their order and their types."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import get_type_hints

import pytest
from helpers import wire_messages

from signerd.core.wire import codec, composites, names

ROWS = list(csv.DictReader((Path(__file__).parent / "messages.csv").read_text().splitlines()))
MESSAGES = {int(row["number"]): row for row in ROWS if row["number"]}
COMPOSITES = {row["name"]: row for row in ROWS if not row["number"]}

PYTHON_TYPES = {
    "bool": bool,
    "side": composites.Side,
    "sighash": int,
    "tlvs": tuple[tuple[int, bytes], ...],
    "wirestring": str,
    **dict.fromkeys(("u16", "u32", "u64"), int),
    **wire_messages.COMPOSITES,
}


def python_type(name):
    if name.startswith("?"):
        return python_type(name[1:]) | None
    if name.endswith("[]"):
        return tuple[python_type(name[:-2]), ...]
    return PYTHON_TYPES.get(name, bytes)


def described(kind):
    return " ".join(f"{name}:{field.name}" for name, field in codec.layout(kind))


def test_every_message_of_the_table_has_a_class_and_no_class_is_missing_from_it():
    assert set(MESSAGES) == set(codec.classes())
    assert set(COMPOSITES) == set(wire_messages.COMPOSITES)


def test_no_two_classes_share_a_number():
    kinds = [
        item
        for family in codec.FAMILIES
        for item in vars(family).values()
        if dataclasses.is_dataclass(item) and item.__module__ == family.__name__
    ]
    assert len(codec.classes()) == len(kinds)


@pytest.mark.parametrize("number", MESSAGES)
def test_a_class_has_the_fields_of_its_row(number):
    row, kind = MESSAGES[number], codec.classes()[number]
    assert row["class"] == kind.__name__
    assert row["fields"] == described(kind)


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_composite_has_the_fields_of_its_row(name):
    row, kind = COMPOSITES[name], wire_messages.COMPOSITES[name]
    assert row["class"] == kind.__name__
    assert row["fields"] == described(kind)


def every_class():
    return [*codec.classes().values(), *wire_messages.COMPOSITES.values()]


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_annotations_say_what_the_codec_reads(kind):
    hints = get_type_hints(kind)
    assert {n: python_type(f.name) for n, f in codec.layout(kind)} == {
        n: hints[n] for n, _ in codec.layout(kind)
    }


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
def test_is_frozen_slotted_and_hides_its_secrets(kind):
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)
    wire_types = {name: field.name for name, field in codec.layout(kind)}
    for item in dataclasses.fields(kind):
        if wire_types[item.name] in ("secret", "?secret"):
            assert not item.repr, item.name


def test_names_are_those_of_the_table():
    assert names.NAMES == {number: MESSAGES[number]["name"] for number in names.NAMES}


def test_every_request_but_one_has_an_answer_and_every_answer_a_request():
    answered = codec.REPLY_TYPES
    assert set(names.NAMES) - set(answered) == {99}
    assert {number for numbers in answered.values() for number in numbers} | set(names.NAMES) == set(MESSAGES)


@pytest.mark.parametrize("number", codec.REPLY_TYPES)
def test_a_reply_is_named_after_its_request(number):
    request = MESSAGES[number]["name"].removesuffix("_req")
    reply = MESSAGES[codec.REPLY_TYPES[number][0]]["name"]
    exceptions = {
        "ecdh": "ecdh_resp",
        "init": "init_reply_v4",
        "preapprove_invoice_check": "preapprove_invoice_reply",
        "preapprove_keysend_check": "preapprove_keysend_reply",
    }
    if reply != "sign_tx_reply":
        assert reply == exceptions.get(request, f"{request}_reply")
