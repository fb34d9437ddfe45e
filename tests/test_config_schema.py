"""The JSON Schema says the same as the reader: what one takes, the other takes."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path

import fastjsonschema
import pytest
from helpers.example_config import uncommented

from signerd import config
from signerd.errors import ConfigError
from signerd.tables.keys import keys
from signerd.tables.values import convert, is_number

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
FITS = fastjsonschema.compile(SCHEMA)
EVERYTHING = tomllib.loads(uncommented())


def changed(name: str, value: object) -> dict[str, object]:
    table = copy.deepcopy(EVERYTHING)
    *above, last = name.split(".")
    place = table
    for part in above:
        place = place[part]
    place[last] = value
    return table


def reads(table: dict[str, object]) -> bool:
    try:
        convert(table, config.Config, config.FORMAT.limits, source="x")
    except ConfigError:
        return False
    return True


def fits(table: dict[str, object]) -> bool:
    try:
        FITS(table)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def test_the_example_fits_with_every_key_in_force_and_with_none():
    FITS(EVERYTHING)
    FITS({})


@pytest.mark.parametrize("name", config.known_keys())
@pytest.mark.parametrize("value", [-1, 0, 10**12, 0.5, True, "", "x", [], [1], {}])
def test_schema_and_reader_agree_about_every_key(name, value):
    """But for empty texts, control characters and versions to come, of which a schema need not know."""
    if value == "" or (name == "config_version" and value != "x"):
        return
    table = changed(name, value)

    assert fits(table) == reads(table)


@pytest.mark.parametrize("name", ["netwrok", "log.levle", "paring.policy"])
def test_both_refuse_an_unknown_key(name):
    table = {**EVERYTHING, "paring": {}} if name.startswith("paring") else EVERYTHING
    table = copy.deepcopy(table)
    *above, last = name.split(".")
    place = table
    for part in above:
        place = place[part]
    place[last] = "x"

    assert fits(table) is reads(table) is False


def test_every_key_has_words_and_every_number_its_limits():
    for name, key in keys(config.Config, inside_lists=True).items():
        node = SCHEMA
        for part in name.split("."):
            node = node["properties"][part.removesuffix("[]")]
            node = {**node, **node.get("items", {})} if part.endswith("[]") else node
        assert node.get("description"), name
        assert ("minimum" in node and "maximum" in node) == is_number(key), name
