"""Files of earlier formats: read as new, rewritten with their comments, or left alone."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from signerd.errors import ConfigError
from signerd.tables.format import Format
from signerd.tables.migration import Remove, Rename, rewritten


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verbosity: str = "info"


class Root(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    config_version: int = 3
    data_dir: str = "/d"
    log: Log = Log()


MIGRATIONS = (
    (Rename("datadir", "data_dir"), Rename("log.level", "log.verbosity")),
    (Remove("colour", "the terminal decides"),),
)
FORMAT = Format(Root, {"config_version": (1, 10)}, MIGRATIONS)

OLD = """# mine
datadir = "/mine"  # kept

colour = [
  1,
]
[log]
level = "debug"  # while it is new
"""

NEW = """config_version = 3
# mine
data_dir = "/mine"  # kept

# no longer a setting: the terminal decides
# colour = [
#   1,
# ]
[log]
verbosity = "debug"  # while it is new
"""


def migrate(text):
    return FORMAT.migrate(text, source="c.toml")


def test_an_old_file_is_read_as_if_it_were_new():
    assert FORMAT.parse(OLD, source="c.toml") == Root(data_dir="/mine", log=Log("debug"))


def test_an_old_file_tells_its_version():
    layer, version = FORMAT.file(OLD, source="c.toml", path=str)

    assert version == 1
    assert layer.values == {"config_version": 3, "data_dir": "/mine", "log.verbosity": "debug"}


def test_rewrites_a_file_and_keeps_its_comments():
    done = migrate(OLD)

    assert done.text == NEW
    assert (done.version, done.changed) == (1, True)
    assert FORMAT.parse(NEW, source="c.toml") == FORMAT.parse(OLD, source="c.toml")


def test_takes_only_the_steps_that_are_missing():
    text = "# two\nconfig_version = 2 # old\ndata_dir = '/x'\ncolour = 1\n"

    assert migrate(text).text == (
        "# two\nconfig_version = 3 # old\ndata_dir = '/x'\n"
        "# no longer a setting: the terminal decides\n# colour = 1\n"
    )


def test_leaves_a_file_of_today_as_it_is():
    text = "config_version=3\ndata_dir = '/x'\n"

    assert migrate(text).text == text
    assert not migrate(text).changed


def test_migrates_once():
    assert migrate(migrate(OLD).text).text == NEW


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("log.level = 'debug'\n", "config_version = 3\nlog.verbosity = 'debug'\n"),
        ("[log]\n'level' = 'debug'\n", "config_version = 3\n[log]\nverbosity = 'debug'\n"),
        ("\"datadir\"='/x'\r\n", "config_version = 3\ndata_dir='/x'\r\n"),
        ("", "config_version = 3\n"),
    ],
)
def test_rewrites_every_way_to_write_a_key(text, parsed):
    assert migrate(text).text == parsed


def test_leaves_a_file_alone_that_it_cannot_rewrite_and_says_what_to_do():
    """An inline table: its key has no line of its own."""
    text = "log = { level = 'debug' }\n"
    assert FORMAT.parse(text, source="c.toml").log.verbosity == "debug"

    with pytest.raises(ConfigError, match="stays as it is") as refused:
        migrate(text)

    assert "rename log.level to verbosity" in (refused.value.hint or "")
    assert "set config_version = 3" in (refused.value.hint or "")


def test_refuses_a_file_that_says_the_old_and_the_new():
    with pytest.raises(ConfigError, match=r"c\.toml: both datadir and data_dir are set"):
        FORMAT.parse("datadir = '/a'\ndata_dir = '/b'\n", source="c.toml")


def test_refuses_an_old_key_in_a_new_file():
    with pytest.raises(ConfigError, match="unknown key 'datadir'"):
        FORMAT.parse("config_version = 3\ndatadir = '/a'\n", source="c.toml")


def test_refuses_a_file_of_a_later_signerd_and_says_what_to_do():
    with pytest.raises(ConfigError, match=r"config_version = 4, and this one knows 3") as refused:
        FORMAT.parse("config_version = 4\nfuture = 1\n", source="c.toml")

    assert "*.v3.bak" in (refused.value.hint or "")


@pytest.mark.parametrize("value", ["0", "-1", "true", '"1"', "1.0", "[]"])
def test_refuses_a_version_that_is_no_number(value):
    with pytest.raises(ConfigError, match="config_version: expected a whole number from 1"):
        FORMAT.parse(f"config_version = {value}\n", source="c.toml")


def test_what_the_text_says_afterwards_is_what_the_tables_say():
    """The check behind the promise: a step whose text does something else is not believed."""

    class Liar(Rename):
        def change_text(self, text: str) -> str:
            return text + "\nlie = 1\n"

    with pytest.raises(ConfigError, match="stays as it is"):
        rewritten("datadir = '/a'", ((Liar("datadir", "data_dir"),),), source="c.toml")
    assert tomllib.loads(rewritten("datadir = '/a'", ((Rename("datadir", "data_dir"),),), source="c")) == {
        "config_version": 2,
        "data_dir": "/a",
    }
