"""Where the fields of a protobuf stand, before anything is made of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signerd.greenlight import wire_scan
from signerd.greenlight.pb import greenlight_pb2 as pb


def fields(raw: bytes) -> list[tuple[int, bytes]]:
    found, position = [], 0
    while position < len(raw):
        number, body, position = wire_scan.field(raw, position)
        found.append((number, raw[body:position]))
    return found


@given(st.integers(0, 5), st.integers(0, 5), st.binary(min_size=1, max_size=200), st.integers(1, 2**32 - 1))
def test_finds_what_the_parser_finds(entries, requests, raw, number):
    entry, request = pb.SignerStateEntry(key="k", value=raw), pb.PendingRequest(request=raw)
    message = pb.HsmRequest(
        request_id=number, raw=raw, signer_state=[entry] * entries, requests=[request] * requests
    )
    (id_field, _), *rest = fields(message.SerializeToString())
    assert id_field == 1
    expected = [(3, raw), *[(4, entry.SerializeToString())] * entries]
    assert rest == expected + [(5, request.SerializeToString())] * requests


@given(st.binary(max_size=200))
def test_takes_any_bytes_and_moves_on(raw):
    position = 0
    while position < len(raw):
        _, body, end = wire_scan.field(raw, position)
        assert position < body <= end <= len(raw) or end == len(raw)
        assert end > position
        position = end
