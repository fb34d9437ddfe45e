"""`signerd audit`: the record of every decision, read from the store, whether the daemon runs or not."""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signerd.cli import options, output
from signerd.errors import AuditBroken, StateError, UsageError

if TYPE_CHECKING:
    from signerd.core.audit.record import Head, Record
    from signerd.core.audit.verify import Row
    from signerd.store.audit_file import AuditFile

DOCUMENT_VERSION = 1
_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_OLDER_IN_A_ROW = 1000
_SHORT_PEER = 8


@click.group()
def command() -> None:
    """The record of every decision: a chain of hashes, in the store.

    These only read, also while `signerd run` is at work.
    """


@command.command("list")
@click.option("--since", metavar="TIME", help="Only from then on: 2h, 7d, a date, or Unix seconds.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--kind", type=click.Choice(["request", "pairing"]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most.")
@options.as_json
@options.common
def list_(
    *, since: str | None, refused: bool, kind: str | None, limit: int, json: bool, **common: Any
) -> None:
    """Show the newest decisions, the latest last."""
    from signerd.core.audit import record as records

    begin = None if since is None else moment(since, now=datetime.now(UTC))
    with opened(common) as audit:
        head = audit.head
        found = list(_newest(audit, begin=begin, refused=refused, kind=kind, limit=limit))[::-1]
    documents = [{**records.document(record), "hash": digest.hex()} for record, digest in found]
    text = "\n".join(_line(record) for record, _ in found) or "no decision is recorded that fits"
    output.result({"v": DOCUMENT_VERSION, "head": str(head), "records": documents}, text, json=json)


@command.command("verify")
@click.option(
    "--head", metavar="HEAD", help="A head that was noted earlier, to see that nothing after it is cut."
)
@options.as_json
@options.common
def verify(*, head: str | None, json: bool, **common: Any) -> None:
    """Check the whole chain, and print its head.

    Note the head somewhere else. Whoever can write the store can write another chain, or cut the end off
    this one: only a head that is kept elsewhere shows it.
    """
    from signerd.core.audit.verify import Broken

    expected = None if head is None else _head(head)
    with opened(common) as audit:
        try:
            start, last = audit.verify(expected)
        except Broken as broken:
            raise AuditBroken(
                f"the audit chain breaks at {broken}",
                hint="keep a copy of the whole data directory as it is, and find out who wrote to signerd.db",
            ) from None
    if expected is not None and expected.number < start.number:
        raise AuditBroken(
            f"the chain is whole, but record {expected.number} is forgotten: the oldest left is "
            f"{start.number + 1}",
            hint="compare with a head that was noted later, or with an export",
        )
    document = {
        "v": DOCUMENT_VERSION,
        "intact": True,
        "first": start.number + 1 if last.number > start.number else None,
        "last": last.number or None,
        "forgotten": start.number,
        "head": str(last),
    }
    output.result(document, _whole(start, last), json=json)


@command.command("export")
@click.option(
    "-o", "--output", "target", required=True, metavar="FILE",
    type=click.Path(path_type=Path, allow_dash=True), help="Where to; - is stdout.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE.")
@options.common
def export(*, target: Path, force: bool, **common: Any) -> None:
    """Write all records as JSON lines that anybody can verify.

    The documentation ("The audit record") has a verifier of some lines.
    """
    from signerd.store import files

    with opened(common) as audit:
        if str(target) == "-":
            for line in _lines(audit):
                print(line.decode())
            return
        with files.AtomicFile(target, exclusive=not force) as file:
            for line in _lines(audit):
                file.write(line + b"\n")
            file.commit()
    output.talk(f"written to {target}")


def opened(common: dict[str, Any]) -> AuditFile:
    """The audit records of these settings' store. Raises InputMissing, StateError."""
    from signerd.store.audit_file import AuditFile

    return AuditFile(options.settings(common).state_file)


def when(seconds: int) -> str:
    """A time as it is shown: UTC, to the second."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def moment(text: str, *, now: datetime) -> int:
    """Unix seconds of `2h`, `7d`, a date with or without a time (UTC, if it names no zone), or of themselves.

    Raises UsageError.
    """
    if ago := _AGO.fullmatch(text):
        return int((now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp())
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since: {text!r} is no time", hint="write 90m, 2h, 7d, 2026-11-26 or 2026-11-26T12:00"
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def read(row: Row) -> Record:
    """A stored row's record. Raises AuditBroken."""
    from signerd.core.audit import record as records
    from signerd.errors import MalformedMessage

    try:
        return records.parse(row.raw)
    except MalformedMessage as problem:
        raise AuditBroken(
            f"record {row.number}: {problem.message}", hint="see what `signerd audit verify` says"
        ) from problem


def _newest(
    audit: AuditFile, *, begin: int | None, refused: bool, kind: str | None, limit: int
) -> Iterator[tuple[Record, bytes]]:
    older = 0
    for row in audit.rows_back():
        record = read(row)
        decision = record.decision
        if begin is not None and decision.time < begin:
            # A clock that was set back leaves a few older ones among the others.
            older += 1
            if older >= _OLDER_IN_A_ROW:
                return
            continue
        older = 0
        if (refused and not decision.is_refusal) or (kind is not None and decision.kind != kind):
            continue
        yield record, row.hash
        limit -= 1
        if not limit:
            return


def _line(record: Record) -> str:
    from signerd.core.audit.words import facts_line

    decision = record.decision
    words = [f"{record.number:>8}", when(decision.time), f"{decision.outcome:<8}", decision.message]
    if decision.count != 1:
        words.append(f"×{decision.count}")
    if decision.channel is not None:
        words.append(f"{decision.channel.peer_id.hex()[:_SHORT_PEER]}…/{decision.channel.dbid}")
    if decision.rule is not None:
        words.append(f"{decision.rule}: {decision.reason}")
    elif facts := facts_line(decision.facts):
        words.append(facts)
    return "  ".join(words)


def _head(text: str) -> Head:
    from signerd.core.audit.record import Head
    from signerd.errors import MalformedMessage

    try:
        return Head.parse(text)
    except MalformedMessage as problem:
        raise UsageError(
            f"--head: {problem.message}", hint="take it as `signerd audit verify` prints it"
        ) from None


def _whole(start: Head, last: Head) -> str:
    if not last.number:
        return f"no decision is recorded yet\nhead  {last}"
    lines = [f"the chain is whole: records {start.number + 1} to {last.number}"]
    if start.number:
        lines.append(f"the {start.number} before them are forgotten")
    return "\n".join([*lines, f"head  {last}"])


def _lines(audit: AuditFile) -> Iterator[bytes]:
    """What hangs on what, in the order of the chain; the records as they are stored, to the byte."""
    start = before = audit.start
    yield json_module.dumps({"v": DOCUMENT_VERSION, "start": str(start)}).encode()
    for row in audit.rows(start.number):
        if row.number != before.number + 1 and audit.start != start:
            raise StateError(
                "the daemon forgot the oldest records while they were read", hint="run the command again"
            )
        yield b'{"hash":"%s","record":%s}' % (row.hash.hex().encode(), row.raw)
        before = type(before)(row.number, row.hash)
    yield json_module.dumps({"head": str(before)}).encode()
