"""`signerd explain`: a decision, or a rule, in plain words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import audit as audit_command
from signerd.cli import options, output
from signerd.errors import InputMissing, UsageError

if TYPE_CHECKING:
    from signerd.core.audit.record import Record

DOCUMENT_VERSION = 1


@click.command()
@click.argument("what", metavar="ID|RULE")
@click.option("--request", "by_request", is_flag=True, help="ID is a request's, of which the latest counts.")
@options.as_json
@options.common
def command(*, what: str, by_request: bool, json: bool, **common: Any) -> None:
    """Say what was asked, what became of it, by which rule, why, and what to do.

    ID is the number of an audit record: `audit` in the log, the first column of `signerd audit list`. A rule
    is explained by its name, without a look at any record.

    \b
    Examples:
      signerd explain 123
      signerd explain sign-message
    """
    from signerd.core import explain

    if not (what.isascii() and what.isdecimal()):
        rule = explain.of_rule(what)
        if rule is None or by_request:
            raise UsageError(
                f"{what!r} is neither a number nor a rule",
                hint="the rules are in the documentation: Signing, Pairing",
            )
        document: dict[str, Any] = {
            "v": DOCUMENT_VERSION, "rule": what, "meaning": rule.meaning, "remedy": rule.remedy,
        }  # fmt: skip
        output.result(
            document, _paragraphs([("rule", what), ("means", rule.meaning), ("do", rule.remedy)]), json=json
        )
        return
    record = _find(int(what), common, by_request=by_request)
    from signerd.core.audit import record as records
    from signerd.core.explain.addresses import with_addresses

    facts = with_addresses(record.decision.facts, options.settings(common).network)
    told = explain.of_decision(replace(record.decision, facts=facts))

    document = {
        "v": DOCUMENT_VERSION,
        "record": records.document(record),
        "asked": told.asked,
        "outcome": told.outcome,
        "meaning": told.meaning,
        "remedy": told.remedy,
    }
    output.result(document, _text(record, told), json=json)


def _find(number: int, common: dict[str, Any], *, by_request: bool) -> Record:
    with audit_command.opened(common) as audit:
        if not by_request:
            row = audit.row(number)
            if row is not None:
                return audit_command.read(row)
            start, head = audit.start, audit.head
            raise InputMissing(
                f"there is no record {number}",
                hint=f"the records go from {start.number + 1} to {head.number}"
                if head.number > start.number
                else "no decision is recorded yet",
            )
        for row in audit.rows_back():
            record = audit_command.read(row)
            if record.decision.kind == "request" and record.decision.request_id == number:
                return record
    raise InputMissing(
        f"no record is of request {number}",
        hint="requests that repeat too often are only counted; see `signerd audit list`",
    )


def _text(record: Record, told: Any) -> str:
    decision = record.decision
    pairs = [
        ("record", f"{record.number}, {audit_command.when(decision.time)}"),
        ("asked", told.asked),
        ("became", told.outcome if told.rule is None else f"{told.outcome}, by the rule {told.rule}"),
    ]
    pairs += [("why", told.reason)] if told.reason else []
    pairs += [("facts", line) for line in told.facts]
    pairs += [("means", told.meaning)] if told.meaning else []
    pairs += [("do", told.remedy)] if told.remedy else []
    return _paragraphs(pairs)


def _paragraphs(pairs: list[tuple[str, str]]) -> str:
    lines, before = [], ""
    for name, text in pairs:
        lines.append(f"{'' if name == before else name:<8}{text}")
        before = name
    return "\n".join(lines)
