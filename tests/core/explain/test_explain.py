"""Every rule and every message in plain words, once."""

from __future__ import annotations

import pytest
from helpers.audit import CHANNEL, answered, refused

from signerd.core import explain
from signerd.core.audit.trail import VARIOUS
from signerd.core.explain.addresses import with_addresses
from signerd.core.pairing import PairingRule
from signerd.core.wire import names


@pytest.mark.parametrize("rule", sorted(explain.RULES))
def test_a_rule_says_what_it_means_and_what_to_do(rule):
    told = explain.of_decision(refused(rule=rule, channel=CHANNEL))

    assert told.rule == rule
    for words in (told.meaning, told.remedy):
        assert words
        assert len(words) > 10
        # As everywhere in messages: a label comes before it, and no full stop after it.
        assert not words.endswith(".")
        assert words.isprintable()


def test_every_pairing_rule_is_explained():
    assert set(explain.PAIRING_RULES) == set(PairingRule)
    assert set(explain.PAIRING_RULES) & set(explain.REQUEST_RULES) == set()


def test_every_message_is_explained():
    assert set(explain.ASKED) == set(names.NAMES.values())


def test_a_refusal_tells_what_was_asked_by_which_rule_and_why():
    told = explain.of_decision(refused(rule="policy-onchain-fee-range", channel=CHANNEL))

    assert told.asked.startswith("the node asked for signatures under a transaction of the wallet")
    assert told.asked.endswith(f"(sign_withdrawal), for channel {CHANNEL.peer_id.hex()}/7")
    assert told.outcome == "it was refused"
    assert told.reason == "the sweep burns 9 sat"


def test_an_answer_has_nothing_to_mend():
    told = explain.of_decision(answered())

    assert (told.outcome, told.rule, told.meaning, told.remedy) == ("it was answered", None, None, None)
    assert told.facts == ("fee sat  150", "outputs  1000 sat to 0014")


def test_a_count_says_that_it_is_one():
    assert (
        explain.of_decision(refused(count=9)).outcome
        == "9 alike were refused, and are counted in this one record"
    )


@pytest.mark.parametrize("message", [VARIOUS, "unreadable", "type_9999"])
def test_what_is_no_known_message_is_told_as_well(message):
    assert message in explain.of_decision(refused(rule=VARIOUS, message=message)).asked


def test_a_rule_of_another_version_is_said_to_be_one():
    assert explain.of_rule("no-such-rule") is None
    assert "does not have that rule" in str(explain.of_decision(refused(rule="no-such-rule")).meaning)


def test_a_pairing_is_told_as_one():
    told = explain.of_decision(refused(rule="pairing-widening", kind="pairing", message="approve_pairing"))

    assert "paired device" in told.asked
    assert "pair" not in (told.reason or "")


@pytest.mark.parametrize(
    ("script", "address"),
    [
        ("0014" + "11" * 20, "bcrt1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3lgth6c"),
        ("5120" + "22" * 32, "bcrt1pyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3qnswg0v"),
        ("a914" + "55" * 20 + "87", "2N12ReerZjRK2ES3LohjEscmnuNasK5rSM1"),
        ("6a0401020304", "6a0401020304"),
        ("", ""),
        ("0014…", "0014…"),
    ],
)
def test_scripts_are_shown_as_addresses_where_they_have_one(script, address):
    facts = {"fee_sat": 1, "outputs": (f"1000 sat to {script}",)}

    assert with_addresses(facts, "regtest") == {"fee_sat": 1, "outputs": (f"1000 sat to {address}",)}
