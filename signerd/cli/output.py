"""The rules of talking: results to stdout; everything else, and every error, to stderr.

Messages have no capital and no full stop at the joints, because `error:` and `hint:` come before them.
"""

from __future__ import annotations

import json as json_module
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import click

from signerd.errors import Interrupted, SignerdError


def result(data: Mapping[str, Any] | list[Any], text: str, *, json: bool) -> None:
    """The result of a command: one JSON document, or text for people."""
    print(json_module.dumps(data) if json else "\n".join(map(plain, text.split("\n"))), flush=True)


def plain(text: str) -> str:
    """One line that cannot steer a terminal: what is not printable is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def talk(message: str) -> None:
    """Something for the person at the terminal, never for a pipe."""
    print("\n".join(map(plain, message.split("\n"))), file=sys.stderr, flush=True)


def error(problem: SignerdError, *, json: bool) -> None:
    """`error:` and `hint:` on stderr; with --json the same as a document on stdout."""
    if json:
        document = {
            "error": problem.message,
            "hint": problem.hint,
            "kind": type(problem).__name__,
            "code": int(problem.exit_code),
        }
        if rule := getattr(problem, "rule", None):
            document["rule"] = rule
        print(json_module.dumps(document), flush=True)
    for label, colour, text in (("error:", "red", problem.message), ("hint:", "cyan", problem.hint)):
        if text:
            print(f"{paint(label, colour, stream=sys.stderr)} {plain(text)}", file=sys.stderr, flush=True)


def confirm(question: str, *, yes: bool = False) -> None:
    """Ask on the terminal. Raises Interrupted when the answer is no, or when nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Interrupted(f"{question}: nobody to ask", hint="add --yes to go on without asking")
    if not click.confirm(question, default=False, err=True):
        raise Interrupted("nothing was done")


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """In colour where `stream` (stdout) is a terminal that wants it."""
    out = stream or sys.stdout
    plain = not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, fg=colour, bold=True)
