"""Wallet signing, as others did it: the reference signer on hosted nodes, hsmd on plain ones.

Each signature is verified by libsecp256k1 over embit's digests, whether it is equal to another's or not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from helpers import vectors
from helpers.plain_nodes import keys_of
from helpers.wallet_requests import WALLET_TYPES, In, Signing, Spending, change, channel_of, wallet_input
from helpers.witnesses import signed, without_randomness

from signerd.core.handlers import onchain
from signerd.core.policy import onchain as policy
from signerd.core.policy import ownership
from signerd.core.policy.onchain import Destination
from signerd.core.state.book import ChannelId
from signerd.core.tx import psbt_fields, script, signing
from signerd.core.tx.psbt import Psbt
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint, Output
from signerd.core.wire import codec
from signerd.errors import MalformedMessage, Refused

HSM = {case["script"]: case for case in vectors.load("hsm")["cases"]}
CLN = vectors.load("cln_messages")["messages"]
REFERENCE = vectors.load("onchain")
LIGHTNINGD = {
    f"{run['run']}-{node['node']}": node for run in CLN["lightningd"]["runs"] for node in run["nodes"]
}

# What only a client's command could tell from a good request.
UNKNOWN_DESTINATION = "payment to an unknown destination without a request"
# The reference takes nobody's money for its own without a name in the PSBT; it is ours by derivation.
UNNAMED = "wallet output without derivation info"
ANSWERED_THOUGH_LAX = {UNKNOWN_DESTINATION, UNNAMED}

# Script → how many answers are equal, and how many requests are refused.
WITHDRAWALS = Counter(equal=12, refused=10)
ATTACKS = Counter(equal=17, refused=1)
EXPECTED = {
    "withdrawal-regtest": WITHDRAWALS,
    "withdrawal-bitcoin": WITHDRAWALS,
    "life-static-out": Counter(equal=1),
    "life-anchors-out": Counter(equal=1),
    "force-static-out": Counter(equal=4),
    "force-static-in": Counter(equal=1),
    "force-anchors-out": Counter(equal=5, verified=1),
    "force-anchors-in": Counter(equal=2, verified=1),
    "attacks-static": ATTACKS,
    "attacks-anchors": ATTACKS,
    "malformed": Counter(equal=2, refused=13),
}


def refusal(call, *arguments) -> str | None:
    """The rule, None if there is an answer."""
    try:
        call(*arguments)
    except Refused as refused:
        return refused.rule
    except MalformedMessage:
        return "malformed"
    return None


def psbt_of(reply: str) -> bytes:
    psbt: bytes = codec.decode(bytes.fromhex(reply)).psbt
    return psbt


def require_equal(ours: bytes, theirs: bytes, request: bytes) -> str:
    """That both sign the same, well, in the same form; how far the bytes are the same."""
    assert without_randomness(ours) == without_randomness(theirs)
    assert signed(request, ours) == signed(request, theirs)
    return "equal" if ours == theirs else "verified"


# Hosted nodes


@pytest.mark.parametrize("name", EXPECTED)
def test_answers_a_recorded_script_as_the_reference_signer_does(name):
    script, counts, lax, refused = HSM[name], Counter(), set(), []
    signer = Signing(bytes.fromhex(script["seed"]), script["network"], Dialect.HOSTED)
    for step in script["steps"]:
        wanted, replied = step.get("should"), step["outcome"] == "reply"
        try:
            message = codec.decode(bytes.fromhex(step["raw"]))
            if message.TYPE not in WALLET_TYPES:
                if replied:
                    signer.feed(message, channel_of(step["context"]))
                continue
            answer = signer.answer(message)
        except (Refused, MalformedMessage):
            if step["type"] in WALLET_TYPES:
                refused.append((wanted, step["outcome"]))
            continue
        assert replied, step["what"]
        verdict = require_equal(answer, psbt_of(step["reply"]), message.psbt)
        assert verdict == "equal" or not step["deterministic"]
        counts[verdict] += 1
        if wanted == "refuse":
            lax.add(step["what"])
    counts += Counter(refused=len(refused))
    assert EXPECTED[name] == counts
    assert set(refused) <= {(wanted, how) for wanted in ("refuse", "either") for how in ("error", "abort")}
    assert (ANSWERED_THOUGH_LAX if name.startswith("withdrawal") else set()) == lax


# The fourth node's secret is that of words, which no hosted node has.
ASKED = {"splice-a": {7: 5, 147: 1, 149: 12}, "plain-a": {7: 4}, "plain-b": {7: 1, 147: 1, 149: 12}}


@pytest.mark.parametrize("name", ASKED)
def test_answers_a_real_node_as_the_reference_signer_does(name):
    node = LIGHTNINGD[name]
    recorded = {f"{item['run']}-{item['node']}": item["answers"] for item in REFERENCE["lightningd"]}[name]
    signer, done = Signing(bytes.fromhex(node["secret"]), node["network"], Dialect.HOSTED), Counter()
    for number, step in enumerate(node["steps"]):
        message = codec.decode(bytes.fromhex(step["raw"]))
        if message.TYPE not in WALLET_TYPES:
            signer.feed(message, channel_of(step["on"]))
            continue
        reply = recorded[str(number)]
        if isinstance(reply, str):
            require_equal(signer.answer(message), psbt_of(reply), message.psbt)
        else:
            assert "channel push not allowed" in reply["error"]
            assert refusal(signer.answer, message) == "policy-onchain-no-channel-push"
        done[message.TYPE] += 1
    assert {"splice-a": {7: 5, 147: 1, 149: 12}, "plain-a": {7: 4}, "plain-b": {7: 1, 147: 1, 149: 12}}[
        name
    ] == done


# Where a careful signer refuses what the reference grants, and the other way round.
DIFFERENT = {
    **{f"p2wpkh sighash {value}": "onchain-sighash" for value in (0, 2, 3, 129, 131)},
    "p2tr sighash 3": "onchain-sighash",
    "anchor sighash 0x83": "onchain-sighash",
    "p2sh wrong redeem": "onchain-script",
    "p2wpkh with redeem": "onchain-script",
    "p2wpkh with witness script": "onchain-script",
    "close anchors with wrong ws": "onchain-script",
    "anchor wrong ws": "onchain-script",
    "p2wsh listed": "onchain-input-not-ours",
    "duplicate input": "policy-onchain-format-standard",
    "unknown output and fee over cap": "policy-onchain-fee-range",
    "anchor 331": "anchor-missing",
    "mingle unknown channel": "channel-unknown",
    # Money of a channel that is long forgotten is still ours.
    "close unknown channel": None,
}
# The reference signs with a script that is not the output's: nobody could use its signature.
OTHER_WITNESS = {"close anchors csv 4032"}


def test_differs_from_the_reference_signer_on_odd_requests_only_where_it_is_careless():
    signer = Signing(bytes.fromhex(REFERENCE["secret"]), REFERENCE["network"], Dialect.HOSTED)
    counts: Counter[str] = Counter()
    for case in REFERENCE["cases"]:
        message, what = codec.decode(bytes.fromhex(case["raw"])), case["what"]
        if message.TYPE not in WALLET_TYPES:
            channel_id = channel_of(case["context"])
            signer.feed(message, channel_id)
            if message.TYPE == 31:  # our commitment 0 counts as made: one output of it is spent
                signer.put(channel_id, replace(signer.channel(channel_id), next_holder=1))
            continue
        rule = refusal(signer.answer, message)
        if what in DIFFERENT:
            assert DIFFERENT[what] == rule, what
            assert (rule is None) == (case["outcome"] != "reply")
        else:
            assert (rule is None) == (case["outcome"] == "reply"), (what, rule)
        if rule is None:
            answer = signer.answer(message)
            assert signed(message.psbt, answer) or what == "listed not in"
            if what not in DIFFERENT | dict.fromkeys(OTHER_WITNESS):
                counts[require_equal(answer, psbt_of(case["reply"]), message.psbt)] += 1
        else:
            counts["refused"] += 1
    assert {"equal": 37, "verified": 10, "refused": 33} == counts


# Plain nodes

AS_EXPECTED_OF_A_NODE = {
    "splice-a": {
        (7, "CHANNEL WALLET"): 4,
        (7, "ELSEWHERE WALLET"): 1,
        (147, "WALLET"): 1,
        (149, "HTLC WALLET"): 12,
    },
    "splice-b": {(7, "ELSEWHERE WALLET"): 1},
    "plain-a": {(7, "CHANNEL WALLET"): 3, (7, "ELSEWHERE WALLET"): 1},
    "plain-b": {(7, "ELSEWHERE WALLET"): 1, (147, "WALLET"): 1, (149, "HTLC WALLET"): 12},
}


@pytest.mark.parametrize("name", AS_EXPECTED_OF_A_NODE)
def test_answers_a_real_node_as_core_lightnings_own_signer_and_knows_what_it_pays_for(name):
    node, done = LIGHTNINGD[name], Counter()
    signer = Signing(keys_of(node), node["network"], Dialect.CORE_LIGHTNING)
    for step in node["steps"]:
        message = codec.decode(bytes.fromhex(step["raw"]))
        if message.TYPE not in WALLET_TYPES:
            signer.feed(message, channel_of(step["on"]))
            continue
        answer = signer.answer(message)
        assert psbt_of(step["reply"]) == answer
        assert signed(message.psbt, answer)
        done[message.TYPE, " ".join(item.name for item in destinations(signer, message))] += 1
    assert AS_EXPECTED_OF_A_NODE[name] == done


def destinations(signer: Signing, message: Any) -> tuple[Destination, ...]:
    spend = onchain.spend_of(message.psbt, message.utxos, signer.call)
    if message.TYPE == 7:
        return policy.destinations(spend)
    channel_id = ChannelId(message.peer_id, message.dbid)
    keys = signer.call.channel_keys(channel_id)
    htlc_script = ownership.htlc_transaction_script(keys, signer.channel(channel_id))
    return policy.destinations(spend, htlc_script=htlc_script)


def test_a_script_signature_is_written_also_where_the_input_is_not_ours():
    """So the reference signer replies, with a push of the redeem script of any input that has one."""
    signer = Signing(b"\x01" * 32, "regtest", Dialect.HOSTED)
    keys = signer.call.keys
    theirs = replace(wallet_input(keys, 2, form=script.p2sh_p2wpkh), utxo=None)
    spending = Spending((wallet_input(keys, 1), theirs), (change(keys, 3, 199_000),))
    first, second = Psbt.parse(signer.answer(spending.withdrawal())).inputs
    assert first.final_witness
    assert second.final_witness is None
    redeem = script.p2wpkh(keys.wallet_pubkey(2))
    assert second.fields.get(psbt_fields.IN_FINAL_SCRIPT_SIG) == script.push(redeem)
    assert first.fields.get(psbt_fields.IN_FINAL_SCRIPT_SIG) is None


@pytest.mark.parametrize(
    ("redeem", "said", "written"),
    [
        (b"", (), b"\x00"),
        (b"\x51" * 75, (), b"\x4b" + b"\x51" * 75),
        (b"\x51" * 105, (), b"\x4c\x69" + b"\x51" * 105),
        (b"\x51" * 300, (), b"\x4d\x2c\x01" + b"\x51" * 300),
        (b"\x51" * 105, ((b"\x07", b"\x00\x01\xaa"),), b"\x00\x01\xaa"),  # theirs, of a 2-of-3 for one
    ],
)
def test_a_script_signature_of_others_is_whole_and_never_written_over(redeem, said, written):
    signer = Signing(b"\x01" * 32, "regtest", Dialect.HOSTED)
    keys, outpoint = signer.call.keys, Outpoint(b"\x07" * 32, 1)
    spent = Output(100_000, script.p2sh(redeem))
    theirs = In(outpoint, spent, ((b"\x04", redeem), *said))
    spending = Spending((wallet_input(keys, 1), theirs), (change(keys, 3, 199_000),))
    answered = Psbt.parse(signer.answer(spending.withdrawal())).inputs[1]
    assert answered.fields.get(psbt_fields.IN_FINAL_SCRIPT_SIG) == written
    assert answered.final_witness is None


def test_a_version_that_says_nothing_is_read_and_not_written():
    """Version 0 is meant where none is said, and so the reference signer replies."""
    script = HSM["withdrawal-regtest"]
    signer = Signing(bytes.fromhex(script["seed"]), script["network"], Dialect.HOSTED)
    step = next(s for s in script["steps"] if s["name"] == "sign_withdrawal" and s["outcome"] == "reply")
    message = codec.decode(bytes.fromhex(step["raw"]))
    psbt = Psbt.parse(message.psbt)
    said = replace(psbt, fields=psbt.fields.put(psbt_fields.GLOBAL_VERSION, bytes(4))).serialize()
    assert len(said) == len(message.psbt) + 7
    assert signer.answer(replace(message, psbt=said)) == psbt_of(step["reply"])


# What hsmd signs, or dies of, and a signer that looks refuses.
REFUSED_ON_REPLAY = {
    "wallet output whose derivation is wrong": "policy-onchain-no-unknown-outputs",
    "fee of everything": "policy-onchain-fee-range",
    "outputs exceed inputs": "policy-onchain-format-standard",
    "version 1 transaction": "policy-onchain-format-standard",
    "key index does not match the utxo script": "onchain-input-not-ours",
    "psbt input lacks the witness utxo": "onchain-utxo-missing",
    "psbt garbage": "malformed",
    "psbt empty": "malformed",
    "no inputs": "policy-onchain-format-standard",
    "no outputs": "policy-onchain-format-standard",
}
REPLAYED = {"withdrawal": 12, "life-static": 1, "life-anchors": 1, "force-static": 5, "force-anchors": 9}


@pytest.mark.parametrize("kind", REPLAYED)
def test_answers_a_replayed_script_as_core_lightnings_own_signer_does(kind):
    equal = 0
    for session in CLN["replay"]:
        if not session["session"].startswith(kind):
            continue
        signer = Signing(keys_of(session), session["network"], Dialect.CORE_LIGHTNING)
        for replayed in session["steps"]:
            step = HSM[session["session"]]["steps"][replayed["step"]]
            message = codec.decode(bytes.fromhex(step["raw"]))
            if message.TYPE not in WALLET_TYPES:
                signer.feed(message, channel_of(step["context"]))
            elif step["what"] in REFUSED_ON_REPLAY:
                assert REFUSED_ON_REPLAY[step["what"]] == refusal(signer.answer, message)
            else:
                answer = signer.answer(message)
                reply = step["reply"] if replayed["reply"] == "same" else replayed["reply"]
                assert psbt_of(reply) == answer, step["what"]
                assert signed(message.psbt, answer) or step["what"] == "utxo list empty"
                equal += 1
    assert REPLAYED[kind] * (2 if kind == "withdrawal" else 1) == equal


# hsmd signs with the wrong key without a word, or ends itself.
REFUSED_IN_SESSIONS = {
    "listed with the wrong key index: signed with that other key": "onchain-input-not-ours",
    "no utxo field in the psbt": "onchain-utxo-missing",
    "hardened key index": "onchain-input-not-ours",
}


@pytest.mark.parametrize("number", range(5))
def test_signs_every_kind_of_input_as_core_lightnings_own_signer_does(number):
    """Those requests burn their money as fees, and know no channel: what would refuse them is left out."""
    session, equal = CLN["sessions"][number], 0
    signer = Signing(keys_of(session), session["network"], Dialect.CORE_LIGHTNING)
    for step in session["steps"]:
        if step["type"] not in WALLET_TYPES:
            continue
        message, what = codec.decode(bytes.fromhex(step["raw"])), step["what"].partition(": ")[2]
        if what in REFUSED_IN_SESSIONS:
            assert REFUSED_IN_SESSIONS[what] == refusal(signer.answer, message)
            continue
        spend = onchain.spend_of(message.psbt, message.utxos, signer.call)
        if message.TYPE == 147:
            anchors = onchain.anchors_of(spend.psbt, ChannelId(message.peer_id, message.dbid), signer.call)
            spend = replace(spend, inputs={**spend.inputs, **anchors})
        answer = onchain.sign(spend, signing.nonce_of(message.TYPE, Dialect.CORE_LIGHTNING)).serialize()
        signed(message.psbt, answer)
        if step["outcome"] == "reply":
            assert psbt_of(step["reply"]) == answer, what
            equal += 1
    assert equal == 27
