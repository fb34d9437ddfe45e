"""What a request costs grows with its length and no faster, whatever its parts; counted in calls.

What a single call into the interpreter costs is not seen here; `.ci/fuzz` has a limit of time for that.
"""

from __future__ import annotations

import sys

import pytest
from helpers import good_requests, inflation
from helpers.good_requests import Good

from signerd.core import handlers
from signerd.core.requests import SigningRequest
from signerd.core.wire import names

SMALL, LARGE = 4 * 1024, 16 * 1024
MOST_CALLS_PER_BYTE = 24
"""The items of a witness are a byte each, and each is read and written."""
MOST_CALLS = 40_000
"""Of a request without anything large in it: keys are derived, and wallet scripts are looked for."""


def calls(good: Good, request: SigningRequest) -> int:
    """How many functions an answer calls, ours and the interpreter's."""
    count = 0

    def see(frame: object, event: str, what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        good.witness.signer.handle(request, good.witness.book, good.witness.now)
    finally:
        sys.setprofile(None)
    return count


def size_of(request: SigningRequest) -> int:
    return (
        len(request.raw)
        + sum(len(entry.key) + len(entry.value) for entry in request.entries)
        + sum(len(call.request) for call in request.pending)
    )


@pytest.fixture(scope="module")
def good():
    return good_requests.by_type()


@pytest.mark.slow
@pytest.mark.parametrize("number", sorted(handlers.ANSWERED), ids=lambda number: names.NAMES[number])
def test_work_grows_with_the_length_of_a_request(good, number):
    small, large = (dict(inflation.inflated(good[number], size)) for size in (SMALL, LARGE))
    assert small.keys() == large.keys()
    for what, request in large.items():
        before, after = calls(good[number], small[what]), calls(good[number], request)
        assert after <= MOST_CALLS + MOST_CALLS_PER_BYTE * size_of(request), what
        # Four times the length: four times the work, where a square would make it sixteen.
        assert after <= 4.5 * before + 500, what
