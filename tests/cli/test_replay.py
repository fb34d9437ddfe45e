"""`signerd replay`: the real decisions, offline, a line each."""

from __future__ import annotations

import json

import pytest
from helpers import vectors

from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2

PAIRING = vectors.load("pairing")
NODE = PAIRING["cases"][0]
CASES = [c for c in PAIRING["cases"] if (c["seed"], c["network"]) == (NODE["seed"], NODE["network"])]
HSM = vectors.load("hsm_basic")


def lines_of(cases) -> str:
    return "\n".join(
        json.dumps({"kind": "pairing", "request": c["signer_request"], "now": PAIRING["made_at"]})
        for c in cases
    )


def play(signerd, text: str, *arguments: str, seed: str = NODE["seed"], network: str = NODE["network"]):
    signerd.put_secret(bytes.fromhex(seed))
    done = signerd.run("replay", "-", "--network", network, *arguments, stdin=text)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def lifted(signerd):
    path = signerd.home / "lifted.toml"
    path.write_text("[pairing]\nallow_widening = true\n")
    return "--config", str(path)


def test_pairing_answers_equal_the_references_or_are_refused_with_a_rule(signerd):
    outcomes = play(signerd, lines_of(CASES), *lifted(signerd))
    assert len(CASES) == len(outcomes)
    for case, outcome in zip(CASES, outcomes, strict=True):
        if outcome["outcome"] == "signed":
            assert case["signer_response"] == outcome["response"], case["what"]
        else:
            assert outcome["response"] is None
            assert case["should"] != "approve", case["what"]
            assert outcome["outcome"] == "malformed" or outcome["rule"].startswith("pairing-")


def test_a_replayed_approval_is_refused_unless_told_to_forget(signerd):
    twice = lines_of([NODE, NODE])
    assert [o["rule"] for o in play(signerd, twice)] == [None, "pairing-replayed"]
    assert [o["rule"] for o in play(signerd, twice, "--fresh")] == [None, None]


def test_what_waits_for_a_person_is_said_to_and_is_not_answered(signerd):
    path = signerd.home / "c.toml"
    path.write_text('[pairing]\npolicy = "confirm"\n')
    held, again = play(signerd, lines_of([NODE, NODE]), "--config", str(path))
    assert (held["outcome"], held["response"]) == ("held", None)
    assert again["rule"] == "pairing-replayed"


def test_refusals_are_answered_on_the_wire_where_configured(signerd):
    path = signerd.home / "c.toml"
    path.write_text("[pairing]\nanswer_refusals = true\n")
    _, refused = play(signerd, lines_of([NODE, NODE]), "--config", str(path))
    response = scheduler_pb2.SignerResponse.FromString(bytes.fromhex(refused["response"]))
    assert response.WhichOneof("response") == "empty"


def test_hsm_answers_equal_the_references(signerd):
    script = HSM["cases"][0]
    steps = [s for s in script["steps"] if s["type"] != 2008]
    text = "\n".join(
        json.dumps({"kind": "hsm", "request": hsm_request(s).hex(), "now": HSM["made_at"]}) for s in steps
    )
    outcomes = play(signerd, text, seed=script["seed"], network=script["network"])
    for step, outcome in zip(steps, outcomes, strict=True):
        response = greenlight_pb2.HsmResponse.FromString(bytes.fromhex(outcome["response"]))
        assert response.request_id == 7
        if step["outcome"] == "reply" and step["should"] != "refuse":
            assert outcome["outcome"] == "signed"
            assert step["reply"] == response.raw.hex()
        else:
            assert outcome["outcome"] in ("refused", "malformed")
            assert response.error == f"{outcome['rule']}: {outcome['reason']}"


@pytest.mark.parametrize("name", ["life-static-in", "life-anchors-out"])
def test_a_channels_life_is_answered_as_the_reference_did(signerd, name):
    """State is kept from line to line; without it, nothing of a channel is answered."""
    script = next(case for case in vectors.load("hsm")["cases"] if case["script"] == name)
    steps = [step for step in script["steps"] if step["type"] != 2008]
    lines = [{"kind": "hsm", "request": hsm_request(s).hex(), "now": HSM["made_at"]} for s in steps]
    text = "\n".join(map(json.dumps, lines))
    outcomes = play(signerd, text, seed=script["seed"], network=script["network"])
    equal = 0
    for step, outcome in zip(steps, outcomes, strict=True):
        response = greenlight_pb2.HsmResponse.FromString(bytes.fromhex(outcome["response"]))
        if step.get("should"):
            continue  # one in which the two signers may differ
        assert (outcome["outcome"] == "signed") == (step["outcome"] == "reply"), step["what"]
        if step["outcome"] == "reply" and step.get("deterministic", True):
            assert step["reply"] == response.raw.hex(), step["what"]
            equal += 1
    assert equal > 50
    forgotten = play(signerd, text, "--fresh", seed=script["seed"], network=script["network"])
    of_channels = [
        outcome["outcome"]
        for step, outcome in zip(steps, forgotten, strict=True)
        if step["name"] in {"sign_remote_commitment_tx", "validate_commitment_tx"}
    ]
    assert of_channels
    assert set(of_channels) == {"refused"}


def hsm_request(step) -> bytes:
    context = step["context"]
    entries = [
        greenlight_pb2.SignerStateEntry(
            key=entry["key"], version=entry["version"], value=bytes.fromhex(entry["value"])
        )
        for entry in step.get("signer_state_sent") or []
    ]
    request = greenlight_pb2.HsmRequest(request_id=7, raw=bytes.fromhex(step["raw"]), signer_state=entries)
    for raw in step.get("requests") or []:
        request.requests.append(greenlight_pb2.PendingRequest.FromString(bytes.fromhex(raw)))
    if context:
        request.context.CopyFrom(
            greenlight_pb2.HsmRequestContext(
                node_id=bytes.fromhex(context["node_id"]),
                dbid=context["dbid"],
                capabilities=context["capabilities"],
            )
        )
    return request.SerializeToString()


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "[]",
        "{}",
        '{"kind": "pairing"}',
        '{"kind": "other", "request": "", "now": 1}',
        '{"kind": "pairing", "request": "xx", "now": 1}',
        '{"kind": "pairing", "request": "ffffff", "now": 1}',
        '{"kind": "hsm", "request": "ffffff", "now": 1}',
        '{"kind": "pairing", "request": "", "now": "1"}',
        '{"kind": "pairing", "request": "", "now": 1}',
    ],
)
def test_a_line_that_cannot_be_read_is_malformed_and_the_next_is_played(signerd, line):
    first, second = play(signerd, line + "\n\n" + lines_of([NODE]))
    assert first["outcome"] == "malformed"
    assert first["reason"]
    assert second["outcome"] == "signed"


def test_a_missing_file_is_told(signerd):
    signerd.put_secret()
    assert signerd.run("replay", "nowhere.jsonl").code == 66
