from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.errors import ConfigError, ProtocolViolation
from signerd.greenlight import endpoint
from signerd.greenlight.endpoint import Endpoint


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("https://scheduler.gl.blckstrm.com", "scheduler.gl.blckstrm.com", 443),
        ("https://localhost:2601", "localhost", 2601),
        ("https://localhost:2601/", "localhost", 2601),
        ("HTTPS://Example.COM", "Example.COM", 443),
        ("https://127.0.0.1:1", "127.0.0.1", 1),
        ("https://[::1]:65535", "::1", 65535),
        ("https://[fe80::1]", "fe80::1", 443),
        ("https://gl-node_1.test", "gl-node_1.test", 443),
    ],
)
def test_reads_an_https_uri(uri, host, port):
    assert endpoint.parse(uri) == Endpoint(host, port)
    assert endpoint.parse(uri, handed_out=True) == Endpoint(host, port)


BAD = [
    "",
    "http://localhost:2601",
    "grpc://localhost",
    "localhost:2601",
    "localhost",
    "https://",
    "https:///path",
    "https://localhost:0",
    "https://localhost:65536",
    "https://localhost:",
    "https://localhost:12ab",
    "https://user@localhost",
    "https://localhost/path",
    "https://localhost?x",
    "https://localhost#x",
    "https://[::1",
    "https://[:::]",
    "https://[1.2.3.4]",
    "https://::1",
    "https://local host",
    "https://localhost\n",
    " https://localhost",
    "https://a..b",
    "https://" + "a" * 64,
    "https://ümlaut.example",
    "unix:/tmp/socket",
    "dns:///localhost",
]


@pytest.mark.parametrize("uri", BAD)
def test_refuses_any_other_uri_as_the_user_s_or_as_the_scheduler_s_fault(uri):
    with pytest.raises(ConfigError) as configured:
        endpoint.parse(uri)
    assert "https://" in (configured.value.hint or "")
    with pytest.raises(ProtocolViolation):
        endpoint.parse(uri, handed_out=True)


def test_says_that_plain_http_is_the_problem():
    with pytest.raises(ConfigError, match="does not start with https://"):
        endpoint.parse("http://localhost:2601")


def test_cuts_a_long_uri_and_escapes_what_it_quotes():
    with pytest.raises(ProtocolViolation) as refusal:
        endpoint.parse("\x1b[2J" + "x" * 1000, handed_out=True)
    assert "\x1b" not in refusal.value.message
    assert len(refusal.value.message) < 300


def test_puts_an_ipv6_address_into_brackets():
    assert endpoint.parse("https://[::1]:99").target == "dns:///[::1]:99"
    assert str(Endpoint("localhost", 443)) == "localhost:443"


@given(st.text())
def test_never_fails_in_another_way(text):
    for uri in (text, f"https://{text}", f"https://{text}:{text}"):
        try:
            parsed = endpoint.parse(uri, handed_out=True)
        except ProtocolViolation:
            continue
        assert endpoint.parse(f"https://{parsed}") == parsed
