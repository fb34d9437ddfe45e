"""A store that is gone, that is an older copy or another's is noticed before anything is signed."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from signerd.core.state.book import Changes, ChannelId
from signerd.core.state.channel import ChannelState
from signerd.core.state.node import NodeState
from signerd.daemon.store_health import StoreHealth
from signerd.daemon.store_watch import StoreWatch
from signerd.errors import InputMissing, OutputError, Refused, StateError, StateLost
from signerd.observe.bus import Bus
from signerd.store import lineage, revocations
from signerd.store.state_db import StateDb
from signerd.units import NodeId, UnixTime

NODE, OTHER = NodeId(b"\x02" * 33), NodeId(b"\x03" * 33)
CHANNEL = ChannelId(b"\x02" * 33, 9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signerd.db"


def used(path: Path, changes: Changes | None = None) -> None:
    """One run that ends well."""
    with lineage.in_use(path, NODE) as store:
        store.commit(changes or Changes(channels={CHANNEL: ChannelState()}))


def killed(path: Path) -> None:
    """One run that does not."""
    with pytest.raises(ZeroDivisionError), lineage.in_use(path, NODE):
        _ = 1 / 0


def refusal(path: Path, node_id: NodeId = NODE) -> str:
    with pytest.raises(StateLost) as caught, lineage.in_use(path, node_id):
        raise AssertionError("it was opened")
    assert caught.value.exit_code == 65
    assert caught.value.hint
    return caught.value.message


def test_goes_on_from_run_to_run_however_they_end(path):
    used(path)
    killed(path)
    used(path)
    with lineage.in_use(path, NODE) as store:
        assert store.channel(CHANNEL) is not None
    assert 0o600 == lineage.witness(path).stat().st_mode & 0o777


def test_a_store_that_is_gone_is_missed(path):
    used(path)
    path.unlink()
    assert "is gone" in refusal(path)
    assert not path.exists(), "and none is made in its place"


@pytest.mark.parametrize("end", [used, killed])
def test_an_older_copy_is_known(path, tmp_path, end):
    used(path)
    copy = shutil.copy(path, tmp_path / "copy")
    end(path)
    with StateDb(path):
        pass
    newest = path.read_bytes()
    shutil.copy(copy, path)
    assert "is an older copy" in refusal(path)
    path.write_bytes(newest)
    used(path)


def test_a_copy_that_was_made_in_the_middle_of_the_last_run_is_known(path, tmp_path):
    copy = tmp_path / "copy"
    with lineage.in_use(path, NODE) as store:
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(path, copy)
        store.commit(Changes(node=NodeState(forgotten_dbid=3)))
    shutil.copy(copy, path)
    assert "is an older copy" in refusal(path)


def test_another_store_is_known(path, tmp_path):
    used(path)
    used(tmp_path / "another.db")
    shutil.copy(tmp_path / "another.db", path)
    assert "is not the store that was used here last" in refusal(path)


def test_a_store_that_was_never_in_use_is_not_the_last_one(path):
    used(path)
    path.unlink()
    with StateDb(path):
        pass
    assert "is not the store that was used here last" in refusal(path)


def test_the_store_of_another_node_is_known(path):
    used(path)
    assert "is the store of node 0202" in refusal(path, OTHER)


@pytest.mark.parametrize("content", [b"", b"store zz", b"x" * 1000, b"\xff"])
def test_a_damaged_note_is_not_passed_over(path, content):
    used(path)
    lineage.witness(path).write_bytes(content)
    assert ".last" in refusal(path)
    with pytest.raises(StateLost, match=r"\.last"):
        lineage.make_anew(path, NODE, highest_channel=1)
    lineage.witness(path).unlink()
    with lineage.in_use(path, NODE) as store:
        assert store.channel(CHANNEL) is not None


def test_a_copy_of_some_time_ago_is_known_after_a_crash(path, tmp_path):
    async def crash() -> None:
        with lineage.in_use(path, NODE) as store:
            store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(path, tmp_path / "copy")
            watch = asyncio.create_task(StoreWatch(store, path, StoreHealth(store, path, Bus())).run(0.01))
            uses = lineage.witness(path).read_bytes()
            await asyncio.sleep(0.05)
            assert uses == lineage.witness(path).read_bytes(), "nothing has changed"
            store.commit(Changes(node=NodeState(forgotten_dbid=3)))
            await asyncio.sleep(0.05)
            watch.cancel()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(crash())
    shutil.copy(tmp_path / "copy", path)
    assert "is an older copy" in refusal(path)


def test_a_crash_between_store_and_note_is_survived(path, monkeypatch):
    used(path)
    before = lineage.witness(path).read_bytes()

    def fail(*_arguments: object, **_more: object) -> None:
        raise OutputError("the disk is full", created=True)

    with monkeypatch.context() as patch:
        patch.setattr(lineage.files, "write_atomically", fail)
        with pytest.raises(OutputError), lineage.in_use(path, NODE):
            raise AssertionError("it was opened")
    assert before == lineage.witness(path).read_bytes()
    used(path)


# A new one


def test_begins_anew_where_one_was_lost(path):
    used(path)
    path.unlink()
    assert lineage.make_anew(path, NODE, highest_channel=17) is None
    with lineage.in_use(path, NODE) as store:
        assert 0 == store.channel_count
        with pytest.raises(Refused, match="is not above 17"):
            store.node.require_new(17)
        store.node.require_new(18)
        assert 17 == store.highest_channel


def test_keeps_what_it_replaces_and_knows_its_channels(path, tmp_path):
    used(path)
    copy = shutil.copy(path, tmp_path / "copy")
    used(path)
    shutil.copy(copy, path)
    old = lineage.make_anew(path, NODE, highest_channel=2)
    assert old is not None
    assert Path(copy).read_bytes() == old.read_bytes()
    with lineage.in_use(path, NODE) as store:
        assert (0, CHANNEL.dbid) == (store.channel_count, store.node.forgotten_dbid)


def test_the_channels_of_another_node_do_not_count(path):
    used(path)
    assert lineage.make_anew(path, OTHER, highest_channel=2) is not None
    with lineage.in_use(path, OTHER) as store:
        assert 2 == store.node.forgotten_dbid


def test_channels_of_other_signers_are_told_as_well(path):
    used(path, Changes(foreign=frozenset({ChannelId(b"\x03" * 33, 40)})))
    with lineage.in_use(path, NODE) as store:
        assert 40 == store.highest_channel


def test_replaces_no_store_that_is_whole(path):
    used(path)
    with pytest.raises(StateLost, match="needs no other"):
        lineage.make_anew(path, NODE, highest_channel=1)
    with lineage.in_use(path, NODE) as store:
        assert store.channel(CHANNEL) is not None


def test_a_store_without_channels_learns_how_far_they_went(path):
    used(path, Changes(node=NodeState(forgotten_dbid=20)))
    assert lineage.make_anew(path, NODE, highest_channel=17) is None
    with lineage.in_use(path, NODE) as store:
        assert NodeState(forgotten_dbid=20) == store.node


def test_does_not_throw_away_what_it_cannot_read(path):
    path.write_bytes(b"no store" * 100)
    with pytest.raises(StateError, match="failed"):
        lineage.make_anew(path, NODE, highest_channel=1)
    assert b"no store" * 100 == path.read_bytes()


def test_a_new_store_keeps_the_devices_revoked_that_the_old_one_knew(path):
    keys = {b"\x04" + bytes([number]) * 64: UnixTime(number) for number in (1, 2)}
    with lineage.in_use(path, NODE) as store:
        revocations.add(store, keys)
    shutil.copy(path, path.with_name("copy"))
    used(path)
    shutil.copy(path.with_name("copy"), path)
    assert "older copy" in refusal(path)
    lineage.make_anew(path, NODE, highest_channel=0)
    with lineage.in_use(path, NODE) as store:
        assert revocations.read(store) == keys


def test_a_store_is_used_as_it_was_left_whosever_it_is(path):
    with pytest.raises(InputMissing), lineage.as_left(path):
        raise AssertionError("it was opened")
    assert not path.exists()
    used(path)
    with lineage.as_left(path) as store:
        assert store.mark is not None
        assert store.mark.node_id == NODE
    used(path)
    shutil.copy(path, path.with_name("copy"))
    used(path)
    shutil.copy(path.with_name("copy"), path)
    with pytest.raises(StateLost, match="older copy"), lineage.as_left(path):
        raise AssertionError("it was opened")
