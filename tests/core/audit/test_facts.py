"""What a record says of a decision: for every message something or nothing on purpose, and nothing secret."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.good_requests import ALWAYS_REFUSED, Good, by_type

from signerd.core import handlers
from signerd.core.audit import decision, facts, record, words
from signerd.core.audit.record import Record
from signerd.core.requests import Signed
from signerd.core.wire import codec, names
from signerd.units import UnixTime

NOW = UnixTime(1_800_000_000)


def decided(good: Good) -> tuple[Signed, record.Decision]:
    outcome = good.witness.copy().ask(good.request)
    assert isinstance(outcome, Signed), outcome
    return outcome, decision.of_request(good.request, outcome, NOW)


def test_every_message_that_is_answered_has_facts_or_none_on_purpose():
    assert set(facts._FACTS) | facts.WITHOUT_FACTS == set(handlers.HANDLERS)
    assert set(facts._FACTS) & facts.WITHOUT_FACTS == set()


@pytest.mark.parametrize("number", [n for n in by_type() if n != ALWAYS_REFUSED], ids=names.name_of)
def test_a_good_request_leaves_a_record_that_can_be_written(number):
    _, found = decided(by_type()[number])

    assert "facts_missing" not in found.facts
    assert record.parse(record.canonical(Record(1, found))) == Record(1, found)
    assert len(record.canonical(Record(1, found))) < 5000
    # No message that has facts is silent, whatever channel it is about; approvals need a change to tell of.
    silent = type(by_type()[number].message) in facts.WITHOUT_FACTS or number in {38, 51}
    assert bool(found.facts) or silent


def secrets_in(message: object) -> set[bytes]:
    values = (getattr(message, name) for name, field in codec.layout(type(message)) if "secret" in field.name)
    return {value for value in values if isinstance(value, bytes)}


@pytest.mark.parametrize("number", [n for n in by_type() if n != ALWAYS_REFUSED], ids=names.name_of)
def test_no_secret_of_request_or_reply_is_in_the_record(number):
    good = by_type()[number]
    outcome, found = decided(good)
    reply = codec.decode(outcome.reply) if outcome.reply else None
    raw = record.canonical(Record(1, found))

    for secret in secrets_in(good.message) | (secrets_in(reply) if reply else set()):
        assert secret.hex().encode() not in raw


def test_a_commitment_of_the_peer_says_its_number_amounts_and_transaction():
    outcome, found = decided(by_type()[19])
    ((_, after),) = outcome.changes.channels.items()
    assert after is not None
    assert after.signed is not None
    content = after.signed.contents[-1][1]

    assert found.facts == {
        "commitment": after.signed.number,
        # With those that are too small for an output.
        "htlcs": len(by_type()[19].message.htlcs),
        "txid": content.txid[::-1].hex(),
        "to_peer_sat": content.to_broadcaster_sat,
        "to_us_sat": content.to_other_sat,
        "feerate_per_kw": content.feerate_per_kw,
    }
    assert found.channel in outcome.changes.channels


def test_a_withdrawal_says_what_goes_where_and_what_it_costs():
    good = by_type()[7]
    outcome, found = decided(good)
    told = facts.of(good.message, replace(outcome, about=None))

    assert told == found.facts, "read anew, it says the same"
    outputs = found.facts["outputs"]
    assert isinstance(outputs, tuple)
    paid = sum(int(text.split(" ")[0]) for text in outputs)
    assert found.facts["inputs_sat"] == paid + int(str(found.facts["fee_sat"]))


def test_a_refused_request_tells_what_could_be_read_of_it():
    good = by_type()[19]
    refusal = good.refusal(good.but(commit_num=good.message.commit_num + 5))
    found = decision.of_request(good.request, refusal, NOW)

    assert found.rule == refusal.rule
    assert found.facts["commitment"] == good.message.commit_num + 5
    assert found.reply_digest is None


def test_a_malformed_request_leaves_a_record_without_facts():
    good = by_type()[7]
    raw = good.request.raw[:-1]
    found = decision.of_request(replace(good.request, raw=raw), good.refusal(raw), NOW)

    assert found.facts == {}
    assert found.rule == "malformed"
    assert found.message == "sign_withdrawal"


def test_a_psbt_that_cannot_be_read_costs_no_record():
    good = by_type()[7]
    broken = good.but(psbt=b"psbt\xff\x01")
    found = decision.of_request(broken, good.refusal(broken), NOW)

    assert (found.rule, found.facts) == ("malformed", {})


def test_a_bug_in_telling_costs_the_facts_and_not_the_answer():
    assert facts.of(replace(by_type()[7].message, psbt=None), Signed(b"x")) == {
        "facts_missing": "a bug in signerd: TypeError"
    }


def test_facts_fit_on_a_line_and_on_lines():
    told = {"commitment": 5, "outputs": ("1 sat to 00", "2 sat to 01")}

    assert words.facts_line(told) == "commitment=5 outputs=[1 sat to 00, 2 sat to 01]"
    assert words.facts_lines(told) == ("commitment  5", "outputs     1 sat to 00", "outputs     2 sat to 01")
    assert words.facts_line({}) is None
