"""The chain in the store: what was changed afterwards is found, and what fails leaves memory as it was."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.audit import NODE, NOW, answered, fill
from hypothesis import given, settings
from hypothesis import strategies as st

from signerd.core.audit import record as records
from signerd.core.audit.record import Head, Record
from signerd.core.audit.verify import Broken
from signerd.core.state.book import NO_CHANGES, Changes, ChannelId
from signerd.core.state.channel import ChannelState
from signerd.core.state.node import NodeState
from signerd.errors import InputMissing, StateError
from signerd.store import audit_table, lineage, schema
from signerd.store.audit_file import AuditFile
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

COUNT = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with some records that nobody has open."""
    fill(tmp_path / "signerd.db", COUNT)
    return tmp_path / "signerd.db"


def verified(path: Path, expected: Head | None = None) -> Head:
    with AuditFile(path) as audit:
        return audit.verify(expected)[1]


def forge(path: Path, *statements: str) -> None:
    """What somebody does to the file behind our back."""
    connection = sqlite3.connect(path)
    connection.executescript(";".join(("PRAGMA ignore_check_constraints = ON", *statements)))
    connection.close()


def broken_at(path: Path, expected: Head | None = None) -> int:
    with pytest.raises(Broken) as found:
        verified(path, expected)
    return found.value.number


def test_a_chain_that_nobody_touched_is_whole(path):
    head = verified(path)
    assert head.number == COUNT

    fill(path, 3)
    assert verified(path, head).number == COUNT + 3


def test_a_chain_begins_with_its_store_and_its_node(path, tmp_path):
    with StateDb(path) as store:
        mark = store.mark
    assert mark is not None
    with AuditFile(path) as audit:
        assert audit.start == records.genesis(mark.name, NODE)
    fill(tmp_path / "other.db", COUNT)

    assert verified(tmp_path / "other.db").hash != verified(path).hash, "the same decisions in another store"


def test_an_empty_chain_is_whole(tmp_path):
    with lineage.in_use(tmp_path / "db", NODE) as store:
        head = store.audit_head
    assert verified(tmp_path / "db") == head
    assert head.number == 0


def column(path: Path, number: int, name: str) -> bytes:
    connection = sqlite3.connect(path)
    (value,) = connection.execute(f"SELECT {name} FROM audit WHERE number = ?", (number,)).fetchone()
    connection.close()
    return value


