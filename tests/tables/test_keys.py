"""Any structs: tables in tables, lists of tables, texts, numbers and paths, all by one code."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from signerd.errors import ConfigError
from signerd.tables import keys, layers
from signerd.tables.format import Format
from signerd.tables.layers import Layer, Origin
from signerd.tables.schema import descriptions, schema
from signerd.tables.values import from_text

FilePath = Annotated[str, msgspec.Meta(extra={"path": "input"})]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Rule(_Table, frozen=True):
    name: str
    a_day: int = 3
    list_file: FilePath | None = None


class Inner(_Table, frozen=True):
    deep_seconds: float = 1.0


class Outer(_Table, frozen=True):
    auto: tuple[Rule, ...] = ()
    inner: Inner = Inner()
    tags: list[str] = []
    mode: Literal["on", "off"] = "on"


class Root(_Table, frozen=True):
    config_version: int = 1
    flag: bool = False
    file: FilePath | None = None
    outer: Outer = Outer()


LIMITS = {"outer.inner.deep_seconds": (0, 9), "outer.auto[].a_day": (1, 5)}
FORMAT = Format(Root, LIMITS)
VARIABLES = {layers.variable_of("P_", name): name for name in FORMAT.settable}


def parse(text):
    return FORMAT.parse(text, source="c.toml")


def refusal(text):
    with pytest.raises(ConfigError) as refused:
        parse(text)
    return refused.value


GOOD = """
flag = true
[outer.inner]
deep_seconds = 2
[[outer.auto]]
name = "a"
[[outer.auto]]
name = "b"
a_day = 5
"""


def test_knows_every_key_and_table():
    assert list(keys.keys(Root)) == [
        "config_version",
        "flag",
        "file",
        "outer.auto",
        "outer.inner.deep_seconds",
        "outer.tags",
        "outer.mode",
    ]
    assert {"outer.auto[].name", "outer.auto[].a_day"} <= set(keys.keys(Root, inside_lists=True))
    assert keys.tables(Root) == ("outer", "outer.inner")


def test_takes_tables_in_tables_and_lists_of_tables():
    config = parse(GOOD)

    assert config.outer.auto == (Rule(name="a"), Rule(name="b", a_day=5))
    assert config.outer.inner.deep_seconds == 2.0
    assert keys.flat(config)["outer.auto"] == config.outer.auto


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[[outer.auto]]\nnmae = 'a'", "unknown key 'outer.auto[0].nmae'", "did you mean 'name'?"),
        (
            GOOD + "[[outer.auto]]\nname = 'c'\na_dya = 1",
            "unknown key 'outer.auto[2].a_dya'",
            "did you mean 'a_day'?",
        ),
        ("[outer.inenr]\ndeep_seconds = 1", "unknown table 'outer.inenr'", "did you mean 'outer.inner'?"),
        ("deep_seconds = 1", "unknown key 'deep_seconds'", "did you mean 'outer.inner.deep_seconds'?"),
        ("[[outer.auto]]\na_day = 1", "missing the key `name`", None),
        (
            "[[outer.auto]]\nname = 'a'\na_day = 6",
            "outer.auto[0].a_day = 6 is out of range",
            "it goes from 1 to 5",
        ),
        ("[[outer.auto]]\nname = ''", "outer.auto[0].name is empty", None),
        ("[outer]\ntags = ['a', '']", "outer.tags is empty", None),
        ("[outer]\nauto = 3", "expected an array", None),
        ("[outer]\nauto = [3]", "expected a table", None),
        ("outer = 3", "expected a table", None),
        ("[outer]\nmode = 'onn'", "invalid value 'onn'", "use one of off, on"),
    ],
)
def test_refuses_what_does_not_fit_and_says_where(text, message, hint):
    problem = refusal(text)

    assert message in problem.message
    if hint is not None:
        assert problem.hint == hint


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("flag", "true", True),
        ("flag", " false ", False),
        ("config_version", "7", 7),
        ("outer.inner.deep_seconds", "1_000.5", 1000.5),
        ("outer.tags", '["a", "b"]', ["a", "b"]),
        ("outer.auto", '[{name = "a"}, {name = "b"}]', [{"name": "a"}, {"name": "b"}]),
        ("outer.mode", "on", "on"),
        ("file", "true", "true"),
        # No value, or more than one: stays text, which is then of the wrong type.
        ("flag", "yes", "yes"),
        ("flag", "true\nother = 1", "true\nother = 1"),
        ("config_version", "1 # a", 1),
    ],
)
def test_a_variable_is_typed_like_the_file(name, text, value):
    assert from_text(keys.keys(Root)[name], text) == value


def environment(**environ):
    return FORMAT.environment(environ, VARIABLES, path=lambda text: f"/here/{text}")


def test_every_key_has_a_variable():
    assert VARIABLES["P_OUTER_INNER_DEEP_SECONDS"] == "outer.inner.deep_seconds"
    assert "P_CONFIG_VERSION" not in VARIABLES
    assert len(VARIABLES) == len(FORMAT.settable)


def test_a_wrong_variable_is_refused_under_its_own_name():
    for environ, message in (
        ({"P_FLAG": "yes"}, "P_FLAG: flag: expected `bool`, got `str`"),
        ({"P_OUTER_INNER_DEEP_SECONDS": "10"}, "P_OUTER_INNER_DEEP_SECONDS: outer.inner.deep_seconds = 10"),
        ({"P_OUTER_AUTO": '[{nmae = "a"}]'}, "P_OUTER_AUTO: unknown key 'outer.auto[0].nmae'"),
    ):
        with pytest.raises(ConfigError) as refused:
            environment(**environ)
        assert refused.value.message.startswith(message)


def test_paths_are_made_absolute_also_inside_lists():
    layer = environment(P_FILE="f", P_OUTER_AUTO='[{name = "a", list_file = "l"}]')

    assert layer.values["file"] == "/here/f"
    assert FORMAT.together(layer).outer.auto[0].list_file == "/here/l"
    found, _ = FORMAT.file(
        "file = 'f'\n[[outer.auto]]\nname = 'a'\nlist_file = 'l'\n", source="c", path=str.upper
    )
    assert FORMAT.together(found).file == "F"
    assert FORMAT.together(found).outer.auto == (Rule(name="a", list_file="L"),)


def test_the_strongest_layer_wins_key_by_key_and_lists_are_taken_whole():
    file, _ = FORMAT.file(GOOD, source="c.toml", path=str)
    flags = FORMAT.flags({}, ("outer.auto=[{name = 'z'}]",), flag="--set", path=str)
    won = layers.merged((flags, environment(P_OUTER_INNER_DEEP_SECONDS="3"), file))
    config = FORMAT.together(won)

    assert config.outer.auto == (Rule(name="z"),)
    assert (config.flag, config.outer.inner.deep_seconds) == (True, 3.0)
    assert won.origins == {
        "flag": Origin("file", "c.toml", 2),
        "outer.auto": Origin("flag", "--set"),
        "outer.inner.deep_seconds": Origin("environment", "P_OUTER_INNER_DEEP_SECONDS"),
    }


def test_a_key_in_an_inline_table_is_on_its_line():
    layer, _ = FORMAT.file("\nouter = { mode = 'off' }", source="c.toml", path=str)

    assert layer.origins["outer.mode"] == Origin("file", "c.toml", 2)


def test_a_flag_must_be_a_key_and_a_value():
    for assignment, message, hint in (
        ("flag", "--set flag: no value", "write --set KEY=VALUE"),
        ("outer.mod=on", "--set: unknown key 'outer.mod'", "did you mean 'outer.mode'?"),
        ("config_version=1", "--set: unknown key 'config_version'", None),
    ):
        with pytest.raises(ConfigError) as refused:
            FORMAT.flags({}, (assignment,), flag="--set", path=str)
        assert refused.value.message == message
        if hint:
            assert refused.value.hint == hint


def test_two_flags_about_one_key_are_refused():
    with pytest.raises(ConfigError, match="--file and --set file say two things"):
        FORMAT.flags({"file": ("--file", "a")}, ("file=b",), flag="--set", path=str)


def test_names_variables_that_are_none_and_what_was_meant():
    environ = {"P_OUTER_MDOE": "on", "P_ZZZZZZZZZZ": "1", "P_FLAG": "true", "P_EMPTY": "", "OTHER": "1"}

    assert layers.unknown_variables(environ, VARIABLES, prefix="P_") == {
        "P_OUTER_MDOE": ("P_OUTER_MODE",),
        "P_ZZZZZZZZZZ": (),
    }


def test_nested_is_the_opposite_of_dotted():
    table = {"flag": True, "outer": {"mode": "off", "inner": {"deep_seconds": 1}}}

    assert keys.nested(dict(keys.dotted(table, Root))) == table


def test_a_format_may_judge_more_than_types_and_limits_of_every_source():
    def check(config: Root, source: str) -> None:
        if config.flag and config.outer.mode == "off":
            raise ConfigError(f"{source}: contradiction")

    strict = Format(Root, LIMITS, (), check)

    with pytest.raises(ConfigError, match=r"c\.toml: contradiction"):
        strict.parse("flag = true\n[outer]\nmode = 'off'", source="c.toml")
    # Also what only comes about together.
    file, _ = strict.file("flag = true", source="c.toml", path=str)
    mode = strict.environment({"P_OUTER_MODE": "off"}, VARIABLES, path=str)
    with pytest.raises(ConfigError, match="the settings together: contradiction"):
        strict.together(layers.merged((mode, file)))


def test_together_takes_nothing_as_the_defaults():
    assert FORMAT.together(Layer()) == Root()


EXAMPLE = """# What it is for.
#flag = false

# Two of one
# kind.
#file = "a"
[outer]
# A rule.
#[[outer.auto]]
# Its name.
#name = "x"
"""


def test_descriptions_are_the_prose_above_a_key():
    assert descriptions(EXAMPLE) == {
        "flag": "What it is for.",
        "file": "Two of one kind.",
        "outer.auto": "A rule.",
        "outer.auto[].name": "Its name.",
    }


def test_schema_has_words_limits_and_units():
    made = schema(Root, LIMITS, EXAMPLE, title="T")
    outer = made["properties"]["outer"]["properties"]

    assert made["additionalProperties"] is False
    assert made["properties"]["flag"] == {
        "description": "What it is for.", "type": "boolean", "default": False,
    }  # fmt: skip
    assert made["properties"]["file"] == {"description": "Two of one kind.", "type": "string"}
    assert outer["inner"]["properties"]["deep_seconds"] == {
        "type": "number", "default": 1.0, "minimum": 0, "maximum": 9, "x-unit": "seconds",
    }  # fmt: skip
    assert outer["auto"]["items"]["required"] == ["name"]
    assert outer["auto"]["items"]["properties"]["a_day"]["maximum"] == 5
