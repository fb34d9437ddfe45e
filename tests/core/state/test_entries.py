"""The state that another signer left with the node: read, and left alone."""

from __future__ import annotations

import json

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context, Entry, Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state import entries
from signerd.core.state.book import ChannelId, MemoryBook
from signerd.errors import MalformedMessage
from signerd.units import Secret, UnixTime

NODE, PEER = (
    b"\x02" + b"\x11" * 32,
    bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
)
CHANNEL = ChannelId(PEER, 258)
KEY = "channels/" + (NODE + PEER + (258).to_bytes(8, "little")).hex()
READY = b'{"channel_setup":{"channel_value_sat":1},"enforcement_state":{}}'
STUB = b'{"channel_setup":null,"enforcement_state":{}}'
ECDH, NEW_CHANNEL, HEARTBEAT = b"\x00\x01" + PEER, b"\x00\x1e" + PEER + (258).to_bytes(8, "big"), b"\x07\xd8"
POINT = b"\x00\x12" + bytes(8)


def entry(key: str, value: bytes, version: int = 1) -> Entry:
    return Entry(key, version, value, b"")


def test_recognises_the_channels_of_the_reference():
    """Every channel entry that the reference ever returned, once it is set up."""
    found = set()
    for script in vectors.load("hsm")["cases"]:
        for step in script["steps"]:
            for item in step.get("state_changed") or []:
                if item.get("value") is not None:
                    changed = entry(item["key"], item["value"].encode(), item["version"])
                    found |= entries.channels_of_others([changed])
    assert len(found) > 20
    assert {len(channel.peer_id) for channel in found} == {33}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (entry(KEY, READY), {CHANNEL}),
        (entry(KEY, STUB), set()),
        (entry(KEY, b"null", entries.TOMBSTONE), set()),
        (entry(KEY, b"{}"), {CHANNEL}),
        (entry("channels/ab", READY), set()),
        (entry("peers/x", b"{}"), set()),
        (entry("foo", b"[1]"), set()),
    ],
)
def test_tells_what_was_set_up_by_another_signer(item, expected):
    assert expected == entries.channels_of_others([item])


@pytest.mark.parametrize(
    "item",
    [
        entry("a", b""),
        entry("a", b"{"),
        entry("a", b"\xff\xfe"),
        entry("nodestates/x", b"{}"),
        entry(KEY, b"[]"),
        entry(KEY, b"null"),
    ],
)
def test_refuses_what_the_reference_dies_of(item):
    with pytest.raises(MalformedMessage):
        entries.channels_of_others([item])


@given(st.text(max_size=20), st.binary(max_size=50), st.integers(0, 2**64 - 1))
def test_no_entry_raises_anything_else(key, value, version):
    try:
        entries.channels_of_others([entry(key, value, version)])
    except MalformedMessage:
        return


@given(
    st.recursive(st.none() | st.integers(-9, 9) | st.text(max_size=3), st.lists),
    st.sampled_from([KEY, "nodes/x"]),
)
def test_any_json_is_judged(content, key):
    try:
        entries.channels_of_others([entry(key, json.dumps(content).encode())])
    except MalformedMessage:
        return


def test_a_channel_of_another_signer_is_refused_by_name_and_remembered():
    signer, book = Signer(NodeKeys(Secret(bytes(32))), "regtest"), MemoryBook()
    context = Context(CHANNEL.peer_id, CHANNEL.dbid, 0)
    heard = signer.handle(SigningRequest(0, HEARTBEAT, entries=(entry(KEY, READY),)), book, UnixTime(0))
    assert isinstance(heard, Signed)
    book.apply(heard.changes)
    for request in (SigningRequest(1, NEW_CHANNEL), SigningRequest(2, POINT, context)):
        refused = signer.handle(request, book, UnixTime(0))
        assert isinstance(refused, Refusal)
        assert refused.rule == "channel-foreign"
    # A plain handshake concerns no channel's state.
    assert isinstance(signer.handle(SigningRequest(3, ECDH, context), book, UnixTime(0)), Signed)
    # Heard again, it is nothing new to write down.
    again = signer.handle(SigningRequest(4, HEARTBEAT, entries=(entry(KEY, READY),)), book, UnixTime(0))
    assert isinstance(again, Signed)
    assert again.changes.empty