@settings(max_examples=150, deadline=None)
@given(st.integers(1, COUNT), st.sampled_from(["record", "hash"]), st.data())
def test_any_bit_that_is_flipped_anywhere_is_found(number, name, data):
    path = _prepared()
    value = bytearray(column(path, number, name))
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    value[bit // 8] ^= 1 << bit % 8
    forge(path, f"UPDATE audit SET {name} = X'{value.hex()}' WHERE number = {number}")
    try:
        # Of the last one the hash alone says so; of others, also what follows.
        assert broken_at(path) == number
    finally:
        path.unlink()


_TEMPLATE: list[Path] = []


@pytest.fixture(autouse=True, scope="module")
def _template(tmp_path_factory):
    directory = tmp_path_factory.mktemp("chain")
    fill(directory / "template.db", COUNT)
    _TEMPLATE[:] = [directory / "template.db"]


def _prepared() -> Path:
    """A fresh copy of a store, for tests that hypothesis repeats."""
    path = _TEMPLATE[0].with_name("copy.db")
    shutil.copy(_TEMPLATE[0], path)
    return path


@pytest.mark.parametrize("number", [1, 5, COUNT - 1])
def test_a_record_that_was_taken_out_is_found(path, number):
    forge(path, f"DELETE FROM audit WHERE number = {number}")
    assert broken_at(path) == number


@pytest.mark.parametrize("number", [1, 5, COUNT - 1])
def test_a_record_that_was_taken_out_with_the_rest_moved_up_is_found(path, number):
    forge(
        path,
        f"DELETE FROM audit WHERE number = {number}",
        f"UPDATE audit SET number = -number WHERE number > {number}",
        "UPDATE audit SET number = -number - 1 WHERE number < 0",
    )
    assert broken_at(path) == number


def test_records_that_changed_places_are_found(path):
    forge(
        path,
        "UPDATE audit SET number = 1000 WHERE number = 4",
        "UPDATE audit SET number = 4 WHERE number = 5",
        "UPDATE audit SET number = 5 WHERE number = 1000",
    )
    assert broken_at(path) == 4


def test_a_record_that_was_put_in_is_found(path):
    raw = records.canonical(Record(COUNT + 1, answered(99)))
    forge(path, f"INSERT INTO audit VALUES ({COUNT + 1}, X'{raw.hex()}', X'{'00' * 32}')")
    assert broken_at(path) == COUNT + 1


def test_a_record_of_another_place_with_a_hash_that_fits_is_found(path):
    with AuditFile(path) as audit:
        head = audit.head
    raw = records.canonical(Record(COUNT, answered(99)))
    forge(path, f"INSERT INTO audit VALUES ({COUNT + 1}, X'{raw.hex()}', X'{head.next(raw).hash.hex()}')")
    assert broken_at(path) == COUNT + 1


@pytest.mark.parametrize("kept", [0, 3, COUNT - 1])
def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_noted(path, kept):
    head = verified(path)
    forge(path, f"DELETE FROM audit WHERE number > {kept}")

    assert verified(path).number == kept, "in itself it is whole"
    assert broken_at(path, head) == kept + 1


def test_a_chain_that_was_written_anew_is_found_by_a_head_that_was_noted(path):
    head = verified(path)
    with StateDb(path) as store:
        store._connection.execute("DELETE FROM audit")
        store._connection.commit()
        store._audit_head = None
        store.commit(NO_CHANGES, [Record(number, answered(number + 1)) for number in range(1, COUNT + 1)])

    assert verified(path).number == COUNT
    assert broken_at(path, head) == COUNT


def test_a_record_of_a_store_that_says_it_is_another_one_is_found(path):
    forge(path, f"UPDATE lineage SET name = X'{'11' * 16}'")
    assert broken_at(path) == 1


# Forgetting


def prune(path: Path, keep: int = 10**9, oldest: int = 0) -> bool:
    with StateDb(path) as store:
        return store.prune_audit(keep=keep, oldest=UnixTime(oldest))


def test_what_is_beyond_the_number_that_is_kept_is_forgotten_and_the_rest_is_whole(path):
    head = verified(path)
    assert prune(path, keep=5) is False

    with AuditFile(path) as audit:
        assert audit.start.number == COUNT - 5
        assert [row.number for row in audit.rows(0)] == list(range(COUNT - 4, COUNT + 1))
    assert verified(path, head) == head
    fill(path, 2)
    assert verified(path, head).number == COUNT + 2


def test_what_is_too_old_is_forgotten_up_to_the_first_that_is_not(path):
    prune(path, oldest=NOW + 4)

    with AuditFile(path) as audit:
        assert audit.start.number == 3
    assert verified(path).number == COUNT


def test_the_last_record_always_stays(path):
    prune(path, keep=1, oldest=NOW * 2)
    with AuditFile(path) as audit:
        assert (audit.start.number, audit.head.number) == (COUNT - 1, COUNT)
    assert verified(path).number == COUNT


def test_nothing_is_forgotten_and_nothing_written_while_all_is_within_bounds(path):
    with StateDb(path) as store:
        before = store.writes
        assert store.prune_audit(keep=COUNT, oldest=UnixTime(NOW)) is False
        assert store.writes == before


def test_much_is_forgotten_step_by_step(path):
    fill(path, audit_table.PRUNED_AT_ONCE)
    assert prune(path, keep=1) is True
    assert prune(path, keep=1) is False
    assert verified(path).number == COUNT + audit_table.PRUNED_AT_ONCE


@pytest.mark.parametrize(
    "forgery",
    [
        "UPDATE audit_anchor SET number = number - 1",
        "UPDATE audit_anchor SET number = number + 1",
        f"UPDATE audit_anchor SET hash = X'{'00' * 32}'",
        "DELETE FROM audit_anchor",
        "DELETE FROM audit WHERE number = 8",
    ],
)
def test_an_anchor_that_was_changed_is_found(path, forgery):
    prune(path, keep=5)
    forge(path, forgery)
    with pytest.raises(Broken):
        verified(path)


def test_a_damaged_record_is_not_forgotten_for_its_age(path):
    forge(path, "UPDATE audit SET record = X'00' WHERE number = 2")
    prune(path, oldest=NOW * 2)
    assert broken_at(path) == 2


# Commits


def test_a_commit_that_fails_leaves_the_head_where_it_was(path):
    with StateDb(path) as store:
        head = store.audit_head
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StateError):
            store.commit(Changes(node=NodeState(forgotten_dbid=1)), [Record(COUNT + 1, answered(1))])
        with pytest.raises(StateError), store.transaction([Record(COUNT + 1, answered(1))]):
            pass
        assert store.audit_head == head
        store._connection.execute("PRAGMA query_only = OFF")
        store.commit(NO_CHANGES, [Record(COUNT + 1, answered(2))])
    assert verified(path).number == COUNT + 1


