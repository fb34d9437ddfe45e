"""One GET over https: whom it trusts, where it goes, and that it never waits for ever."""

from __future__ import annotations

import datetime
import socket
import ssl
import time

import pytest
from helpers.ca import Authority
from helpers.file_host import Reply, file_host, whole
from hypothesis import example, given
from hypothesis import strategies as st

from signerd.errors import ConfigError, ProtocolViolation, SignerdError, Unavailable
from signerd.greenlight import download

CONTENT = bytes(range(256)) * 1000
URL = "https://localhost/backup"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def context(authority):
    return download.tls_context(authority.ca)


@pytest.fixture
def served(authority, tmp_path):
    """A host that answers whatever the test puts into `answer`."""
    with file_host(authority.issue("host"), lambda _request: whole(CONTENT), tmp_path) as host:
        yield host


def fetch(host, *, url=None, ca=None, headers=None, seconds=5.0):
    """The answer, and its body as far as it comes."""
    link = download.parse(url or host.url(), source="the scheduler")
    context = download.tls_context(ca or host.ca)
    received = bytearray()
    buffer = memoryview(bytearray(download.CHUNK))
    with download.get(link, context, lambda _resource: headers or {}, seconds=seconds) as answer:
        while count := answer.read_into(buffer, seconds=seconds):
            received += buffer[:count]
    return answer, bytes(received)


def test_fetches_over_a_verified_connection_and_sends_no_more_than_it_must(served):
    answer, body = fetch(served, headers={"Range": "bytes=0-"})

    assert (200, CONTENT) == (answer.status, body)
    assert answer.asked_for_rest
    assert {
        "host": f"localhost:{served.port}",
        "accept-encoding": "identity",
        "connection": "close",
        "range": "bytes=0-",
        "": "",
    } == served.requests[0].headers


def test_sends_the_query_to_the_host_and_shows_it_to_nobody(served):
    served.answer = lambda _request: Reply(raw=b"garbage\r\n\r\n")
    with pytest.raises(ProtocolViolation) as refused:
        fetch(served, url=served.url("/backup?signature=abc"))

    assert served.requests[0].target == "/backup?signature=abc"
    assert "abc" not in refused.value.message
    assert download.parse(URL + "?signature=abc", source="x").resource == "https://localhost:443/backup"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/backup",
        "HTTP://localhost/backup",
        "ftp://localhost/backup",
        "file:///etc/passwd",
        "//localhost/backup",
        "/backup",
        "",
        "https://",
        "https:///backup",
        "https://user:word@localhost/backup",
        "https://localhost:0/backup",
        "https://localhost:99999/backup",
        "https://localhost:x/backup",
        "https://[::1/backup",
        "https://a..b/",
        "https://.localhost/",
        "https://../",
        f"https://{'a' * 64}.example/",
        "https://localhost/back up",
        "https://localhost/backup\r\nX: y",
        "https://localhost/bäckup",
        "https://localhost/" + "x" * 8200,
    ],
)
def test_refuses_an_address_that_is_not_plainly_https(url):
    download.parse(URL, source="the scheduler")

    with pytest.raises(ProtocolViolation, match="the scheduler gave the address"):
        download.parse(url, source="the scheduler")


