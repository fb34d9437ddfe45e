"""Every message that is answered, broken in every place: refused with message and field, and nothing changes.

A `Good` sees for itself that a refusal leaves the state as it was (tests/fuzz/witness.py).
"""

from __future__ import annotations

from dataclasses import fields

import pytest
from helpers import good_requests
from helpers.good_requests import Good, Place

from signerd.core import handlers
from signerd.core.keys import secp256k1
from signerd.core.signer import MALFORMED_RULE
from signerd.core.wire import names

EVERY = pytest.mark.parametrize("number", sorted(handlers.ANSWERED), ids=lambda number: names.NAMES[number])
ORDER = secp256k1.ORDER.to_bytes(32, "big")
NO_SCALARS = (bytes(32), ORDER, b"\xff" * 32)
NO_POINTS = (bytes(33), b"\x02" + b"\xff" * 32, b"\x02" + bytes(32), b"\x04" + b"\x11" * 32, b"\x00" + ORDER)
LENGTHS = {"bytes16": 2, "channel_type": 2, "bytes32": 4, "psbt": 4}
"""Field type → bytes of its length."""
ONLY_COMPARED = 22
"""check_future_secret: whether a secret is ours, it may be any bytes."""


@pytest.fixture(scope="module")
def good():
    return good_requests.by_type()


def with_bytes(request: Good, start: int, new: bytes) -> bytes:
    raw = request.request.raw
    return raw[:start] + new + raw[start + len(new) :]


def require_malformed(request: Good, raw: bytes, *, field: str | None = None) -> None:
    """With a reason that begins with the message, and its field."""
    refusal = request.refusal(raw)
    assert (refusal.rule, refusal.malformed) == (MALFORMED_RULE, True)
    message, _, problem = refusal.reason.partition(": ")
    assert request.name == message
    named, _, problem = problem.partition(": ")
    if field is not None:
        assert field == named
    assert problem
    assert named in {item.name for item in fields(request.message)}


def lengths(request: Good) -> list[tuple[Place, int]]:
    """Every part that begins with its length or its number, and how many bytes tell it."""
    return [
        (place, size)
        for place in good_requests.places(request.message)
        if (size := 2 if place.kind.name.endswith("[]") else LENGTHS.get(place.kind.name, 0))
    ]


def of_kind(request: Good, kind: str) -> list[tuple[Place, int]]:
    """Parts of one type that are there, and where their own bytes begin."""
    return [
        (place, place.start + place.kind.name.startswith("?"))
        for place in good_requests.places(request.message)
        if place.kind.name.removeprefix("?") == kind and place.value is not None
    ]


def test_there_is_a_good_request_of_every_type(good):
    assert set(good) == handlers.ANSWERED


def ends_of_records(request):
    """Where a stream of TLV records may end as well: before each of them."""
    starts = [place.start for place in good_requests.places(request.message) if place.kind.name == "tlvs"]
    sizes = [2 + len(value) for _, value in getattr(request.message, "tlvs", ())]
    assert all(size < 0xFD for size in sizes), "types and lengths of one byte"
    return {start + sum(sizes[:count]) for start in starts for count in range(len(sizes) + 1)}


@EVERY
def test_refuses_a_message_that_ends_early_at_any_byte(good, number):
    request = good[number]
    raw = request.request.raw
    complete = ends_of_records(request)
    for end in set(range(2, len(raw))) - complete:
        require_malformed(request, raw[:end])
    for end in (0, 1):
        assert request.refusal(raw[:end]).reason == f"a message of {end} bytes has no type"


@EVERY
def test_refuses_a_message_that_goes_on(good, number):
    request = good[number]
    for more in (b"\x00", b"\xff", b"\x00" * 1000, request.request.raw):
        refusal = request.refusal(request.request.raw + more)
        assert refusal.malformed
        assert refusal.reason.startswith(f"{request.name}: ")


def test_refuses_a_length_that_is_not_that_of_the_part(good):
    for request, place, size in ((item, *found) for item in good.values() for found in lengths(item)):

        def lying(lie, place=place, size=size, request=request):
            return with_bytes(request, place.start, lie.to_bytes(size, "big"))

        raw = request.request.raw
        true = int.from_bytes(raw[place.start : place.start + size], "big")
        most = 256**size - 1
        for lie in (most, most - 1, most // 2):
            require_malformed(request, lying(lie), field=place.field)
        for lie in {true + 1, max(true - 1, 0), 0} - {true}:
            request.refusal(lying(lie))


def test_refuses_a_presence_that_is_neither_yes_nor_no(good):
    for request in good.values():
        for place in good_requests.places(request.message):
            if place.kind.name.startswith("?") or place.kind.name == "bool":
                for lie in (b"\x02", b"\xff"):
                    require_malformed(request, with_bytes(request, place.start, lie), field=place.field)


def test_refuses_a_point_that_is_not_on_the_curve(good):
    for request in good.values():
        for place, start in of_kind(request, "pubkey"):
            for point in NO_POINTS:
                require_malformed(request, with_bytes(request, start, point), field=place.field)


def test_refuses_a_secret_that_is_zero_or_too_large(good):
    for number, request in good.items():
        for _, start in of_kind(request, "secret"):
            if number != ONLY_COMPARED:
                for scalar in NO_SCALARS:
                    refusal = request.refusal(with_bytes(request, start, scalar))
                    assert "not a valid private key" in refusal.reason


def test_refuses_a_signature_that_is_zero_or_too_large(good):
    for request in good.values():
        for place, start in of_kind(request, "sig64"):
            for half in (0, 32):
                for scalar in (ORDER, b"\xff" * 32):
                    require_malformed(request, with_bytes(request, start + half, scalar), field=place.field)
                zero = request.refusal(with_bytes(request, start + half, bytes(32)))
                assert zero.rule == "policy-revoke-new-commitment-signed"


def test_the_parts_that_are_broken_here_are_there(good):
    def count(kind: str) -> int:
        return sum(len(of_kind(item, kind)) for item in good.values())

    assert all(count(kind) >= 3 for kind in ("pubkey", "secret", "sig64", "bool"))
    assert sum(len(lengths(item)) for item in good.values()) > 50
