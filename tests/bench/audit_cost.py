"""What the audit record costs a decision: with it and without it, in turn, in this process and on this disk.

    PYTHONPATH=tests python -m bench.audit_cost [--directory DIR] [--rounds N]

`without` decides and commits what the decision changes, `with` goes through the signing service, and renders
the line that is logged as well. A durable decision that changes nothing has nothing to commit without a
record: all of its transaction is the record's, and it is shown apart. Routine decisions are flushed once in
200. On a machine that does other things, the rows of CPU time say more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from bench.table import percentile
from helpers.clock import FakeClock
from helpers.lives import NOW, account_of, keys_of, request_of

from signerd.core.audit import routine
from signerd.core.audit.record import channel_name
from signerd.core.audit.words import facts_line
from signerd.core.requests import Signed
from signerd.core.signer import Signer
from signerd.core.wire import names
from signerd.core.wire.composites import Side
from signerd.daemon.recorder import Recorder
from signerd.daemon.signing_service import SigningService
from signerd.dev import player
from signerd.dev.channel import Channel, Terms
from signerd.dev.lifecycle import Life
from signerd.dev.steps import Step
from signerd.observe import events
from signerd.observe.logs import Log
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

LIMIT_MS = 2.0
FLUSH_EVERY = 200
TERMS = Terms(funder=Side.REMOTE, value_sat=10_000_000, push_msat=5_000_000_000)
_Answer = Callable[[Step], bytes]


@dataclass
class Lane:
    """One way of answering, its node's life, and how long each kind of decision took, in milliseconds."""

    answer: _Answer
    taken: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    life: Life = field(default_factory=lambda: Life(account_of(keys_of()), seed=b"audit", now=NOW))
    channel: Channel | None = None

    def __call__(self, step: Step) -> bytes:
        begun, worked = time.perf_counter(), time.thread_time()
        reply = self.answer(step)
        milliseconds = (time.perf_counter() - begun) * 1000
        of_work = (time.thread_time() - worked) * 1000
        number = int.from_bytes(step.raw[:2], "big")
        kind = _kind(number)
        self.taken[kind].append(milliseconds)
        self.taken[f"{kind}, CPU alone"].append(of_work)
        self.taken[f"  {names.NAMES[number]}"].append(milliseconds)
        return reply

    def round(self, number: int) -> None:
        """What happens between two withdrawals: handshakes, new feerates, payments."""
        life = self.life
        if self.channel is None:
            self.channel = player.play_at_once(self, life.open(TERMS))
        for _ in range(10):
            player.play_at_once(self, life.connect())
        player.play_at_once(self, life.change_feerate(self.channel, 1000 + number % 2))
        if number % 5 == 0:
            player.play_at_once(self, life.pay(self.channel, 500_000))
        if number % 10 == 0:
            player.play_at_once(self, life.withdraw(50_000))


CHANGING = {11, 30, 31, 34, 37}
"""Of the routine ones, those whose first asking changes something."""
NEWLY_COMMITTED = {7, 8}
"""Durable, and without a record there would be nothing to commit: withdrawals and invoices."""


def _kind(number: int) -> str:
    if number in NEWLY_COMMITTED:
        return "durable, changes nothing"
    return "routine" if number in routine.ROUTINE and number not in CHANGING else "durable"


@contextmanager
def without_record(directory: Path) -> Iterator[Lane]:
    """As it was before there were records."""
    signer = Signer(keys_of(), "regtest")
    with StateDb(directory / "without.db") as store:

        def answer(step: Step) -> bytes:
            outcome = signer.handle(request_of(step), store, UnixTime(NOW))
            assert isinstance(outcome, Signed), outcome
            if not outcome.changes.empty:
                store.commit(outcome.changes)
            return outcome.reply

        yield Lane(answer)


@contextmanager
def with_record(directory: Path, sink: TextIO) -> Iterator[Lane]:
    """Through the signing service, with the line of the log."""
    log = Log(form="json", level="info", descriptor=sink.fileno())
    clock = FakeClock(NOW)
    with StateDb(directory / "with.db") as store:
        recorder = Recorder(store, clock)
        service = SigningService(Signer(keys_of(), "regtest"), store, recorder)
        asked = 0

        def answer(step: Step) -> bytes:
            nonlocal asked
            asked += 1
            clock.advance(0.002)
            outcome = service.answer(request_of(step))
            assert isinstance(outcome, Signed), outcome
            _tell(service, log)
            if asked % FLUSH_EVERY == 0:
                recorder.flush()
            return outcome.reply

        yield Lane(answer)


def _tell(service: SigningService, log: Log) -> None:
    record = service.latest
    assert record is not None
    channel = record.decision.channel
    log.emit(
        events.RequestAnswered(
            request_id=1,
            message=record.decision.message,
            ms=0.0,
            audit=record.number,
            channel=None if channel is None else channel_name(channel),
            facts=facts_line(record.decision.facts),
        )
    )


def main() -> None:
    """Print both, for each kind of decision and each message."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, help="on the disk that is to be measured")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as name,
        Path(name, "log").open("w", encoding="utf-8") as sink,
        without_record(Path(name)) as bare,
        with_record(Path(name), sink) as recorded,
    ):
        for number in range(arguments.rounds):
            for lane in (bare, recorded) if number % 2 else (recorded, bare):
                lane.round(number)
    _print(bare, recorded)


def _print(bare: Lane, recorded: Lane) -> None:
    heads = (
        f"{'milliseconds':<30}",
        f"{'count':>6}",
        "p50 without",
        f"{'with':>9}",
        "p99 without",
        f"{'with':>9}",
    )
    print(*heads)
    for kind in sorted(bare.taken, key=lambda name: (name.startswith(" "), name)):
        one, other = bare.taken[kind], recorded.taken[kind]
        cells = (statistics.median(one), statistics.median(other), percentile(one, 99), percentile(other, 99))
        print(
            f"{kind:<30} {len(one):>6} {cells[0]:>11.3f} {cells[1]:>9.3f} {cells[2]:>11.3f} {cells[3]:>9.3f}"
        )
    added = percentile(recorded.taken["durable"], 99) - percentile(bare.taken["durable"], 99)
    verdict = "met" if added <= LIMIT_MS else "MISSED"
    print(f"added to a durable decision, p99: {added:.3f} ms (at most {LIMIT_MS:g}): {verdict}")


if __name__ == "__main__":
    main()
