"""How many entries a protobuf has, before anything is made of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signerd.greenlight import wire_scan
from signerd.greenlight.pb import greenlight_pb2 as pb

FIELDS = frozenset({4, 5})


@given(st.integers(0, 20), st.integers(0, 20), st.binary(max_size=50), st.integers(0, 2**32 - 1))
def test_counts_what_the_parser_finds(entries, requests, raw, number):
    message = pb.HsmRequest(
        request_id=number,
        raw=raw,
        context=pb.HsmRequestContext(dbid=number),
        signer_state=[pb.SignerStateEntry(key="k", value=raw)] * entries,
        requests=[pb.PendingRequest(request=raw)] * requests,
    ).SerializeToString()
    assert wire_scan.has_at_most(message, FIELDS, entries + requests)
    if entries + requests:
        assert not wire_scan.has_at_most(message, FIELDS, entries + requests - 1)


@given(st.binary(max_size=200))
def test_takes_any_bytes(raw):
    assert wire_scan.has_at_most(raw, FIELDS, 10**9)


def test_stops_at_the_limit():
    assert not wire_scan.has_at_most(b"\x22\x00" * 10_000_000, FIELDS, 1000)
