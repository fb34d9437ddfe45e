"""Keys are found on the lines where they are, whatever stands between them."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.tables.lines import entries, lines

TEXT = '''# a comment with [brackets] = and "quotes
network = "regtest"   # another

"data_dir" = "/d"
[scheduler]
uri = """
[log]
level = "debug"
"""
'ca_file' = \'\'\'
key = 1
\'\'\'
list = [
    "a]",  # a ] in a comment
    { b = 1 },
]
poll_seconds = 3
[ log ]
level = "info"
[[pairing.auto]]
name = "x"
[[pairing.auto]]
name = "y"
'''


def test_finds_every_key_on_its_line():
    assert lines(TEXT) == {
        "network": 2,
        "data_dir": 4,
        "scheduler": 5,
        "scheduler.uri": 6,
        "scheduler.ca_file": 10,
        "scheduler.list": 13,
        "scheduler.poll_seconds": 17,
        "log": 18,
        "log.level": 19,
        "pairing.auto": 20,
        "pairing.auto.name": 21,
    }


def test_knows_how_far_a_value_of_several_lines_goes():
    found = {entry.key: (entry.first, entry.last) for entry in entries(TEXT)}

    assert found["scheduler.uri"] == (5, 8)
    assert found["scheduler.list"] == (12, 15)
    assert found["network"] == (1, 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("scheduler.uri = 'x'", 1),
        ("\n[scheduler]\r\nuri = 'x'\r\n", 3),
        ("x = 1\nscheduler . uri = 'x'", 2),
        ("\"scheduler\".'uri' = 'x'", 1),
    ],
)
def test_understands_every_way_to_write_a_key(text, line):
    assert tomllib.loads(text)["scheduler"]["uri"] == "x"
    assert lines(text)["scheduler.uri"] == line


NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"])
VALUES = st.sampled_from(
    [
        "1",
        '"[alpha]"',
        "'beta = 1'",
        '"""\n[gamma]\nbeta = 2\n"""',
        "'''\ndelta = 3'''",
        "[\n1,\n2, # ]\n]",
        '"\\"]"',
        "{ alpha = 1 }",
        "true",
        "1979-05-27",
    ]
)
FILLING = st.sampled_from(["", "# [alpha]", "# beta = [", "   "])


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, min_size=1), min_size=1), st.lists(FILLING))
def test_agrees_with_the_parser_about_every_document(document, filling):
    text = ""
    expected = {}
    for table, keys in document.items():
        text += "\n".join([*filling, f"[{table}]", ""])
        for key, value in keys.items():
            expected[f"{table}.{key}"] = text.count("\n") + 1
            text += (
                f"{key} = {value}  # {value.splitlines()[0]}\n" if "\n" not in value else f"{key} = {value}\n"
            )

    assert set(tomllib.loads(text)) == set(document)
    assert {key: line for key, line in lines(text).items() if "." in key} == expected
