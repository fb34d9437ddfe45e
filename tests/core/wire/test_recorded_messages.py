"""What real nodes and signers sent each other: read, and written back to the same bytes."""

from __future__ import annotations

import itertools

import pytest
from helpers import vectors

from signerd.core.wire import codec, session, tlv
from signerd.errors import MalformedMessage

SCRIPTS = {script["script"]: script["steps"] for script in vectors.load("hsm")["cases"]}
CLN = vectors.load("cln_messages")["messages"]

# The reference signer calls these unreadable, and we read them: it does not know the type, or reads the PSBT
# along with the message.
READ_HERE = {
    "preapprove_invoice_check, well formed filler",
    "preapprove_keysend_check, well formed filler",
    "psbt garbage",
    "psbt empty",
}

# It reads these and then refuses, or dies of them; or answers with something that is not for a node.
REFUSED_BY_US = {
    "check_pubkey bad key bytes",
    "validate_commitment_tx 0 with an overflowing signature",
    "validate_commitment_tx 0 with sighash byte 2",
    "sign_remote_commitment_tx 1, HTLC list with side byte 2",
    "wire string not utf8",
    "bool byte of 2",
    "ecdh with a point not on the curve",
    "ecdh with an all zero point",
    "ecdh with an uncompressed prefix",
    *(
        f"sign_message, {how}"
        for how in ("type only", "cut in half", "last byte missing", "one byte too many")
    ),
    *(f"preapprove_{what}_check, type only" for what in ("invoice", "keysend")),
    *(
        f"type {number} with no body"
        for number in (0, 15, 17, 24, 26, 43, 50, 101, 200, 999, 2002, 2003, 2004, 9999, 65535)
    ),
}

# Core Lightning's hsmd ignores what follows the last field, and any byte may be in its texts.
READ_BY_CORE_LIGHTNING_ONLY = ("one byte too many", "bytes after the terminator", "not utf8")


def read(text):
    """The message, or None where it is malformed."""
    raw = bytes.fromhex(text)
    try:
        message = codec.decode(raw)
    except MalformedMessage:
        return None
    assert raw == codec.encode(message)
    return message


@pytest.mark.parametrize("script", SCRIPTS)
def test_reads_the_reference_signers_requests_as_it_does(script):
    for step in SCRIPTS[script]:
        unreadable = (step.get("error") or "").startswith("Protocol(") and step["what"] not in READ_HERE
        if step["what"] in REFUSED_BY_US:
            assert step["outcome"] != "reply" or step["should"] == "refuse"
            unreadable = True
        assert unreadable == (read(step["raw"]) is None), step["what"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_reads_the_reference_signers_replies(script):
    for step in SCRIPTS[script]:
        request = read(step["raw"])
        if request is not None and step.get("reply"):
            assert read(step["reply"]) == codec.decode_reply(request, bytes.fromhex(step["reply"]))


def replayed(session_steps, script):
    for step in session_steps:
        theirs = SCRIPTS[script][step["step"]]
        reply = theirs["reply"] if step.get("reply") == "same" else step.get("reply")
        yield {**step, "what": theirs["what"], "raw": theirs["raw"], "reply": reply}


def core_lightning_steps():
    for part in ("permissions", "malformed"):
        yield part, CLN[part]["steps"]
    for part in CLN["sessions"]:
        yield part["session"], part["steps"]
    for part in CLN["replay"]:
        yield f"replay of {part['session']}", list(replayed(part["steps"], part["session"]))
    for run in CLN["lightningd"]["runs"]:
        for node in run["nodes"]:
            yield f"lightningd {run['run']} {node['node']}", node["steps"]


@pytest.mark.parametrize(("name", "steps"), [pytest.param(n, s, id=n) for n, s in core_lightning_steps()])
def test_reads_what_core_lightning_reads_and_its_replies(name, steps):
    for step in steps:
        answered = step.get("outcome", "reply") == "reply"
        request = read(step["raw"])
        if answered and not any(what in step.get("what", "") for what in READ_BY_CORE_LIGHTNING_ONLY):
            assert request is not None
        if request is not None and step.get("reply"):
            assert read(step["reply"]) == codec.decode_reply(request, bytes.fromhex(step["reply"]))


def test_all_that_two_lightning_nodes_said_in_their_lives_is_read():
    steps = [s for run in CLN["lightningd"]["runs"] for node in run["nodes"] for s in node["steps"]]
    assert len(steps) == 1552
    assert len({type(read(s["raw"])) for s in steps}) == 38
    assert all(read(s["raw"]) is not None for s in steps)
    unanswered = {type(read(s["raw"])).__name__ for s in steps if not s["reply"]}
    assert unanswered == {"DevPreinit"}


@pytest.mark.parametrize("case", CLN["init"], ids=lambda case: case["what"])
def test_reads_init_as_core_lightning_does(case):
    unreadable = {
        "tlv cut short",
        "tlv twice",
        "one byte too few",
        "only the type",
        "unknown even tlv",
        "passphrase tlv without NUL",
        "passphrase with a tab (plain secret)",
        "passphrase with a newline (plain secret)",
    }
    message = read(case["init"])
    if isinstance(message, session.Init):
        try:
            tlv.values(message.tlvs, session.INIT_TLVS)
        except MalformedMessage:
            message = None
    assert (message is None) == (case["what"] in unreadable)
    for step in itertools.chain([{"raw": case["init"], "reply": case.get("reply")}], case.get("then", ())):
        if step.get("reply"):
            reply = codec.decode_reply(read(step["raw"]), bytes.fromhex(step["reply"]))
            if isinstance(reply, session.InitReply):
                assert tlv.values(reply.tlvs, session.INIT_REPLY_TLVS)[1] in range(4)
