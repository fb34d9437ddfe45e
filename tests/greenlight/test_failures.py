from __future__ import annotations

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.errors import (
    AccessDenied,
    AlreadyExists,
    NotFound,
    Rejected,
    RemoteError,
    Unavailable,
)
from signerd.greenlight import failures

Code = grpc.StatusCode


def failure(code: grpc.StatusCode, details: str | None = "") -> RemoteError:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
    return failures.remote_error(error, doing="try this", peer="the scheduler at localhost:1")


EXPECTED = {
    Code.CANCELLED: Unavailable,
    Code.UNKNOWN: Unavailable,
    Code.INVALID_ARGUMENT: Rejected,
    Code.DEADLINE_EXCEEDED: Unavailable,
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.PERMISSION_DENIED: AccessDenied,
    Code.UNAUTHENTICATED: AccessDenied,
    Code.RESOURCE_EXHAUSTED: Unavailable,
    Code.FAILED_PRECONDITION: Rejected,
    Code.ABORTED: Unavailable,
    Code.UNIMPLEMENTED: Rejected,
    Code.INTERNAL: Unavailable,
    Code.UNAVAILABLE: Unavailable,
    Code.DATA_LOSS: Unavailable,
    Code.OUT_OF_RANGE: Rejected,
}


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK], ids=lambda c: c.name)
def test_every_status_has_its_error_and_keeps_its_code(code):
    error = failure(code, "some words")
    assert type(error) is EXPECTED[code]
    assert error.code == code.name
    assert error.message.startswith("cannot try this: the scheduler at localhost:1 ")


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("status: ALREADY_EXISTS, node exists", AlreadyExists),
        ("could not register the node with the DB, does the node already exist?", AlreadyExists),
        ("error: NOT_FOUND", NotFound),
        ("no rows returned by a query that expected to return at least one row", NotFound),
        ("Recovery failed: no such node", NotFound),
    ],
)
@pytest.mark.parametrize("code", [Code.UNKNOWN, Code.CANCELLED, Code.INTERNAL, Code.INVALID_ARGUMENT])
def test_a_condition_named_in_the_text_counts_whatever_the_status(code, details, kind):
    error = failure(code, details)
    assert type(error) is kind
    assert error.code == code.name


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.PERMISSION_DENIED])
def test_the_text_of_our_own_network_errors_and_of_refused_credentials_decides_nothing(code):
    assert type(failure(code, "DNS resolution failed: NOT_FOUND")) is EXPECTED[code]


@pytest.mark.parametrize("received", ["Received", "Sent", "Decompressed"])
def test_a_message_over_the_limit_is_not_tried_again(received):
    error = failure(Code.RESOURCE_EXHAUSTED, f"CLIENT: {received} message larger than max (5 vs. 4)")
    assert type(error) is Rejected
    assert "limit" in (error.hint or "")


def test_server_text_reaches_the_message_clean_and_short():
    error = failure(Code.INTERNAL, "a\x1b[2Jb\r\nc\u202ed\x00" + "x" * 5000)
    assert error.message.isprintable()
    assert "a [2Jb c d x" in error.message
    assert len(error.message) < 400


def test_a_status_without_text_reads_well():
    assert failure(Code.INTERNAL, None).message == (
        "cannot try this: the scheduler at localhost:1 answered INTERNAL"
    )
    assert failure(Code.DEADLINE_EXCEEDED, "Deadline Exceeded").message.endswith("did not answer in time")


@given(st.text())
def test_printable_makes_one_harmless_line_of_anything(text):
    line = failures.printable(text)
    assert line.isprintable()
    assert len(line) <= failures.MAX_TEXT
