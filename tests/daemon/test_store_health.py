"""A store that cannot be written refuses, and is used again once it can."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous
from helpers.phones import KEYS, approval_at

from signerd.core.pairing import Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import ChannelId
from signerd.core.wire import codec
from signerd.core.wire.channel import NewChannel
from signerd.core.wire.session import Ping
from signerd.daemon import pairing_inbox, store_health
from signerd.daemon.guarded import GuardedDesk, GuardedService
from signerd.daemon.pairing_desk import Answered
from signerd.daemon.pairing_inbox import PairingInbox
from signerd.daemon.recorder import Recorder
from signerd.daemon.store_health import StoreHealth
from signerd.errors import StateError, StateLost
from signerd.greenlight.pb import scheduler_pb2 as pb
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.store import lineage
from signerd.store.state_db import StateDb

PING = SigningRequest(1, codec.encode(Ping(7, "hello")))


def new_channel(number: int) -> SigningRequest:
    return SigningRequest(number, codec.encode(NewChannel(bytes(KEYS.node_id), number)))


@contextlib.contextmanager
def no_writes():
    """Every write of this process fails, as on a disk that gives errors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Case:
    def __init__(self, store: StateDb, path: Path) -> None:
        self.store = store
        self.told: list[Event] = []
        self.clock = FakeClock()
        self.health = StoreHealth(store, path, Bus(self.told.append))
        signer, recorder = Signer(KEYS, "regtest"), Recorder(store, self.clock)
        self.service = GuardedService(signer, store, recorder, self.health)
        self.desk = GuardedDesk(KEYS, PairingPolicy(), (), store, recorder, health=self.health)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "signerd.db"


@pytest.fixture
def case(path):
    with lineage.in_use(path, KEYS.node_id) as store:
        yield Case(store, path)


def test_what_cannot_be_remembered_is_refused_by_name_and_answered_later(case, path):
    with no_writes():
        outcome = case.service.answer(new_channel(1))
        assert isinstance(outcome, Refusal)
        assert outcome.rule == "store-failing"
        assert str(path) in outcome.reason
        case.health.look()
        assert case.health.reason is not None
    case.health.look()
    assert case.health.reason is None
    assert isinstance(case.service.answer(new_channel(1)), Signed)
    assert case.store.channel_count == 1
    assert [type(event) for event in case.told] == [events.StoreFailing, events.StoreWell]


def test_memory_and_disk_hold_the_same_after_a_failure(case, path):
    assert isinstance(case.service.answer(new_channel(1)), Signed)
    with no_writes():
        case.service.answer(new_channel(2))
    case.health.look()
    assert isinstance(case.service.answer(new_channel(3)), Signed)
    with StateDb(path) as again:
        known = [again.channel(ChannelId(bytes(KEYS.node_id), number)) for number in (1, 2, 3)]
        assert [channel is not None for channel in known] == [True, False, True]
        assert again.channel_count == case.store.channel_count == 2


def test_while_it_fails_nothing_is_answered_at_all(case):
    assert isinstance(case.service.answer(PING), Signed)
    with no_writes():
        case.service.answer(new_channel(1))
        outcome = case.service.answer(PING)
    assert isinstance(outcome, Refusal)
    assert outcome.rule == "store-failing"


def test_an_approval_that_could_not_be_remembered_is_approved_later(case):
    approval = approval_at(case.clock.now())
    with no_writes():
        outcome = case.desk.decide(approval)
        assert isinstance(outcome, Denied)
        assert outcome.rule is PairingRule.STORE_FAILING
        assert "disk" in (outcome.hint or "")
    case.health.look()
    assert isinstance(case.desk.decide(approval), Answered)


def test_a_file_in_the_place_of_the_store_is_not_taken_for_it(case, path):
    with no_writes():
        case.service.answer(new_channel(1))
    shutil.copyfile(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)
    with pytest.raises(StateError, match="not the file any more"):
        case.health.look()
    assert case.health.reason is not None


def test_a_store_whose_directory_is_away_is_waited_for(case, path, tmp_path):
    with no_writes():
        case.service.answer(new_channel(1))
    away = tmp_path.with_name("away")
    tmp_path.rename(away)
    case.health.look()
    assert "cannot be reached" in (case.health.reason or "")
    away.rename(tmp_path)
    case.health.look()
    assert case.health.reason is None


