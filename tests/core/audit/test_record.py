"""What is hashed: the canonical bytes of a record, to the byte, and nothing that only looks like them."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from helpers.audit import CHANNEL, answered, refused
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.audit import record
from signerd.core.audit.record import Decision, Head, Record
from signerd.core.state.book import ChannelId
from signerd.errors import MalformedMessage

GOLDEN = (
    '{"channel":"' + "03" * 33 + '/7","count":3,"facts":{"fee_sat":150,"outputs":["1000 sat to 0014"]},'
    '"kind":"request","message":"sign_withdrawal","number":12,"outcome":"refused",'
    '"reason":"über the limit","reply_sha256":"' + "09" * 32 + '","request_id":1,"request_sha256":"'
    + "01" * 32 + '","rule":"policy-onchain-fee-range","since":1799999990,"time":1800000001,"v":1}'
)  # fmt: skip


def golden() -> Record:
    decision = answered(
        channel=CHANNEL, outcome="refused", rule="policy-onchain-fee-range", reason="über the limit",
        reply_digest=b"\x09" * 32, count=3, since=1_799_999_990,
    )  # fmt: skip
    return Record(12, decision)


def test_the_canonical_bytes_are_these():
    assert record.canonical(golden()) == GOLDEN.encode()
    assert record.parse(GOLDEN.encode()) == golden()


def test_the_smallest_record_has_no_field_without_content():
    least = Decision(time=1, kind="pairing", request_id=2, message="approve_pairing", outcome="answered")

    assert record.canonical(Record(1, least)) == (
        b'{"kind":"pairing","message":"approve_pairing","number":1,"outcome":"answered",'
        b'"request_id":2,"time":1,"v":1}'
    )


def test_the_chain_is_made_as_it_is_written_down():
    start = record.genesis(bytes(16), b"\x02" * 33)
    assert start == Head(0, hashlib.sha256(b"signerd audit v1" + bytes(16) + b"\x02" * 33).digest())
    raw = GOLDEN.encode()
    assert start.next(raw) == Head(1, hashlib.sha256(start.hash + raw).digest())


TEXT = st.text(max_size=30).map(record.clean)
FACTS = st.dictionaries(
    TEXT, st.integers(0, 2**64) | TEXT | st.lists(TEXT, max_size=3).map(tuple), max_size=4
)
DIGEST = st.none() | st.binary(min_size=32, max_size=32)
DECISIONS = st.builds(
    Decision,
    time=st.integers(-(2**40), 2**40),
    kind=st.sampled_from(["request", "pairing"]),
    request_id=st.integers(0, 2**64 - 1),
    message=TEXT,
    outcome=st.sampled_from(["answered", "refused"]),
    channel=st.none() | st.builds(ChannelId, st.binary(max_size=33), st.integers(0, 2**64 - 1)),
    rule=st.none() | TEXT,
    reason=st.none() | TEXT,
    facts=FACTS,
    request_digest=DIGEST,
    reply_digest=DIGEST,
    count=st.integers(1, 2**60),
    since=st.none() | st.integers(0, 2**40),
)


@given(st.integers(1, 2**60), DECISIONS)
def test_every_record_is_read_back_as_it_was(number, decision):
    raw = record.canonical(Record(number, decision))

    assert record.parse(raw) == Record(number, decision)
    # Anybody's JSON library makes the same bytes of it.
    assert (
        json.dumps(json.loads(raw), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() == raw
    )
    assert all(c.isprintable() for c in raw.decode())


@pytest.mark.parametrize(
    "broken",
    [
        GOLDEN.replace('"v":1', '"v":2'),
        GOLDEN.replace('"v":1', '"v":1,"w":1'),
        GOLDEN.replace('"count":3,', '"count":3,"count":3,'),
        GOLDEN.replace(":1800000001", ": 1800000001"),
        GOLDEN.replace("1800000001", "1800000001.0"),
        GOLDEN.replace('"number":12', '"number":true'),
        GOLDEN.replace('"number":12,', ""),
        GOLDEN.replace('"request",', '"else",'),
        GOLDEN.replace('"refused"', '"asked"'),
        GOLDEN.replace("ü", "\\u00fc"),
        GOLDEN.replace("/7", ""),
        GOLDEN[:-1],
        "[]",
        "null",
        "[" * 100_000,
        "",
    ],
)
def test_refuses_bytes_that_are_not_canonical(broken):
    with pytest.raises(MalformedMessage):
        record.parse(broken.encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw):
    with contextlib.suppress(MalformedMessage):
        assert record.canonical(record.parse(raw)) == raw


def test_a_head_is_read_as_it_is_printed():
    head = Head(12, b"\xab" * 32)

    assert str(head) == "12:" + "ab" * 32
    assert Head.parse(f" {head}\n") == head


@pytest.mark.parametrize(
    "text", ["", "12", ":" + "ab" * 32, "x:" + "ab" * 32, "1:" + "zz" * 32, "1:ab", "²:" + "ab" * 32]
)
def test_refuses_what_is_no_head(text):
    with pytest.raises(MalformedMessage):
        Head.parse(text)


def test_text_from_outside_is_cleaned_and_cut():
    assert record.clean("a\nb\x1b[31m") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m"
    assert record.clean("x" * 501) == "x" * 500 + "…"
    assert refused().is_refusal
    assert not answered().is_refusal
