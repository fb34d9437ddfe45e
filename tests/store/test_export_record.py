"""What became of an export is remembered exactly, or it is said that it is not known."""

from __future__ import annotations

import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import exports

from signerd.errors import InputMissing, StateLost
from signerd.store import export_record
from signerd.store.export_record import ExportRecord, TakenHome
from signerd.units import NodeId, UnixTime

NODE = exports.KEYS.node_id
ASKED = ExportRecord(NODE, UnixTime(10))
EXPORTED = replace(ASKED, exported_at=UnixTime(20), target=Path("/b\udcff/node"))
HOME = replace(EXPORTED, home=TakenHome(UnixTime(30), Path("/b/node"), 5, "sqlite"))


@pytest.mark.parametrize("record", [ASKED, EXPORTED, HOME], ids=["asked", "exported", "home"])
def test_reads_what_it_wrote(tmp_path, record):
    assert export_record.read(tmp_path, NODE) is None
    export_record.write(tmp_path, record)
    assert export_record.read(tmp_path, NODE) == record
    assert stat.S_IMODE((tmp_path / export_record.NAME).stat().st_mode) == 0o600


def test_forgets(tmp_path):
    export_record.write(tmp_path, ASKED)
    export_record.remove(tmp_path)
    export_record.remove(tmp_path)
    assert export_record.read(tmp_path, NODE) is None


def test_a_record_that_comes_and_goes_is_there_or_not(tmp_path):
    """As while the host is asked: the daemon must not end for it."""
    path, kept, done = tmp_path / export_record.NAME, tmp_path / "kept", threading.Event()
    export_record.write(tmp_path, ASKED)
    path.rename(kept)

    def come_and_go():
        while not done.is_set():
            os.link(kept, path)
            export_record.remove(tmp_path)

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        found = {export_record.read(tmp_path, NODE) for _ in range(5000)}
    finally:
        done.set()
        other.join()
    assert found <= {None, ASKED}


def test_a_link_to_nothing_is_not_taken_for_none(tmp_path):
    (tmp_path / export_record.NAME).symlink_to(tmp_path / "gone")
    with pytest.raises(InputMissing):
        export_record.read(tmp_path, NODE)


def test_is_of_one_node(tmp_path):
    export_record.write(tmp_path, HOME)
    with pytest.raises(StateLost, match=f"is about node {NODE.hex()}"):
        export_record.read(tmp_path, NodeId(b"\x02" * 33))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"node_id": "xx"},
        {"node_id": 3},
        {"asked_at": None},
        {"asked_at": -1},
        {"asked_at": True},
        {"exported_at": "yesterday"},
        {"target": 3},
        {"home": []},
        {"home": {}},
        {"home": {"at": 1, "file": "/x", "size": -1, "payload": "sql"}},
    ],
)
def test_takes_nothing_for_granted(tmp_path, change):
    export_record.write(tmp_path, HOME)
    path = tmp_path / export_record.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StateLost, match="whether this node was exported is not known"):
        export_record.read(tmp_path, NODE)


@pytest.mark.parametrize("content", [b"", b"null", b"{", b"\xff\xfe", b"[" * 20_000, b"[" * 16_000])
def test_does_not_take_a_broken_file_for_none(tmp_path, content):
    (tmp_path / export_record.NAME).write_bytes(content)
    with pytest.raises(StateLost):
        export_record.read(tmp_path, NODE)