def test_a_store_that_is_lost_is_not_waited_for(case):
    with pytest.raises(StateLost), case.health.noting():
        raise StateLost("gone")
    assert case.told == []


def inbox_of(case: Case) -> PairingInbox:
    """Which holds for a person, and answers refusals."""
    case.desk.set_policy(PairingPolicy(mode="confirm"), ())
    return PairingInbox(case.desk, Bus(case.told.append), answer_refusals=True)


def question(request_id: int, approval: PairingApproval) -> pb.SignerRequest:
    asked = {name: getattr(approval, name) for name in pb.ApprovePairingRequest.DESCRIPTOR.fields_by_name}
    return pb.SignerRequest(request_id=request_id, approve_pairing=pb.ApprovePairingRequest(**asked))


@asynchronous
async def test_a_disk_is_no_final_answer_to_an_approval(case):
    inbox = inbox_of(case)
    asked = question(7, approval_at(case.clock.now()))
    with no_writes():
        response, event = inbox.answer(asked)
    assert response is None
    assert isinstance(event, events.PairingRefused)
    assert event.rule is PairingRule.STORE_FAILING
    case.health.look()
    assert isinstance(inbox.answer(asked)[1], events.PairingWaiting)
    # Any other refusal is told.
    response, _ = inbox.answer(question(8, approval_at(case.clock.now() - 10_000)))
    assert response is not None
    assert response.request_id == 8


@asynchronous
async def test_what_runs_out_while_the_store_fails_is_closed_once_it_works(case, monkeypatch):
    monkeypatch.setattr(pairing_inbox, "TICK_SECONDS", 0.001)
    inbox = inbox_of(case)
    inbox.answer(question(7, approval_at(case.clock.now())))
    (item,) = inbox.waiting()
    case.clock.advance(1000)
    case.store._connection.execute("PRAGMA query_only = ON")
    loop = asyncio.create_task(inbox.run())
    while case.health.reason is None:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert inbox.waiting() == ()
    case.store._connection.execute("PRAGMA query_only = OFF")
    case.health.look()
    async with asyncio.timeout(10):
        while not any(isinstance(event, events.PairingExpired) for event in case.told):
            await asyncio.sleep(0.001)
    assert case.store.approvals().keys() == {item.digest}
    loop.cancel()


# What no disk explains


def other(path: Path, *statements: str) -> None:
    """What somebody else does to the file; the daemon's connection sees it with its next transaction."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def forbid(path: Path, table: str) -> None:
    other(
        path,
        f"CREATE TRIGGER forbid BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'not here'); END",
    )


def damage(path: Path, table: str) -> bytes:
    """Fill a table's root page with nonsense; returns the page as it was."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        before = file.read(size)
        file.seek((page - 1) * size)
        file.write(b"\xee" * size)
    touch(path)
    return before


