"""The store survives restarts and kills, and says so when it cannot be trusted."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signerd.core.audit.record import Decision, Record
from signerd.core.keys import secp256k1
from signerd.core.keys.channel import Basepoints
from signerd.core.state.book import Changes, ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState, Content, Funding, Setup
from signerd.core.state.loss import Loss
from signerd.core.state.node import ApprovedPayment, NodeState
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.transaction import Outpoint
from signerd.errors import StateDamaged, StateError
from signerd.store import schema, state_db
from signerd.store.mark import Mark
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

DIGEST, OTHER = b"\x01" * 32, b"\x02" * 32
NOW = UnixTime(1_800_000_000)
DECISION = Decision(time=NOW, kind="request", request_id=1, message="new_channel", outcome="answered")


def test_remembers_over_a_restart_and_forgets_the_expired(tmp_path):
    with StateDb(tmp_path / "db") as store:
        store.remember_approval(DIGEST, timestamp=NOW, expires=UnixTime(NOW + 60), now=NOW)
    with StateDb(tmp_path / "db") as store:
        assert {DIGEST: NOW + 60} == store.approvals()
        assert store.approval_floor() == 0
        later = UnixTime(NOW + 61)
        store.remember_approval(OTHER, timestamp=later, expires=UnixTime(NOW + 200), now=later)
        assert {OTHER: NOW + 200} == store.approvals()
        assert NOW == store.approval_floor()
        store.remember_approval(b"\x03" * 32, timestamp=later, expires=later, now=later)
        assert NOW == store.approval_floor()


def test_is_private_with_all_its_side_files(tmp_path):
    with StateDb(tmp_path / "db") as store:
        store.remember_approval(DIGEST, timestamp=NOW, expires=NOW, now=NOW)
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}


def test_survives_a_kill_right_after_the_promise(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from signerd.store.state_db import StateDb\n"
        "store = StateDb(Path(sys.argv[1]))\n"
        "store.remember_approval(b'\\x01' * 32, timestamp=1, expires=2**40, now=0)\n"
        "print('promised', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "promised\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with StateDb(tmp_path / "db") as store:
        assert [DIGEST] == list(store.approvals())


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at", b"\x00" * 5000])
def test_refuses_a_file_that_is_no_store(tmp_path, content):
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(StateError, match="failed"):
        StateDb(tmp_path / "db")
    assert content == (tmp_path / "db").read_bytes()


def test_refuses_a_store_of_a_newer_signerd(tmp_path):
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    with pytest.raises(StateError, match="newer"):
        StateDb(tmp_path / "db")


def test_says_when_the_disk_does_not_take_it(tmp_path):
    """A read-only database file stands for any disk that refuses."""
    with StateDb(tmp_path / "db") as store:
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateError, match="failed"):
            store.remember_approval(DIGEST, timestamp=NOW, expires=NOW, now=NOW)
        assert {} == store.approvals()


def test_a_directory_in_its_place_is_told(tmp_path):
    (tmp_path / "db").mkdir()
    with pytest.raises(StateError):
        StateDb(tmp_path / "db")


PEER = secp256k1.public_key(b"\x05" * 32)
OUTPOINT = Outpoint(b"\x07" * 32, 1)
CHANNEL_ID = ChannelId(PEER, 2**64 - 1)
SETUP = Setup(
    is_outbound=True, push_msat=0, holder_delay=144, counterparty_delay=145, holder_shutdown_script=b"",
    holder_shutdown_index=None, counterparty=Basepoints(PEER, PEER, PEER, PEER, PEER),
    counterparty_shutdown_script=b"", channel_type=bytes.fromhex("401000"),
)  # fmt: skip
CONTENT = Content(500_000, 400_000, (Htlc(True, 2**40, b"\x01" * 32, 500),), 253)
READY = ChannelState().set_up(SETUP, Funding(OUTPOINT, 10**6, PEER))
LIVING = READY.sign_counterparty(0, PEER, OUTPOINT, CONTENT, Loss()).validate_holder(
    0, OUTPOINT, CONTENT, Loss()
)


def test_a_channel_comes_back_as_it_was(tmp_path):
    with StateDb(tmp_path / "db") as store:
        assert store.channel(CHANNEL_ID) is None
        store.commit(Changes(channels={CHANNEL_ID: LIVING}))
        assert LIVING == store.channel(CHANNEL_ID)
    with StateDb(tmp_path / "db") as store:
        assert LIVING == store.channel(CHANNEL_ID)
        assert store.channel_funded_by(OUTPOINT) == CHANNEL_ID
        assert store.channel_funded_by(Outpoint(b"\x07" * 32, 0)) is None
        store.commit(Changes(channels={CHANNEL_ID: None}, node=NodeState(forgotten_dbid=7)))
        assert store.channel(CHANNEL_ID) is None
    with StateDb(tmp_path / "db") as store:
        assert store.channel(CHANNEL_ID) is None
        assert store.node == NodeState(forgotten_dbid=7)


def test_payments_come_back_as_they_were(tmp_path):
    payment = ApprovedPayment(b"\x02" * 32, 2**64 - 1, NOW)
    with StateDb(tmp_path / "db") as store:
        store.commit(Changes(payments={DIGEST: payment}))
    with StateDb(tmp_path / "db") as store:
        assert payment == store.payment(DIGEST)
        store.commit(Changes(payments={DIGEST: None}))
        assert store.payment(DIGEST) is None


def test_more_channels_than_are_kept_decoded_are_all_there(tmp_path):
    count = state_db.CACHED_CHANNELS + 10
    with StateDb(tmp_path / "db") as store:
        store.commit(Changes(channels={ChannelId(PEER, n): ChannelState() for n in range(count)}))
        assert all(store.channel(ChannelId(PEER, n)) == ChannelState() for n in range(count))
        assert len(store._cache) == state_db.CACHED_CHANNELS
        assert [n for n in range(count + 1) if not store.has_channel(ChannelId(PEER, n))] == [count]


IDS = st.sampled_from([ChannelId(PEER, number) for number in range(5)])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.dictionaries(IDS, st.sampled_from([None, READY, LIVING])), st.frozensets(IDS))),
    st.data(),
)
def test_channels_are_counted_right_however_they_come_and_go(steps, data):
    """By a count that is kept, and by one that is made when the store is opened."""
    with tempfile.TemporaryDirectory() as directory:
        book, store = MemoryBook(), StateDb(Path(directory) / "db")
        for channels, foreign in steps:
            changes = Changes(channels=channels, foreign=foreign)
            book.apply(changes)
            store.commit(changes)
            if data.draw(st.booleans()):
                store.close()
                store = StateDb(Path(directory) / "db")
            if data.draw(st.booleans()):
                store.require_channels()
            if data.draw(st.booleans()):
                store._cache.clear()  # as if there were many others
            for key, state in store._stored._states.items():
                assert store.rows("SELECT state FROM channel WHERE id = ?", key) == [(state,)]
            assert (book.channel_count, book.foreign_count) == (store.channel_count, store.foreign_count)
            for number in [CHANNEL_ID, *channels, *foreign]:
                assert store.is_foreign(number) == book.is_foreign(number)
                assert store.has_channel(number) == book.has_channel(number)
                assert store.channel(number) == book.channel(number)
                assert book.has_channel(number) == (book.channel(number) is not None)
        store.close()


@pytest.mark.parametrize("cached", [True, False])
def test_memory_is_never_ahead_of_the_disk(tmp_path, cached):
    with StateDb(tmp_path / "db") as store:
        store.commit(Changes(channels={CHANNEL_ID: READY}))
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateError):
            store.commit(Changes(channels={CHANNEL_ID: LIVING}, node=NodeState(forgotten_dbid=1)))
        with pytest.raises(StateError):
            store.commit(Changes(channels={ChannelId(PEER, 1): LIVING}, foreign=frozenset({CHANNEL_ID})))
        with pytest.raises(StateError):
            store.commit(Changes(channels={CHANNEL_ID: None}))
        if not cached:
            store._cache.clear()
        assert READY == store.channel(CHANNEL_ID)
        assert store.node == NodeState()
        assert (1, 0) == (store.channel_count, store.foreign_count)


GONE_BACK = {
    "channel": "another state of channel",
    "node": "another state of the node",
    "audit": "another last record",
    "lineage": "another mark",
}


@pytest.mark.parametrize("table", GONE_BACK)
@pytest.mark.parametrize("memory", ["decoded", "stored"])
def test_a_disk_that_gives_earlier_rows_than_were_written_is_found_out(tmp_path, monkeypatch, table, memory):
    """As with a volume that was set back beneath us; until it gives the newest again."""
    path = tmp_path / "db"
    if memory == "stored":
        monkeypatch.setattr(state_db, "CACHED_CHANNELS", 0)
    with StateDb(path) as store:
        rows = []
        for uses, channel in enumerate((READY, LIVING)):
            store.set_mark(Mark(b"n" * 16, b"\x02" * 33, uses))
            changes = Changes(channels={CHANNEL_ID: channel}, node=NodeState(forgotten_dbid=uses))
            store.commit(changes, [Record(uses + 1, DECISION)])
            rows.append(read_all(path, table))
        look(store)
        write_all(path, table, rows[0])
        for _ in range(2):
            with pytest.raises(StateDamaged, match=GONE_BACK[table]):
                look(store)
        assert LIVING == store.channel(CHANNEL_ID)
        write_all(path, table, rows[1])
        look(store)


def test_a_disk_that_lost_a_channel_or_found_one_is_found_out(tmp_path):
    with StateDb(tmp_path / "db") as store:
        store.commit(Changes(channels={CHANNEL_ID: READY, ChannelId(PEER, 1): READY}))
        rows = read_all(tmp_path / "db", "channel")
        for wrong in (rows[:1], [], [*rows, (bytes(41), rows[0][1])]):
            write_all(tmp_path / "db", "channel", wrong)
            with pytest.raises(StateDamaged, match="channels, another number than"):
                store.rehearse(thorough=True)
        write_all(tmp_path / "db", "channel", rows)
        store.rehearse(thorough=True)


def look(store: StateDb) -> None:
    store.rehearse(thorough=True)
    assert store.mark is not None


def read_all(path: Path, table: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def write_all(path: Path, table: str, rows: list[tuple[Any, ...]]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DELETE FROM {table}")
        for row in rows:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def test_a_change_is_written_whole_or_not_at_all(tmp_path):
    other = ChannelId(PEER, 1)
    with StateDb(tmp_path / "db") as store:
        store.commit(Changes(channels={other: READY}))
        broken = {other: LIVING, ChannelId(PEER, 2**70): LIVING}
        with pytest.raises(OverflowError):
            store.commit(Changes(channels=broken))
    with StateDb(tmp_path / "db") as store:
        assert READY == store.channel(other)


def test_the_store_of_the_first_release_is_taken_over(tmp_path):
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.executescript(schema.MIGRATIONS[0] + "PRAGMA user_version = 1;")
        connection.execute("INSERT INTO approval VALUES (?, ?)", (DIGEST, NOW))
    connection.close()
    with StateDb(tmp_path / "db") as store:
        assert {DIGEST: NOW} == store.approvals()
        store.commit(Changes(channels={CHANNEL_ID: READY}))
        assert READY == store.channel(CHANNEL_ID)


@pytest.mark.parametrize("state", [b"", b"\x00", b"\x01", b"\x01garbage", b"\x02\x80"])
def test_a_damaged_channel_is_told_and_never_taken_for_a_new_one(tmp_path, state):
    with StateDb(tmp_path / "db") as store:
        store.commit(Changes(channels={CHANNEL_ID: READY}))
        store._connection.execute("UPDATE channel SET state = ?", (state,))
        store._connection.commit()
    with StateDb(tmp_path / "db") as store:
        assert store.has_channel(CHANNEL_ID)
        with pytest.raises(StateError, match="stored value"):
            store.channel(CHANNEL_ID)


def test_payments_are_counted_by_their_end_and_forgotten_after_it(tmp_path):
    ends = {bytes([number]) * 32: NOW + number for number in range(5)}
    with StateDb(tmp_path / "state.db") as store:
        store.commit(Changes(payments={key: ApprovedPayment(key, 0, end) for key, end in ends.items()}))
        assert [store.payments_since(UnixTime(NOW + number)) for number in range(6)] == [5, 4, 3, 2, 1, 0]
        store.forget_payments(UnixTime(NOW + 2))
    with StateDb(tmp_path / "state.db") as store:
        assert [key[0] for key in ends if store.payment(key)] == [2, 3, 4]
