"""Nothing is told that is not recorded, in its order; and what is routine costs no transaction of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import decider
from helpers.audit import NODE
from helpers.clock import FakeClock
from helpers.decider import KEYS, POINT
from helpers.world import environment

from signerd.core.audit import record as records
from signerd.core.audit import trail
from signerd.core.audit.decision import of_pairing
from signerd.core.audit.record import Decision, Record
from signerd.core.requests import Context, Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import ChannelId
from signerd.core.wire import codec
from signerd.core.wire.channel import NewChannel
from signerd.core.wire.identity import DeriveSecret, Ecdh
from signerd.daemon.audit_flush import AuditFlush
from signerd.daemon.recorder import Recorder
from signerd.daemon.signing_service import SigningService
from signerd.daemon.store_health import StoreHealth
from signerd.errors import StateError
from signerd.observe.bus import Bus
from signerd.store import lineage
from signerd.store.audit_file import AuditFile
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

ECDH = codec.encode(Ecdh(POINT))
DERIVE = codec.encode(DeriveSecret(b"some label"))
UNKNOWN = (9999).to_bytes(2, "big")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateDb]:
    with lineage.in_use(tmp_path / "signerd.db", NODE) as store:
        yield store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recorder(store: StateDb, clock: FakeClock) -> Recorder:
    return Recorder(store, clock)


@pytest.fixture
def service(store: StateDb, recorder: Recorder) -> SigningService:
    return SigningService(Signer(KEYS, "regtest"), store, recorder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signerd.db"


def recorded(path: Path) -> list[Record]:
    """What another process sees, once it has verified the chain."""
    with AuditFile(path) as audit:
        audit.verify()
        return [records.parse(row.raw) for row in audit.rows(0)]


def decisions(path: Path) -> list[Decision]:
    return [record.decision for record in recorded(path)]


def latest(service: SigningService) -> Record:
    assert service.latest is not None
    return service.latest


def test_a_durable_answer_is_recorded_when_it_is_given(service, path, clock):
    outcome = service.answer(SigningRequest(5, DERIVE))
    assert isinstance(outcome, Signed)
    (found,) = recorded(path)

    assert found == latest(service)
    assert (found.number, found.decision.request_id, found.decision.time) == (1, 5, clock.now())
    assert found.decision.facts == {"label": "some label"}
    assert found.decision.reply_digest is None
    assert outcome.reply[2:].hex() not in records.canonical(found).decode()


def test_a_refusal_is_recorded_when_it_is_told(service, path):
    outcome = service.answer(SigningRequest(6, UNKNOWN, Context(POINT, 7, 0)))
    assert isinstance(outcome, Refusal)
    (found,) = decisions(path)

    assert (found.outcome, found.rule, found.reason) == ("refused", outcome.rule, outcome.reason)
    assert (found.message, found.channel) == ("type_9999", ChannelId(POINT, 7))


def test_routine_answers_wait_for_the_next_transaction_and_keep_their_order(service, store, path):
    writes = store.writes
    for number in range(3):
        service.answer(SigningRequest(number, ECDH))
    assert (store.writes, decisions(path)) == (writes, [])
    assert latest(service).number == 3
    service.answer(SigningRequest(3, DERIVE))

    assert [item.request_id for item in decisions(path)] == [0, 1, 2, 3]
    assert [record.number for record in recorded(path)] == [1, 2, 3, 4]


def test_routine_answers_are_written_by_the_flush_and_nothing_is_written_twice(
    service, recorder, store, path
):
    service.answer(SigningRequest(1, ECDH))
    recorder.flush()
    writes = store.writes
    recorder.flush()

    assert store.writes == writes
    assert [item.message for item in decisions(path)] == ["ecdh_req"]


def test_the_change_and_its_record_are_one_transaction(service, store, path):
    request = SigningRequest(1, codec.encode(NewChannel(POINT, 1)))
    store._connection.execute("CREATE TRIGGER no BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no'); END")
    with pytest.raises(StateError):
        service.answer(request)
    assert store.channel(ChannelId(POINT, 1)) is None
    store._connection.execute("DROP TRIGGER no")
    service.answer(request)

    assert store.channel(ChannelId(POINT, 1)) is not None
    assert [record.number for record in recorded(path)] == [1]


def test_a_disk_that_fails_for_a_while_costs_no_record_and_no_number(service, recorder, store, path):
    service.answer(SigningRequest(1, ECDH))
    store._connection.execute("PRAGMA query_only = ON")
    for ask in (
        lambda: service.answer(SigningRequest(2, DERIVE)),
        lambda: service.answer(SigningRequest(3, UNKNOWN)),
        recorder.flush,
        lambda: recorder.refusal(of_pairing(4, UnixTime(0), rule="malformed", reason="no")),
    ):
        with pytest.raises(StateError):
            ask()
    store._connection.execute("PRAGMA query_only = OFF")
    service.answer(SigningRequest(5, DERIVE))

    assert [item.request_id for item in decisions(path)] == [1, 5]


def test_a_flood_of_refusals_costs_few_transactions_and_is_recorded_in_sum(service, recorder, path):
    for number in range(2_000):
        service.answer(SigningRequest(number, UNKNOWN))
    assert len(decisions(path)) == trail.ALIKE
    assert latest(service).number == 0
    recorder.flush()

    found = decisions(path)
    assert len(found) == trail.ALIKE + 1
    assert sum(item.count for item in found) == 2_000
    assert (found[-1].rule, found[-1].request_id) == ("unsupported-message", 1_999)


def test_numbers_go_on_after_a_restart(path):
    for number in range(3):
        with lineage.in_use(path, NODE) as store:
            service = SigningService(Signer(KEYS, "regtest"), store, Recorder(store, FakeClock()))
            service.answer(SigningRequest(number, ECDH))
            service.answer(SigningRequest(number, DERIVE))
    assert [record.number for record in recorded(path)] == [1, 2, 3, 4, 5, 6]


def test_the_loop_writes_and_forgets(service, recorder, store, clock, path):
    async def run() -> None:
        loop = AuditFlush(
            recorder, store, StoreHealth(store, path, Bus()), clock, keep_records=2, keep_days=1
        )
        task = asyncio.create_task(loop.run(seconds=0))
        for number in range(5):
            service.answer(SigningRequest(number, ECDH))
        while store.audit_head.number < 5:
            await asyncio.sleep(0)
        clock.advance(60)
        while recorded(path)[0].number < 4:
            await asyncio.sleep(0)
        clock.advance(200_000)
        while recorded(path)[0].number < 5:
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(run(), 10))
    assert [record.number for record in recorded(path)] == [5], "the last one always stays"


# In a process of its own


@contextlib.contextmanager
def deciding(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.decider", str(path)],
        stdout=subprocess.PIPE, text=True, cwd=Path(decider.__file__).parent.parent,
        env=environment(path.parent),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def told_by(lines: list[str]) -> dict[int, int]:
    """Request → the number of its record."""
    return {int(line.split()[0]): int(line.split()[1]) for line in lines if line.endswith("\n")}


def require_all_recorded(path: Path, told: dict[int, int]) -> None:
    found = {record.number: record.decision for record in recorded(path)}
    assert told
    for request_id, number in told.items():
        assert found[number].request_id == request_id
    in_order = [item.request_id for item in found.values() if item.count == 1]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("after", [1, 7, 60])
def test_a_kill_in_the_middle_leaves_a_whole_chain_with_all_that_was_told(tmp_path, after):
    path = tmp_path / "signerd.db"
    with deciding(path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    require_all_recorded(path, told_by(lines))
    # And the next run goes on where it was.
    with lineage.in_use(path, KEYS.node_id) as store:
        service = SigningService(Signer(KEYS, "regtest"), store, Recorder(store, FakeClock()))
        service.answer(SigningRequest(10**6, DERIVE))
    require_all_recorded(path, told_by(lines))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_it_and_nothing_was_told_that_is_not_recorded(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=768k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        with deciding(small / "signerd.db") as process:
            assert process.stdout is not None
            lines = process.stdout.readlines()
            assert process.wait() != 0, "a use that did not end well is not counted as one that did"
        assert "full" in lines[-1]
        require_all_recorded(small / "signerd.db", told_by(lines[:-1]))
    finally:
        subprocess.run(["umount", str(small)], check=True)
