"""`signerd audit` and `signerd explain`, as typed, on a store that nobody runs with."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from helpers.audit import CHANNEL, NODE, NOW, answered, refused
from helpers.world import Done

from signerd.cli.audit import moment
from signerd.cli.main import main
from signerd.core.audit.record import Record
from signerd.core.explain import ASKED
from signerd.core.state.book import NO_CHANGES
from signerd.errors import UsageError
from signerd.store import lineage
from signerd.units import UnixTime

NAME = f"{CHANNEL.peer_id.hex()}/7"
RULE = "policy-onchain-fee-range"


class InProcess:
    """The program's own entry, without a process for each of many commands."""

    def __init__(self, capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
        self._capsys = capsys
        self._data_dir = data_dir

    def run(self, *arguments: str | Path) -> Done:
        with pytest.raises(SystemExit) as stop:
            main([*map(str, arguments), "--data-dir", str(self._data_dir)])
        shown = self._capsys.readouterr()
        return Done(int(str(stop.value.code)), shown.out, shown.err)


@pytest.fixture
def command(capsys, tmp_path, monkeypatch) -> InProcess:
    monkeypatch.setenv("HOME", str(tmp_path))
    return InProcess(capsys, tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Five decisions: answered, refused, a pairing, a count, and a routine one."""
    path = tmp_path / "signerd.db"
    with lineage.in_use(path, NODE) as store:
        decisions = [
            answered(1, channel=CHANNEL),
            refused(2, RULE, channel=CHANNEL),
            answered(3, kind="pairing", message="approve_pairing", facts={"device": "phone"}),
            refused(4, "unsupported-message", message="type_9999", count=1234, since=NOW),
            answered(5, request_id=2, message="ecdh_req", facts={}),
        ]
        store.commit(NO_CHANGES, [Record(number, item) for number, item in enumerate(decisions, start=1)])
    return path


def forge(path: Path, statement: str) -> None:
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def numbers(command: InProcess, *arguments: str) -> list[int]:
    found = command.run("audit", "list", "--json", *arguments).json
    assert found["v"] == 1
    return [record["number"] for record in found["records"]]


@pytest.mark.usefixtures("store")
def test_lists_the_decisions_with_the_latest_last(command):
    done = command.run("audit", "list")
    lines = done.out.splitlines()

    assert done.code == 0
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4", "5"]
    assert "2027-01-15T08:00:01Z  answered  sign_withdrawal  03030303…/7  fee_sat=150" in lines[0]
    assert f"refused   sign_withdrawal  03030303…/7  {RULE}: the sweep burns 9 sat" in lines[1]
    assert "×1234" in lines[3]
    assert done.err == ""


@pytest.mark.usefixtures("store")
def test_lists_what_is_asked_for(command):
    assert numbers(command) == [1, 2, 3, 4, 5]
    assert numbers(command, "--refused") == [2, 4]
    assert numbers(command, "--kind", "pairing") == [3]
    assert numbers(command, "--limit", "2") == [4, 5]
    assert numbers(command, "--since", str(NOW + 4)) == [4, 5]
    assert numbers(command, "--since", "2027-01-15T08:00:02", "--refused", "--limit", "1") == [4]
    assert command.run("audit", "list", "--since", "2999-01-01").out == "no decision is recorded that fits\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 1_800_000_000 - 5400),
        ("7d", 1_800_000_000 - 7 * 86_400),
        ("1700000000", 1_700_000_000),
        ("2026-11-26", 1_795_651_200),
        ("2026-11-26T12:00+02:00", 1_795_687_200),
    ],
)
def test_a_time_can_be_said_in_several_ways(text, seconds):
    assert moment(text, now=datetime.fromtimestamp(1_800_000_000, UTC)) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "7x", "-1", "2026-13-01"])
def test_refuses_what_is_no_time(text):
    with pytest.raises(UsageError, match="is no time"):
        moment(text, now=datetime.now(UTC))


@pytest.mark.usefixtures("store")
def test_verifies_and_prints_the_head_that_it_compares_with_later(command):
    done = command.run("audit", "verify")
    head = done.out.splitlines()[-1].split()[1]

    assert done.out.startswith("the chain is whole: records 1 to 5\n")
    assert command.run("audit", "verify", "--head", head).code == 0
    assert command.run("audit", "verify", "--json").json == {
        "v": 1, "intact": True, "first": 1, "last": 5, "forgotten": 0, "head": head,
    }  # fmt: skip


def test_names_the_first_record_that_is_broken_and_leaves_with_65(command, store):
    forge(store, "UPDATE audit SET record = CAST(replace(record, '1234', '1') AS BLOB) WHERE number = 4")
    done = command.run("audit", "verify")

    assert done.code == 65
    assert "the audit chain breaks at record 4: its hash does not follow" in done.err
    assert "keep a copy of the whole data directory" in done.err


def test_an_end_that_is_missing_is_noticed_with_a_head_that_was_noted(command, store):
    head = command.run("audit", "verify", "--json").json["head"]
    forge(store, "DELETE FROM audit WHERE number > 3")
    done = command.run("audit", "verify", "--head", head)

    assert command.run("audit", "verify").code == 0
    assert done.code == 65
    assert "the audit chain breaks at record 4" in done.err
    assert command.run("audit", "verify", "--head", head, "--json").json["kind"] == "AuditBroken"


def test_what_is_forgotten_is_said_and_cannot_be_compared_any_more(command, store):
    early = "2:" + "00" * 32
    with lineage.in_use(store, NODE) as opened:
        opened.prune_audit(keep=2, oldest=UnixTime(0))

    assert command.run("audit", "verify").out.startswith(
        "the chain is whole: records 4 to 5\nthe 3 before them are forgotten\nhead  5:"
    )
    done = command.run("audit", "verify", "--head", early)
    assert (done.code, "record 2 is forgotten" in done.err) == (65, True)


@pytest.mark.usefixtures("store")
def test_a_head_that_is_none_is_told(command):
    done = command.run("audit", "verify", "--head", "5")
    assert (done.code, "--head: a head is" in done.err) == (64, True)


def test_an_export_can_be_verified_with_nothing_but_sha_256(command, store, tmp_path):
    target = tmp_path / "audit.jsonl"
    assert command.run("audit", "export", "-o", target).code == 0
    first, *rest, last = target.read_bytes().splitlines()

    before = bytes.fromhex(json.loads(first)["start"].partition(":")[2])
    for line in rest:
        found = json.loads(line)
        raw = json.dumps(found["record"], sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        before = hashlib.sha256(before + raw).digest()
        assert before.hex() == found["hash"]
    assert json.loads(last)["head"] == f"5:{before.hex()}"
    assert command.run("audit", "export", "-o", "-").out.encode() == target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert store.exists()


@pytest.mark.usefixtures("store")
def test_an_export_replaces_no_file_that_it_is_not_told_to(command, tmp_path):
    target = tmp_path / "audit.jsonl"
    target.write_text("mine")

    assert command.run("audit", "export", "-o", target).code == 73
    assert target.read_text() == "mine"
    assert command.run("audit", "export", "-o", target, "--force").code == 0
    assert len(target.read_bytes().splitlines()) == 7


@pytest.mark.usefixtures("store")
def test_explains_a_refusal(command):
    done = command.run("explain", "2")

    assert done.out.splitlines() == [
        "record  2, 2027-01-15T08:00:02Z",
        f"asked   the node asked for {ASKED['sign_withdrawal']} (sign_withdrawal), for channel {NAME}",
        f"became  it was refused, by the rule {RULE}",
        "why     the sweep burns 9 sat",
        "means   the transaction burns too much",
        "do      withdraw with a lower feerate; the outputs and the fee are in the record",
    ]
    document = command.run("explain", "2", "--json").json
    assert (document["v"], document["record"]["rule"]) == (1, RULE)


@pytest.mark.usefixtures("store")
def test_explains_an_answer_with_its_facts(command):
    out = command.run("explain", "1").out

    assert "became  it was answered\n" in out
    assert "facts   fee sat  150\n        outputs  1000 sat to 0014\n" in out
    assert "do   " not in out


@pytest.mark.usefixtures("store")
def test_explains_the_latest_record_of_a_request(command):
    assert command.run("explain", "2", "--request").out.startswith("record  5,")
    done = command.run("explain", "77", "--request")
    assert (done.code, "no record is of request 77" in done.err) == (66, True)


def test_explains_a_rule_without_a_store(command):
    done = command.run("explain", "sign-message")

    assert done.out.startswith("rule    sign-message\nmeans   refused for good")
    assert command.run("explain", "no-such-rule").code == 64
    assert command.run("explain", "1").code == 66


@pytest.mark.usefixtures("store")
def test_a_record_that_there_is_not_is_told_with_those_that_there_are(command):
    done = command.run("explain", "6")
    assert (done.code, "the records go from 1 to 5" in done.err) == (66, True)


def test_what_was_put_into_a_record_by_hand_cannot_steer_the_terminal(command, store):
    forge(
        store,
        "UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), 'burns', char(27) || '[31m') AS BLOB)",
    )
    done = command.run("audit", "list")

    assert done.code == 65
    assert "\x1b" not in done.out + done.err
