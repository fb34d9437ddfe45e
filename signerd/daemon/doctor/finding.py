"""One thing that was looked at: what it is called, how it stands, what to do."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from signerd.errors import ExitCode, SignerdError


class Verdict(enum.StrEnum):
    """How it stands."""

    PASS = "pass"  # noqa: S105 - a verdict, and no secret
    WARN = "warn"
    """It works, and may not for long, or not safely."""
    FAIL = "fail"
    """signerd does not work like this."""
    SKIP = "skip"
    """It could not be looked at, because something before it has failed or is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`check` is stable, programs match on it. `hint` says what to do about a warning or failure."""

    check: str
    verdict: Verdict
    says: str
    hint: str | None = None
    code: ExitCode = ExitCode.OK


def passed(check: str, says: str) -> Finding:
    return Finding(check=check, verdict=Verdict.PASS, says=says)


def warned(check: str, says: str, hint: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARN, says=says, hint=hint)


def failed(check: str, problem: SignerdError) -> Finding:
    """From an error, in its own words and with its own exit code."""
    return Finding(
        check=check,
        verdict=Verdict.FAIL,
        says=problem.message,
        hint=problem.hint or "see docs/operations.md",
        code=problem.exit_code,
    )


def skipped(check: str, says: str) -> Finding:
    return Finding(check=check, verdict=Verdict.SKIP, says=says)


def attempt(check: str, look: Callable[[], str]) -> Finding:
    """What `look` says, or the error that it raises."""
    try:
        return passed(check, look())
    except SignerdError as problem:
        return failed(check, problem)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """That of the first failure: the later ones may follow from it."""
    return next((item.code for item in findings if item.verdict is Verdict.FAIL), ExitCode.OK)
