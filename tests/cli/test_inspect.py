"""`signerd inspect identity`: the reference's identity, from the command line."""

from __future__ import annotations

import pytest
from helpers import vectors


@pytest.mark.parametrize("case", vectors.load("identity")["cases"][::12], ids=lambda c: c["network"])
def test_prints_what_the_scheduler_gets(signerd, case):
    path = signerd.put_secret(bytes.fromhex(case["seed"]))
    done = signerd.run("inspect", "identity", "--json", "--secret-file", path, "--network", case["network"])
    registration = case["registration"]
    assert {
        "v": 1,
        "node_id": case["node_id"],
        "network": case["network"],
        "version": case["version"],
        "init_msg": case["init"],
        "bip32_key": registration["bip32_key"],
        "bolt12_key": case["init"][-66:],
        "startupmsgs": registration["startupmsgs"],
    } == done.json


@pytest.mark.parametrize(
    ("content", "mode", "code", "says"),
    [
        (None, 0o600, 66, "no secret at"),
        (b"", 0o600, 65, "empty"),
        (bytes(31), 0o600, 65, "cut short"),
        (bytes(33), 0o600, 65, "33 bytes"),
        (bytes(range(32)), 0o644, 65, "read by others"),
        (bytes(5000), 0o600, 65, "more than"),
    ],
)
def test_says_what_is_wrong_with_a_secret(signerd, content, mode, code, says):
    if content is not None:
        signerd.put_secret(content, mode)
    done = signerd.run("inspect", "identity", "--json")
    assert code == done.code == done.json["code"]
    assert says in done.json["error"]
    assert done.json["hint"]
    assert "Traceback" not in done.err


def test_a_directory_in_the_secrets_place_is_told(signerd):
    (signerd.data_dir / "hsm_secret").mkdir(parents=True)
    done = signerd.run("inspect", "identity")
    assert done.code == 65
    assert "is a directory" in done.err