def mend(path: Path, table: str, page: bytes) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (number,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
    with path.open("r+b") as file:
        file.seek((number - 1) * len(page))
        file.write(page)
    touch(path)


def touch(path: Path) -> None:
    """So that no page counts as known any more."""
    other(path, "UPDATE lineage SET uses = uses")


def failures(case: Case) -> list[events.StoreFailing]:
    return [event for event in case.told if isinstance(event, events.StoreFailing)]


def test_a_table_that_takes_no_row_is_not_well_though_another_one_is(case, path):
    forbid(path, "audit")
    assert isinstance(case.service.answer(new_channel(1)), Refusal)
    for _ in range(3):
        case.health.look()
        assert "not here" in (case.health.reason or "")
    assert [type(event) for event in case.told] == [events.StoreFailing]
    other(path, "DROP TRIGGER forbid")
    case.health.look()
    assert case.health.reason is None
    assert isinstance(case.service.answer(new_channel(1)), Signed)


@pytest.mark.parametrize("table", ["audit", "channel"])
def test_a_damaged_page_is_told_once_with_its_remedy_and_tried_until_it_is_mended(case, path, table):
    assert isinstance(case.service.answer(new_channel(1)), Signed)
    page = damage(path, table)
    assert isinstance(case.service.answer(new_channel(2)), Refusal)
    for _ in range(3):
        case.health.look()
    assert "malformed" in (case.health.reason or "")
    (failing,) = failures(case)
    assert "damaged" in failing.hint
    assert case.told == [failing]
    mend(path, table, page)
    case.health.look()
    assert case.health.reason is None
    assert isinstance(case.service.answer(new_channel(2)), Signed)
    assert case.store.channel_count == 2


@pytest.mark.parametrize("state", [b"\x01garbage", b"\x07\x80"])
def test_a_channel_that_cannot_be_read_refuses_everything_until_it_can(path, state):
    with lineage.in_use(path, KEYS.node_id) as store:
        assert isinstance(Case(store, path).service.answer(new_channel(1)), Signed)
        ((good,),) = store.rows("SELECT state FROM channel")
    other(path, f"UPDATE channel SET state = x'{state.hex()}'")
    with lineage.in_use(path, KEYS.node_id) as store:
        case = Case(store, path)
        assert isinstance(case.service.answer(new_channel(2)), Signed)
        assert isinstance(case.service.answer(new_channel(1)), Refusal)
        for _ in range(3):
            case.health.look()
            assert isinstance(case.service.answer(PING), Refusal)
        (failing,) = failures(case)
        assert "A damaged store" in failing.hint
        other(path, f"UPDATE channel SET state = x'{good.hex()}' WHERE state = x'{state.hex()}'")
        case.health.look()
        assert isinstance(case.service.answer(PING), Signed)


def test_a_store_that_was_set_back_while_its_disk_was_away_is_not_used(case, path):
    assert isinstance(case.service.answer(new_channel(1)), Signed)
    with no_writes():
        assert isinstance(case.service.answer(new_channel(2)), Refusal)
    ((number, record, digest),) = case.store.rows("SELECT * FROM audit ORDER BY number DESC LIMIT 1")
    other(path, f"DELETE FROM audit WHERE number = {number}")
    for _ in range(3):
        case.health.look()
        assert "another last record than was written last" in (case.health.reason or "")
        assert isinstance(case.service.answer(PING), Refusal)
    other(path, f"INSERT INTO audit VALUES ({number}, x'{record.hex()}', x'{digest.hex()}')")
    case.health.look()
    assert isinstance(case.service.answer(PING), Signed)


def test_damage_that_comes_to_light_behind_a_full_disk_has_its_remedy_told_too(case, path):
    assert isinstance(case.service.answer(new_channel(1)), Signed)
    with no_writes():
        case.service.answer(new_channel(2))
    damage(path, "audit")
    case.health.look()
    case.health.look()
    full, damaged = failures(case)
    assert "free some space" in full.hint
    assert "damaged" in damaged.hint


def test_what_is_rehearsed_leaves_nothing_behind(case, path):
    assert isinstance(case.service.answer(new_channel(1)), Signed)
    tables = [name for (name,) in case.store.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    before = {name: case.store.rows(f"SELECT * FROM {name}") for name in tables}
    case.store.rehearse(thorough=True)
    assert {name: case.store.rows(f"SELECT * FROM {name}") for name in tables} == before


def test_every_table_is_rehearsed(case, path):
    tables = case.store.rows(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    for (name,) in tables:
        forbid(path, name)
        with pytest.raises(StateError, match="not here"):
            case.store.rehearse(thorough=False)
        other(path, "DROP TRIGGER forbid")
    case.store.rehearse(thorough=False)


@asynchronous
async def test_what_fails_again_at_once_after_each_recovery_is_tried_ever_more_rarely(case, monkeypatch):
    monkeypatch.setattr(store_health, "MOST_SECONDS", 0.08)
    recoveries: list[float] = []

    async def fails_again() -> None:
        recoveries.append(asyncio.get_running_loop().time())
        with case.health.noting():
            raise StateError("as before")

    with case.health.noting():
        raise StateError("for the first time")
    watch = asyncio.create_task(case.health.run(fails_again, 0.01))
    while len(recoveries) < 6:
        await asyncio.sleep(0.005)
    watch.cancel()
    pauses = [after - before for before, after in itertools.pairwise(recoveries)]
    assert pauses[0] >= 0.02
    assert min(pauses[2:]) >= 0.08
    assert max(pauses) < 10
