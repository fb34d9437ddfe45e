"""On which line of a TOML text does a key get its value?

A scan, not a parser: tomllib has judged the text before, so only the heads of lines have to be understood. It
passes over values of several lines; a key inside an inline table is on the line of that table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_NAME = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*\[{{1,2}}[ \t]*(?P<name>{_NAME})[ \t]*\]{{1,2}}")
_VALUE = re.compile(rf"[ \t]*(?P<name>{_NAME})[ \t]*=")
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|' r"'''.*?'''|" r'"(?:[^"\\\n]|\\.)*"|' r"'[^'\n]*'|#[^\n]*|[\[\]{}]", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a key is set: its first and last line, counted from 0, and where its name stands in the first."""

    key: str
    first: int
    last: int
    start: int
    end: int


def entries(text: str) -> list[Entry]:
    """Every place where a key is given a value, in order. Only for text that is valid TOML."""
    return list(_scan(text))


def lines(text: str) -> dict[str, int]:
    """Every key and its line, counted from 1; of a list of tables the line of its first header."""
    found: dict[str, int] = {}
    for number, line in _headers(text):
        found.setdefault(line, number + 1)
    for entry in entries(text):
        found[entry.key] = found.get(entry.key, entry.first + 1)
    return found


def _headers(text: str) -> Iterator[tuple[int, str]]:
    for number, line in _heads(text):
        if header := _HEADER.match(line):
            yield number, _plain(header["name"])


def _scan(text: str) -> Iterator[Entry]:
    prefix = ""
    everything = text.split("\n")
    heads = _heads(text)
    for position, (number, line) in enumerate(heads):
        if header := _HEADER.match(line):
            prefix = _plain(header["name"]) + "."
        elif value := _VALUE.match(line):
            last = heads[position + 1][0] - 1 if position + 1 < len(heads) else len(everything) - 1
            # What stands between is the rest of a value of several lines; every other line is a head.
            yield Entry(prefix + _plain(value["name"]), number, last, value.start("name"), value.end("name"))


def _heads(text: str) -> list[tuple[int, str]]:
    """The lines that begin something (also comments and empty ones), not those inside a longer value."""
    heads = []
    inside: list[bool] = []
    for line_number, line in enumerate(text.split("\n")):
        inside.append(False)
        heads.append((line_number, line))
    for first, last in _long_values(text):
        for number in range(first + 1, last + 1):
            inside[number] = True
    return [(number, line) for number, line in heads if not inside[number]]


def _long_values(text: str) -> Iterator[tuple[int, int]]:
    """First and last line of every value that goes over several lines."""
    depth, opened = 0, 0
    for token in _TOKEN.finditer(text):
        piece = token.group()
        line = text.count("\n", 0, token.start())
        if piece.startswith(('"""', "'''")):
            yield line, line + piece.count("\n")
        elif piece in "[{":
            opened = opened if depth else line
            depth += 1
        elif piece in "]}":
            depth = max(0, depth - 1)
            if depth == 0:
                yield opened, line


def _plain(name: str) -> str:
    """A key without quotes and blanks, as its dotted name."""
    return ".".join(
        tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part
        for part in re.findall(_PART, name)
    )
