"""A download on disk: it grows, survives every kind of end, and never touches what is not ours."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import exports

from signerd.core.http_range import Kept
from signerd.errors import AlreadyRunning, OutputError
from signerd.store import partial_download
from signerd.store.files import AlreadyThere
from signerd.store.partial_download import PartialDownload

NODE = exports.KEYS.node_id
PLACE = "https://host:443/x"
CONTENT = bytes(range(250)) * 4


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node.backup.enc"


def names(path):
    return sorted(item.name for item in path.parent.iterdir())


def begun(path, *, size=400, validator='"v1"'):
    """An unfinished download of CONTENT."""
    with PartialDownload(path, NODE) as download:
        download.begin(PLACE, validator, total=len(CONTENT), keep=0)
        download.append(memoryview(CONTENT[:size]))


def test_appears_under_its_name_when_it_is_whole(path):
    with PartialDownload(path, NODE) as download:
        assert not download.finished
        download.begin(PLACE, '"v1"', total=len(CONTENT), keep=0)
        for start in range(0, len(CONTENT), 300):
            assert not path.exists()
            download.append(memoryview(CONTENT[start : start + 300]))
        assert download.complete
        download.finish()
        assert download.finished
    assert path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path) == [path.name, path.name + ".json"]


def test_goes_on_where_it_was(path):
    begun(path)
    assert {stat.S_IMODE(item.stat().st_mode) for item in path.parent.iterdir()} == {0o600}
    with PartialDownload(path, NODE) as download:
        assert Kept(PLACE, '"v1"', len(CONTENT), 400) == download.kept
        download.begin(PLACE, '"v1"', total=len(CONTENT), keep=400)
        download.append(memoryview(CONTENT[400:]))
        download.finish()
    assert path.read_bytes() == CONTENT


def test_drops_what_is_of_another_content(path):
    begun(path)
    with PartialDownload(path, NODE) as download:
        download.begin(PLACE, '"v2"', total=3, keep=0)
        download.append(memoryview(b"new"))
        download.finish()
    assert path.read_bytes() == b"new"


def test_counts_only_what_was_synced_after_a_sudden_end(path, monkeypatch):
    monkeypatch.setattr(partial_download, "SYNC_EVERY", 300)
    program = f"""if True:
        import os
        from pathlib import Path
        from signerd.store import partial_download
        from signerd.units import NodeId
        partial_download.SYNC_EVERY = 300
        with partial_download.PartialDownload(Path({str(path)!r}), NodeId({NODE!r})) as download:
            download.begin({PLACE!r}, '"v1"', total=1000, keep=0)
            for start in range(0, 1000, 200):
                download.append(memoryview(bytes(range(250)) * 4)[start:start + 200])
            os.kill(os.getpid(), 9)
    """
    repository = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(repository)}, check=False
    )
    assert done.returncode == -9
    assert Path(f"{path}.part").read_bytes() == CONTENT
    with PartialDownload(path, NODE) as download:
        assert download.kept.size == 800
        download.begin(PLACE, '"v1"', total=1000, keep=800)
        download.append(memoryview(CONTENT[800:]))
        download.finish()
    assert path.read_bytes() == CONTENT


def test_does_not_believe_in_bytes_that_are_gone(path):
    begun(path)
    os.truncate(f"{path}.part", 10)
    with PartialDownload(path, NODE) as download:
        assert download.kept.size == 10
    Path(f"{path}.part").unlink()
    with PartialDownload(path, NODE) as download:
        assert download.kept.size == 0


def test_a_crash_between_the_two_names_leaves_one_file(path):
    begun(path, size=len(CONTENT))
    os.link(f"{path}.part", path)
    with PartialDownload(path, NODE) as download:
        assert download.finished
        assert download.ours
    assert names(path) == [path.name, path.name + ".json"]


def test_two_at_once_are_refused(path):
    with PartialDownload(path, NODE), pytest.raises(AlreadyRunning), PartialDownload(path, NODE):
        pass


def test_takes_a_file_that_was_downloaded_by_other_means_and_knows_that(path):
    path.write_bytes(CONTENT)
    with PartialDownload(path, NODE) as download:
        assert download.finished
        assert not download.ours
    assert path.read_bytes() == CONTENT
    assert names(path) == [path.name]


def test_never_touches_a_partial_file_without_its_note(path):
    part = Path(f"{path}.part")
    part.write_bytes(b"mine")
    with pytest.raises(AlreadyThere, match="is not from this download"), PartialDownload(path, NODE):
        pass
    assert part.read_bytes() == b"mine"
    assert names(path) == [part.name]


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"node_id": "02" * 33},
        {"safe": -1},
        {"safe": True},
        {"safe": 1001},
        {"total": "1000"},
        {"validator": 1},
        {"validator": '"v1"\r\nX: y'},
        {"resource": None},
    ],
)
def test_never_touches_a_download_whose_note_is_not_ours(path, change):
    begun(path)
    note = Path(f"{path}.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | change))
    with pytest.raises(AlreadyThere, match="is not from this download"), PartialDownload(path, NODE):
        pass
    assert Path(f"{path}.part").read_bytes() == CONTENT[:400]


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"\xff", b"{" * 100, b"[" * 16_000])
def test_never_touches_a_note_that_it_cannot_read(path, text):
    Path(f"{path}.json").write_bytes(text)
    with pytest.raises(AlreadyThere), PartialDownload(path, NODE):
        pass
    assert Path(f"{path}.json").read_bytes() == text


def test_never_follows_a_link_in_the_place_of_its_part(path, tmp_path):
    begun(path, size=0)
    Path(f"{path}.part").unlink()
    (tmp_path / "other").write_bytes(b"mine")
    Path(f"{path}.part").symlink_to("other")
    with pytest.raises(OutputError), PartialDownload(path, NODE):
        pass
    assert (tmp_path / "other").read_bytes() == b"mine"


def test_never_replaces_a_file_that_took_its_name_meanwhile(path):
    with PartialDownload(path, NODE) as download:
        download.begin(PLACE, None, total=3, keep=0)
        download.append(memoryview(b"new"))
        path.write_bytes(b"mine")
        with pytest.raises(AlreadyThere):
            download.finish()
    assert path.read_bytes() == b"mine"


def test_sets_damaged_downloads_aside_and_loses_none(path):
    for number, name in enumerate((".damaged", ".damaged2", ".damaged3")):
        with PartialDownload(path, NODE) as download:
            download.begin(PLACE, None, total=1, keep=0)
            download.append(memoryview(b"%d" % number))
            download.finish()
            aside = download.set_aside()
        assert aside.name == path.name + name
    assert names(path) == [path.name + name for name in (".damaged", ".damaged2", ".damaged3")]
    assert Path(f"{path}.damaged").read_bytes() == b"0"


def test_says_what_a_disk_cannot_do(tmp_path):
    with pytest.raises(OutputError), PartialDownload(tmp_path / "missing" / "x", NODE):
        pass
