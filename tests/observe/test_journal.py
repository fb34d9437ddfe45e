"""Events as journald takes them, over a socket as journald has it."""

from __future__ import annotations

import os
import re

import pytest
from helpers.loglines import decode, journald, pipe
from hypothesis import given
from hypothesis import strategies as st

from signerd.observe import catalogue, events, journal
from signerd.observe.journal import Journal

REFUSED = events.RequestRefused(
    request_id=7, message="sign_message (type 23)", rule="sign-message", reason="not\nsigned"
)
NODE = "02" * 33


def test_an_event_arrives_with_its_fields(tmp_path):
    with journald(tmp_path / "socket") as daemon:
        sender = Journal(tmp_path / "socket", node=NODE)
        assert sender.send(REFUSED, 0)
        (entry,) = daemon.entries()

    assert entry == {
        "MESSAGE": 'request-refused: request_id=7 message="sign_message (type 23)" rule=sign-message '
        "reason=not\N{REPLACEMENT CHARACTER}signed",
        "MESSAGE_ID": catalogue.message_id(events.RequestRefused),
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "signerd",
        "SIGNERD_EVENT": "request-refused",
        "SIGNERD_NODE": NODE,
        "SIGNERD_REQ": "7",
        "SIGNERD_MESSAGE": "sign_message (type 23)",
        "SIGNERD_RULE": "sign-message",
        "SIGNERD_REASON": "not\N{REPLACEMENT CHARACTER}signed",
    }
    sender.close()


@given(
    st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text(max_size=80), max_size=8)
)
def test_any_text_survives_the_protocol(fields):
    assert decode(journal.encode(fields)) == fields


def test_every_field_has_a_name_that_journald_takes():
    for name in journal.names(catalogue.kinds()):
        assert re.fullmatch(r"SIGNERD_[A-Z0-9_]{1,50}", name)


@pytest.mark.parametrize("kind", catalogue.kinds(), ids=lambda kind: kind.NAME)
def test_the_longest_event_of_each_kind_fits_into_a_datagram(kind, tmp_path):
    """What is longer than a datagram would have to be passed as a memory file; cut fields never are."""
    longest = kind(**dict.fromkeys(catalogue.field_names(kind), "\N{PILE OF POO}" * 10_000))
    with journald(tmp_path / "socket") as daemon:
        sender = Journal(tmp_path / "socket", node=NODE)
        assert sender.send(longest, 0)
        assert len(daemon.entries()) == 1
        sender.close()


def test_says_so_when_nobody_is_there_and_finds_whoever_comes_later(tmp_path):
    sender = Journal(tmp_path / "socket")
    assert not sender.send(REFUSED, 0)
    for _ in range(2):
        with journald(tmp_path / "socket") as daemon:
            assert sender.send(REFUSED, 0)
            assert len(daemon.entries()) == 1
        assert not sender.send(REFUSED, 0)
    sender.close()


def test_does_not_wait_for_a_journald_that_hangs(tmp_path):
    with journald(tmp_path / "socket"):
        sender = Journal(tmp_path / "socket")
        sent = [sender.send(REFUSED, 0) for _ in range(5000)]
        sender.close()

    assert sent[0]
    assert not sent[-1]


def test_knows_whether_its_stderr_leads_to_the_journal():
    with pipe() as p, pipe() as other:
        found = os.fstat(p.writing)
        stream = f"{found.st_dev}:{found.st_ino}"
        assert journal.is_stream(stream, p.writing)
        assert not journal.is_stream(stream, other.writing)
    assert not journal.is_stream(stream, p.writing)  # closed
    for nothing in (None, "", "1", "x:y", f"{stream} "):
        assert not journal.is_stream(nothing, 2)
