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

JSON_VERSION = 1
"""Of every JSON document (docs/json.md): it grows when a field goes or changes its meaning."""

NO_INPUT = "signerd.no-input"
"""Under this name --no-input is remembered in click's context."""


def result(data: Mapping[str, Any], text: str, *, json: bool) -> None:
    """The result of a command: one JSON document, or text for people."""
    if json:
        document(data)
    else:
        print("\n".join(map(plain, text.split("\n"))), flush=True)


def document(data: Mapping[str, Any]) -> None:
    """One JSON document on one line; the only place where they are made, and where they get their version."""
    print(json_module.dumps({"v": JSON_VERSION, **data}), flush=True)


def plain(text: str) -> str:
    """One line that cannot steer a terminal: what is not printable is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def talk(message: str) -> None:
    """Something for the person at the terminal, never for a pipe."""
    print("\n".join(map(plain, message.split("\n"))), file=sys.stderr, flush=True)


def error(problem: SignerdError, *, json: bool) -> None:
    """`error:` and `hint:` on stderr; with --json the same as a document on stdout."""
    if json:
        told = {
            "error": problem.message,
            "hint": problem.hint,
            "kind": type(problem).__name__,
            "code": int(problem.exit_code),
        }
        if rule := getattr(problem, "rule", None):
            told["rule"] = rule
        document(told)
    for label, colour, text in (("error:", "red", problem.message), ("hint:", "cyan", problem.hint)):
        if text:
            print(f"{paint(label, colour, stream=sys.stderr)} {plain(text)}", file=sys.stderr, flush=True)


def confirm(question: str, *, yes: bool = False) -> None:
    """Ask on the terminal. Raises Interrupted when the answer is no, or when nobody can be asked."""
    if yes:
        return
    may_ask(question, hint="add --yes to go on without asking")
    if not click.confirm(question, default=False, err=True):
        raise Interrupted("nothing was done")


def refuse_input(question: str, *, hint: str) -> None:
    """Before a question: --no-input forbids it. Raises Interrupted; the hint names the flag that answers."""
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(NO_INPUT):
        raise Interrupted(f"{question}: not asked, because of --no-input", hint=hint)


def may_ask(question: str, *, hint: str) -> None:
    """The same, and that somebody is there to be asked."""
    refuse_input(question, hint=hint)
    if not sys.stdin.isatty():
        raise Interrupted(f"{question}: nobody to ask", hint=hint)


def colours(stream: TextIO) -> bool:
    """Whether colours are wanted here: on a terminal that has them, unless NO_COLOR says no."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, *, stream: TextIO | None = None) -> str:
    """In colour where `stream` (stdout) is a terminal that wants it."""
    return click.style(text, fg=colour, bold=True) if colours(stream or sys.stdout) else text
