"""`signerd rune`, as a process: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from signerd.core.keys.node import NodeKeys
from signerd.core.runes import rune
from signerd.core.runes.rune import Rune
from signerd.units import Secret

if TYPE_CHECKING:
    from pathlib import Path

SECRET = bytes(range(32))
RUNE_SECRET = NodeKeys.derive(Secret(SECRET)).rune_secret
KEY = "04" + "ab" * 64
BOUND = rune.create(RUNE_SECRET, [f"pubkey={KEY}", "method^list|method^get", "time<1800000000"])


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    file = tmp_path / "hsm_secret"
    file.touch(mode=0o600)
    file.write_bytes(SECRET)
    return tmp_path


def run(*arguments: str, stdin: str = "", expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "signerd", "rune", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith(("GL_", "SIGNERD_"))},
        check=False,
    )
    assert expect == done.returncode, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_creates_the_published_rune(data_dir):
    done = run("create", "-r", "pubkey=000000", "-r", "method^list|method^get", "--data-dir", str(data_dir))
    assert (
        "KWMat-GbTd2UgVzP5lbghChQFCJeaMZ3iblQxG9wMq09MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2RebGlzdHxtZXRob2ReZ2V0\n"
        == done.stdout
    )
    assert "" == done.stderr


def test_creates_as_json(data_dir):
    done = run("create", "-r", "pubkey=00", "--json", "--secret-file", str(data_dir / "hsm_secret"))
    made = rune.create(RUNE_SECRET, ["pubkey=00"])
    assert json.loads(done.stdout) == {
        "v": 1,
        "rune": made.to_base64(),
        "restrictions": ["=0-gl0", "pubkey=00"],
    }


@pytest.mark.parametrize(
    ("restrictions", "code", "said"),
    [
        ([], 77, "pubkey=KEY"),
        (["method=pay"], 77, "pubkey=KEY"),
        (["pubkey=00", "a-b=1"], 64, "'a-b=1' does not have the form"),
        (["pubkey=00&a=1"], 64, "more than one restriction"),
        (["pubkey=00", ""], 64, "empty"),
    ],
)
def test_creates_nothing_from_bad_restrictions(data_dir, restrictions, code, said):
    options = [word for text in restrictions for word in ("-r", text)]
    done = run("create", *options, "--data-dir", str(data_dir), expect=code)
    assert "" == done.stdout
    assert said in done.stderr


def test_creating_needs_the_secret(tmp_path):
    done = run("create", "-r", "pubkey=00", "--data-dir", str(tmp_path), expect=66)
    assert "signerd init" in done.stderr


def test_restricts_without_a_secret():
    done = run(
        "restrict", "-", "-r", "method=getinfo", "-r", "time<1700000000", stdin=f"{BOUND.to_base64()}\n"
    )
    assert BOUND.restrict(["method=getinfo", "time<1700000000"]).to_base64() == done.stdout.strip()


def test_never_drops_a_restriction_that_it_cannot_read():
    done = run("restrict", BOUND.to_base64(), "-r", "method=pay", "-r", "bad", expect=64)
    assert "" == done.stdout
    assert "'bad'" in done.stderr


def test_says_so_where_nothing_is_added():
    done = run("restrict", BOUND.to_base64())
    assert BOUND.to_base64() == done.stdout.strip()
    assert "no restriction was given" in done.stderr


def test_decodes_into_words():
    done = run("decode", BOUND.to_base64())
    assert [
        "this rune demands that",
        "  1. its own id is 0, made for version gl0",
        f"  2. the caller's key is {KEY}",
        "  3. the method starts with list, or the method starts with get",
        "  4. the time is before 2027-01-15 08:00:00 UTC (1800000000)",
    ] == done.stdout.splitlines()


def test_decodes_into_json():
    document = json.loads(run("decode", "-", "--json", stdin=BOUND.to_base64()).stdout)
    assert BOUND.authcode.hex() == document["authcode"]
    assert (KEY, False) == (document["bound_to"], document["reference_refuses"])
    assert {"text": f"pubkey={KEY}", "meaning": f"the caller's key is {KEY}"} == document["restrictions"][1]
    assert 4 == len(document["restrictions"])


def test_a_rune_that_begins_with_a_dash_is_no_option(data_dir):
    made = next(
        made
        for number in range(1_000)
        if (made := rune.create(RUNE_SECRET, [f"pubkey={KEY}", f"x#{number}"])).to_base64().startswith("-")
    )
    narrowed = made.restrict(["method=getinfo"]).to_base64()
    assert narrowed == run("restrict", made.to_base64(), "-r", "method=getinfo").stdout.strip()
    assert narrowed == run("restrict", "-r", "method=getinfo", "--", made.to_base64()).stdout.strip()
    run("check", "--method", "pay", made.to_base64(), "--data-dir", str(data_dir))


@pytest.mark.parametrize(
    ("arguments", "code", "rule"),
    [
        (["--method", "ListPeers", "--time", "1700000000"], 0, None),
        (["--method", "listpeers", "--time", "1700000000", "--pubkey", KEY.upper()], 0, None),
        (["--method", "pay", "--time", "1700000000"], 77, "rune-method"),
        (["--method", "getinfo", "--time", "1800000000"], 77, "rune-time"),
        (["--method", "getinfo", "--time", "1700000000", "--pubkey", "00"], 77, "rune-pubkey"),
    ],
)
def test_checks_a_call(data_dir, arguments, code, rule):
    done = run("check", BOUND.to_base64(), *arguments, "--json", "--data-dir", str(data_dir), expect=code)
    document = json.loads(done.stdout)
    assert rule == document.get("rule")
    assert (code == 0) is document.get("allowed", False)


def test_checks_against_the_clock_where_no_time_is_given(data_dir):
    past = BOUND.restrict(["time<1500000000"]).to_base64()
    assert "2017" in run("check", past, "--method", "getinfo", "--data-dir", str(data_dir), expect=77).stderr


def test_a_rune_of_another_node_is_not_genuine(data_dir):
    other = Rune(bytes(32), BOUND.restrictions).to_base64()
    done = run("check", other, "--method", "getinfo", "--json", "--data-dir", str(data_dir), expect=77)
    assert "rune-authcode" == json.loads(done.stdout)["rule"]


@pytest.mark.parametrize(
    ("restrictions", "warning"),
    [
        ([f"pubkey={KEY}|method^"], "no restriction is pubkey=KEY alone"),
        ([f"pubkey={KEY}", "x#" + "c" * 58], "unlucky length"),
        ([f"pubkey={KEY}", "name=é"], "non-ASCII"),
    ],
)
def test_warns_of_runes_that_will_be_refused(data_dir, restrictions, warning):
    options = [word for text in restrictions for word in ("-r", text)]
    done = run("create", *options, "--data-dir", str(data_dir))
    assert rune.create(RUNE_SECRET, restrictions).to_base64() == done.stdout.strip()
    assert warning in done.stderr


@pytest.mark.parametrize("text", ["", "xx", "not base64!", "\x00", "é" * 50, "A" * 43])
def test_an_unreadable_rune_is_bad_data(text):
    assert "error: a rune " in run("decode", "-", stdin=text, expect=65).stderr


def test_refuses_more_than_a_rune_on_stdin():
    assert "more than" in run("decode", "-", stdin="A" * 1_100_000, expect=65).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-"],
        ["check", "-", "--method", "x", "--pubkey", "zz"],
        ["check", "-", "--method", "x", "--time", "-1"],
    ],
)
def test_a_command_typed_wrongly_is_a_usage_error(arguments):
    run(*arguments, expect=64)


def test_loads_neither_grpc_nor_protobuf():
    script = (
        "import sys; from signerd.cli.main import main\n"
        "try: main(['rune', 'decode', sys.argv[1]])\n"
        "except SystemExit: print(sorted({'grpc', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, BOUND.to_base64()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.endswith("[]\n")
