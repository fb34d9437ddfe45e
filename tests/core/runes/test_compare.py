"""Each operator, on present and on missing values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.runes.compare import holds, integer
from signerd.core.runes.restriction import OPERATORS, Alternative


@pytest.mark.parametrize(
    ("op", "wanted", "yes", "no"),
    [
        ("=", "pay", ["pay"], ["", "Pay", "pay ", "pa"]),
        ("=", "", [""], ["a"]),
        ("/", "pay", ["", "Pay", "xpay"], ["pay"]),
        ("^", "list", ["list", "listpeers"], ["lis", "xlist", "List"]),
        ("$", "info", ["info", "getinfo"], ["infox", "Info"]),
        ("~", "vepa", ["approvepairing", "vepa"], ["vep", ""]),
        (
            "<",
            "5",
            ["4", "-7", "+4", "004", "-9223372036854775808"],
            ["5", "6", "", "x", " 4", "4 ", "4_0", "٤"],
        ),
        ("<", "+5", ["4"], ["5"]),
        ("<", "9223372036854775808", [], ["1", "-1"]),
        ("<", "x", [], ["1"]),
        (">", "-5", ["-4", "0", "9223372036854775807"], ["-5", "-6", "9223372036854775808", ""]),
        ("{", "b", ["", "a", "azz", "B"], ["b", "ba", "c"]),
        ("}", "b", ["ba", "c", "é"], ["b", "a", ""]),
        ("!", "ignored", [""], ["a", "ignored"]),
        ("#", "ignored", ["", "a"], []),
    ],
)
def test_operator(op, wanted, yes, no):
    alternative = Alternative("field", op, wanted)
    assert dict.fromkeys(yes, True) == {value: holds(alternative, value) for value in yes}
    assert dict.fromkeys(no, False) == {value: holds(alternative, value) for value in no}


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("wanted", ["", "x", "5"])
def test_on_a_missing_field_only_absence_and_comments_hold(op, wanted):
    assert (op in "!#") is holds(Alternative("field", op, wanted), None)


def test_order_is_that_of_bytes_and_not_of_utf16():
    """U+FF5E sorts after U+1F4A1 in UTF-16, before it in UTF-8."""
    assert holds(Alternative("field", "}", "\uff5e"), "\U0001f4a1")
    assert holds(Alternative("field", "{", "\U0001f4a1"), "\uff5e")


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 30))
def test_reads_every_64_bit_number_with_leading_zeros(number, zeros):
    sign = "-" if number < 0 else ""
    assert number == integer(f"{sign}{'0' * zeros}{abs(number)}")


@pytest.mark.parametrize(
    "text", ["", "+", "-", "--1", "1.0", "1e3", "0x1", "1\n", "\n1", "１", "²", "1" * 5_000]
)
def test_refuses_every_other_number(text):
    assert integer(text) is None


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), str(10**19)])
def test_refuses_numbers_beyond_64_bits(text):
    assert integer(text) is None
