"""Whatever comes in, it is a request that we answer or gets an error of its own."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signerd.observe.http_message import BadRequest, Request, Response, is_loopback, parse

GOOD = b"GET /metrics HTTP/1.1\r\nHost: localhost:9735\r\nAccept: */*\r\n\r\n"


def test_reads_a_request():
    assert parse(GOOD) == Request("GET", "/metrics", "localhost:9735")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/metrics?x=/readyz", "/metrics"),
        (b"http://localhost/metrics?x", "/metrics"),
        (b"http://localhost", "/"),
        (b"*", "/"),
        (b"//metrics", "//metrics"),
    ],
)
def test_the_path_is_without_query_and_authority(target, path):
    assert parse(GOOD.replace(b"/metrics", target)).path == path


def test_an_old_client_need_not_name_a_host():
    assert parse(b"HEAD /livez HTTP/1.0\r\n\r\n") == Request("HEAD", "/livez", None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET ", b""),
        (b"GET ", b"GET  "),
        (b"HTTP/1.1", b"HTTP/2.0"),
        (b"HTTP/1.1", b"HTTP/1.1 "),
        (b"/metrics", b"/met rics"),
        (b"/metrics", b"/met\x00rics"),
        (b"Host: localhost:9735\r\n", b""),
        (b"Host: localhost:9735\r\n", b"Host: a\r\nHost: b\r\n"),
        (b"Host:", b"Host :"),
        (b"Accept: */*", b" Accept: */*"),
        (b"Accept: */*", b"Accept"),
        (b"Accept: */*", b"Accept: a\x00b"),
        (b"\r\n", b"\n"),
    ],
)
def test_refuses_what_is_no_request(old, new):
    with pytest.raises(BadRequest) as refused:
        parse(GOOD.replace(old, new, 1))
    assert refused.value.response.status == 400


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get"])
def test_other_methods_are_refused_and_told_which_there_are(method):
    with pytest.raises(BadRequest) as refused:
        parse(GOOD.replace(b"GET", method))
    assert refused.value.response.status == 405
    assert b"\r\nAllow: GET, HEAD\r\n" in refused.value.response.encode()


@given(st.binary(max_size=200))
@example(GOOD)
def test_any_bytes_are_a_request_or_refused(head):
    try:
        request = parse(head)
    except BadRequest as bad:
        status = bad.response.status
    else:
        status = 200
        assert request.method in {"GET", "HEAD"}
        assert request.path.startswith("/")
    assert status in {200, 400, 405}


def test_the_answer_to_head_has_the_length_and_no_body():
    response = Response(200, b"12345")

    assert response.encode().endswith(b"\r\n\r\n12345")
    assert response.encode(with_body=False).endswith(b"\r\n\r\n")
    assert b"Content-Length: 5\r\n" in response.encode(with_body=False)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9735", "127.9.9.9", "[::1]:9735", "[::1]", None]
)
def test_this_machine_is_asked_by_its_own_name(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9735", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", "", ":1"],
)
def test_a_page_that_leads_its_name_here_is_not_answered(host):
    assert not is_loopback(host)