@given(
    scheme=st.sampled_from(["https://", "HTTPS://", "https:", ""]),
    host=st.text(st.sampled_from("a.-_[]:%@1xn\u00e9\u3002#?/\\ ") | st.characters(), max_size=80),
    rest=st.text(st.sampled_from("/:?#%.;&=[]@ ") | st.characters(max_codepoint=300), max_size=20),
)
@example("https://", "a..b", "/")
@example("https://", "a" * 300, "/")
@example("https://", "[fe80::1%25lo]", ":443/")
@example("https://", "[v1.a]", "/")
@example("https://", "xn--", "/")
def test_no_address_ends_in_anything_but_our_own_errors(context, scheme, host, rest):
    """All the way to where names are looked up, which finds none: the machine stays off the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", _find_nothing)
        with pytest.raises(SignerdError):
            _try(scheme + host + rest, context)


def _try(url, context):
    link = download.parse(url, source="the scheduler")
    with download.get(link, context, lambda _resource: {}, seconds=1):
        pytest.fail("connected to nowhere")


def _find_nothing(host, *_arguments, **_more):
    host.encode("idna")
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def test_refuses_a_certificate_that_leads_to_another_root(served):
    with pytest.raises(ProtocolViolation, match="certificate that is refused"):
        fetch(served, ca=Authority().ca)
    assert served.requests == []


@pytest.mark.parametrize(
    "how",
    [
        {"dns": ("elsewhere",)},
        {"left": datetime.timedelta(hours=-1)},
        {"usage": ("client",)},
    ],
    ids=["name", "expired", "usage"],
)
def test_refuses_a_certificate_that_is_not_the_hosts(authority, tmp_path, how):
    with (
        file_host(authority.issue("host", **how), lambda _request: whole(CONTENT), tmp_path) as host,
        pytest.raises(ProtocolViolation, match="certificate that is refused") as refused,
    ):
        fetch(host)
    assert "clock" in str(refused.value.hint)


def test_says_which_root_it_cannot_read():
    with pytest.raises(ConfigError, match="not readable PEM"):
        download.tls_context(b"-----BEGIN CERTIFICATE-----\n")


def test_trusts_the_certificates_of_the_system_too(authority, served, tmp_path, monkeypatch):
    (tmp_path / "system.pem").write_bytes(served.ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))

    answer, _ = fetch(served, ca=Authority().ca)

    assert answer.status == 200


def redirect(place, status=302):
    return Reply(status, {"Location": place, "Content-Length": "0"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_follows_a_redirect_on_the_same_host(served, status):
    served.answer = lambda r: redirect("../b?c=d", status) if r.number == 0 else whole(CONTENT)

    answer, body = fetch(served)

    assert body == CONTENT
    assert ["/exports/backup.enc", "/b?c=d"] == [request.target for request in served.requests]
    assert answer.resource == f"https://localhost:{served.port}/b"


def test_follows_a_redirect_to_another_https_host_and_verifies_that_one(authority, served, tmp_path):
    with file_host(authority.issue("other"), lambda _request: whole(b"x"), tmp_path) as other:
        served.answer = lambda _request: redirect(other.url())
        assert fetch(served)[1] == b"x"
    with file_host(Authority().issue("other"), lambda _request: whole(b"x"), tmp_path) as stranger:
        served.answer = lambda _request: redirect(stranger.url())
        with pytest.raises(ProtocolViolation, match="certificate that is refused"):
            fetch(served)


@pytest.mark.parametrize(
    "place",
    ["http://localhost/backup", "file:///etc/passwd", "https://u:p@localhost/", "https://[", "https://a..b/"],
)
def test_refuses_a_redirect_to_anything_but_https(served, place):
    served.answer = lambda _request: redirect(place)

    with pytest.raises(ProtocolViolation, match="a redirect of localhost gave the address"):
        fetch(served)
    assert len(served.requests) == 1


def test_refuses_a_redirect_to_nowhere(served):
    served.answer = lambda _request: Reply(302, {"Content-Length": "0"})

    with pytest.raises(ProtocolViolation, match="redirects to nowhere"):
        fetch(served)


def test_ends_a_circle_of_redirects(served):
    served.answer = lambda request: redirect(request.target)

    with pytest.raises(ProtocolViolation, match="more than 5 times"):
        fetch(served)
    assert len(served.requests) == 1 + download.MAX_REDIRECTS


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0-hello\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, b"HTTP/1.1 200 " + b"x" * 70_000],
    ids=["no HTTP", "too many headers", "too long"],
)
def test_refuses_what_does_not_answer_as_a_web_server(served, raw):
    served.answer = lambda _request: Reply(raw=raw + b"\r\n\r\n")

    with pytest.raises(ProtocolViolation, match="does not answer as a web server"):
        fetch(served)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=b"", hang=True),
        Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50, drip=True),
        Reply(200, {"Content-Length": "10"}, b"x", hang=True),
        Reply(200, {"Content-Length": "1000"}, b"x" * 1000, drip=True),
    ],
    ids=["no answer", "a head in drops", "a body that stops", "a body in drops"],
)
def test_does_not_wait_for_a_host_that_stands_still(served, reply):
    served.answer = lambda _request: reply
    began = time.monotonic()

    with pytest.raises(Unavailable, match="it stands still"):
        fetch(served, seconds=0.3)
    assert time.monotonic() - began < 3


def test_does_not_wait_for_a_handshake_that_never_comes():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = download.parse(f"https://localhost:{silent.getsockname()[1]}/x", source="x")
        context = download.tls_context(Authority().ca)
        with (
            pytest.raises(Unavailable, match="it stands still"),
            download.get(link, context, lambda _resource: {}, seconds=0.2),
        ):
            pass


@pytest.mark.parametrize("reply", [Reply(raw=b""), Reply(raw=b"", reset=True)], ids=["closed", "reset"])
def test_a_connection_that_is_cut_may_be_tried_again(served, reply):
    served.answer = lambda _request: reply

    with pytest.raises(Unavailable, match="cannot download from localhost"):
        fetch(served)


def test_a_host_that_is_not_there_may_be_tried_again():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    for url in (f"https://localhost:{port}/x", "https://nobody.invalid/x"):
        link = download.parse(url, source="x")
        with (
            pytest.raises(Unavailable, match="cannot download from"),
            download.get(link, ssl.create_default_context(), lambda _resource: {}, seconds=5),
        ):
            pass
