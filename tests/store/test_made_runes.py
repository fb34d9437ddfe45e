"""The list of the runes that commands made: whole, each rune once, and never taken for empty."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.devices import MintedRune
from signerd.core.keys import p256
from signerd.errors import AlreadyRunning, OutputError, Refused
from signerd.store import files, made_runes
from signerd.units import UnixTime

DEVICES = [p256.public_bytes(ec.derive_private_key(number, ec.SECP256R1())) for number in (1, 2)]


def rune(number: int = 1, **changed: object) -> MintedRune:
    facts = {
        "device": DEVICES[number % 2],
        "name": "till",
        "restrictions": f"pubkey={DEVICES[number % 2].hex()}&method^list",
        "fingerprint": number.to_bytes(32, "big"),
        "time": UnixTime(1_700_000_000 + number),
        "approver": b"",
        "by": "created",
    }
    return MintedRune(**(facts | changed))


def test_what_is_not_there_is_an_empty_list(tmp_path):
    assert made_runes.read(tmp_path) == ()


@given(made=st.lists(st.tuples(st.integers(0, 9), st.text(max_size=9)), max_size=12))
def test_keeps_each_rune_once_as_it_was_first_made_but_for_its_name(tmp_path_factory, made):
    directory = tmp_path_factory.mktemp("data")
    expected: dict[int, MintedRune] = {}
    for attempt, (number, name) in enumerate(made):
        made_runes.add(directory, rune(number, name=name, time=UnixTime(attempt)))
        known = expected.get(number)
        time, called = (attempt, name) if known is None else (known.time, name or known.name)
        expected[number] = rune(number, name=called, time=UnixTime(time))
        assert made_runes.read(directory) == tuple(expected.values())
    assert not made or (directory / made_runes.NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"v": 2, "runes": []}',
        b'{"v": 1, "runes": [{}]}',
        b'{"v": 1, "runes": 7}',
        b"[" * 100_000,
        json.dumps({"v": 1, "runes": [{"device": "04"}]}).encode(),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_remedy_and_stays(tmp_path, content):
    path = tmp_path / made_runes.NAME
    path.write_bytes(content)
    for attempt in (lambda: made_runes.read(tmp_path), lambda: made_runes.add(tmp_path, rune())):
        with pytest.raises(Refused, match="cannot be read") as refused:
            attempt()
        assert "move made-runes.json away" in refused.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "04" * 65),
        ("device", 7),
        ("fingerprint", "00"),
        ("name", None),
        ("restrictions", "method"),
        ("time", "soon"),
        ("time", True),
        ("time", -1),
        ("time", 10**400),
        ("time", float("inf")),
        ("name", "caf\udce9"),
        ("by", 1),
    ],
)
def test_one_fact_that_is_none_spoils_the_list(tmp_path, field, value):
    made_runes.add(tmp_path, rune())
    path = tmp_path / made_runes.NAME
    document = json.loads(path.read_bytes())
    document["runes"][0][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(Refused, match="cannot be read"):
        made_runes.read(tmp_path)


@pytest.mark.parametrize("link", [False, True])
def test_what_is_no_file_is_not_taken_for_an_empty_list(tmp_path, link):
    path = tmp_path / made_runes.NAME
    if link:
        path.symlink_to(tmp_path / "gone")
    else:
        path.mkdir()
    with pytest.raises(Refused, match="cannot be read"):
        made_runes.read(tmp_path)


def test_restrictions_that_were_cut_are_kept_as_they_are(tmp_path):
    cut = rune(restrictions="pubkey=" + "a" * 4090 + "…")
    made_runes.add(tmp_path, cut)
    assert made_runes.read(tmp_path) == (cut,)


def test_a_full_list_takes_no_more_and_stays_readable(tmp_path, monkeypatch):
    for number in range(1, 5):
        made_runes.add(tmp_path, rune(number))
    monkeypatch.setattr(made_runes, "_LONGEST", (tmp_path / made_runes.NAME).stat().st_size)
    with pytest.raises(Refused, match="is full with 4 runes"):
        made_runes.add(tmp_path, rune(5))
    made_runes.add(tmp_path, rune(2))
    assert [item.fingerprint[-1] for item in made_runes.read(tmp_path)] == [1, 2, 3, 4]


def test_a_command_waits_for_another_one_but_not_for_ever(tmp_path, monkeypatch):
    with ThreadPoolExecutor(1) as other:
        with files.lock_directory(tmp_path, made_runes.LOCK_NAME):
            waiting = other.submit(made_runes.add, tmp_path, rune())
            time.sleep(0.2)
            assert made_runes.read(tmp_path) == ()
        waiting.result()
    assert made_runes.read(tmp_path) == (rune(),)
    monkeypatch.setattr(made_runes, "_PATIENCE_SECONDS", 0.1)
    with (
        files.lock_directory(tmp_path, made_runes.LOCK_NAME),
        pytest.raises(AlreadyRunning, match="into the list") as busy,
    ):
        made_runes.add(tmp_path, rune(2))
    assert busy.value.hint == "try again in a moment"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a directory that root cannot write to either")
def test_a_list_that_cannot_be_written_is_an_error():
    with pytest.raises(OutputError):
        made_runes.add(files.Path("/proc/self"), rune())