def test_a_record_out_of_turn_is_a_bug_and_changes_nothing(path):
    with StateDb(path) as store:
        with pytest.raises(ValueError, match="a mistake of ours"):
            store.commit(Changes(node=NodeState(forgotten_dbid=9)), [Record(COUNT + 2, answered(1))])
        assert store.node == NodeState()
        assert store.audit_head.number == COUNT
    with StateDb(path) as store:
        assert store.node == NodeState()


def test_the_store_of_schema_3_is_taken_over_with_all_that_it_knows(tmp_path):
    path = tmp_path / "signerd.db"
    shutil.copy(Path(__file__).parent / "fixtures" / "schema-3.db", path)
    with StateDb(path) as store:
        assert (store.channel_count, store.foreign_count, store.node.forgotten_dbid) == (3, 1, 1)
        assert (len(store.approvals()), store.payment(b"\x01" * 32) is not None) == (1, True)
        mark = store.mark
        assert mark is not None
        assert store.audit_head == records.genesis(mark.name, mark.node_id)
        changes = Changes(channels={ChannelId(b"\x02" * 33, 5): ChannelState()})
        store.commit(changes, [Record(1, answered(1))])
        assert store._connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert verified(path).number == 1


def spoil(path: Path, table: str) -> None:
    """Write over the first page of a table, as a bad disk does."""
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def test_a_start_looks_at_all_tables_but_the_records(path):
    fill(path, 3)
    spoiled = path.with_name("other.db")
    shutil.copy(path, spoiled)
    spoil(spoiled, "channel")
    with pytest.raises(StateError, match="failed"):
        StateDb(spoiled)


def test_records_on_a_damaged_page_are_not_taken_for_none(path):
    spoil(path, "audit")
    with pytest.raises(StateError, match="cannot read the audit records"):
        verified(path)
    with StateDb(path) as store, pytest.raises(StateError, match="malformed"):
        _ = store.audit_head


# Readers


def test_reads_beside_a_writer_and_never_holds_it_up(path):
    """What is verified while records are added and forgotten is whole every time."""
    done = threading.Event()
    problems: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                assert verified(path).number >= COUNT
            except Exception as problem:  # noqa: BLE001 - a thread's own would not be seen
                problems.append(problem)
                return

    with StateDb(path) as store:
        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(COUNT + 1, 400):
                store.commit(NO_CHANGES, [Record(number, answered(number))])
                if number % 20 == 0:
                    store.prune_audit(keep=50, oldest=UnixTime(0))
        finally:
            done.set()
            reader.join()
    assert problems == []


def test_an_open_reader_does_not_make_the_log_grow(path):
    with StateDb(path) as store, AuditFile(path) as audit:
        rows = audit.rows(0)
        next(rows)
        for number in range(COUNT + 1, 300):
            store.commit(NO_CHANGES, [Record(number, answered(number))])
        size = path.with_name("signerd.db-wal").stat().st_size
        assert size < 100 * 4200, "64 pages, and what one transaction adds"
        rows.close()


def test_reading_writes_nothing_and_leaves_nothing_behind(path):
    def content() -> dict[str, bytes]:
        return {item.name: item.read_bytes() for item in path.parent.iterdir()}

    before = content()
    verified(path)
    left = content()
    assert {name: left[name] for name in before} == before
    assert set(left) - set(before) <= {"signerd.db-wal", "signerd.db-shm"}
    assert left.get("signerd.db-wal", b"") == b""
    with AuditFile(path) as audit, pytest.raises(sqlite3.OperationalError, match="readonly"):
        audit._connection.execute("DELETE FROM audit")


def test_where_there_is_no_store_it_says_so_and_makes_none(tmp_path):
    with pytest.raises(InputMissing, match="no store"):
        AuditFile(tmp_path / "signerd.db")
    assert list(tmp_path.iterdir()) == []


def _newer(path: Path) -> None:
    forge(path, f"PRAGMA user_version = {schema.VERSION + 1}")


def _older(path: Path) -> None:
    shutil.copy(Path(__file__).parent / "fixtures" / "schema-3.db", path)


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to look at")


@pytest.mark.parametrize(
    ("make", "words"), [(_newer, "newer signerd"), (_older, "no audit records"), (_garbage, "cannot read")]
)
def test_a_store_that_cannot_be_read_is_told(path: Path, make: Callable[[Path], None], words: str):
    make(path)
    with pytest.raises(StateError, match=words):
        AuditFile(path)
