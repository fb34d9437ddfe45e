"""When bytes of two downloads may be joined, and what else an answer means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.http_range import Anew, Body, Expired, Kept, request_headers, strong_validator, understand
from signerd.errors import ProtocolViolation, Rejected, RemoteError, Unavailable

PLACE = "https://host:443/backup.enc"
TAG = '"v1"'
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
NOW = "Sun, 06 Nov 1994 08:49:38 GMT"
KEPT = Kept(PLACE, TAG, total=100, size=40)
REST = {"Content-Length": "60", "Content-Range": "bytes 40-99/100", "ETag": TAG}
WHOLE = {"Content-Length": "100", "ETag": TAG}


def meaning(status, headers, *, kept=KEPT, resource=PLACE, asked=True, max_bytes=1000):
    return understand(status, headers.items(), kept=kept, resource=resource, asked=asked, max_bytes=max_bytes)


def test_asks_for_the_rest_of_what_it_can_name():
    assert {"Range": "bytes=40-", "If-Range": TAG} == request_headers(KEPT, PLACE)


@pytest.mark.parametrize(
    ("kept", "resource"),
    [
        (Kept(PLACE, TAG, 100, 0), PLACE),
        (Kept(PLACE, None, 100, 40), PLACE),
        (KEPT, "https://host:443/other.enc"),
        (KEPT, "https://elsewhere:443/backup.enc"),
    ],
)
def test_asks_for_all_of_it_where_nothing_can_be_joined(kept, resource):
    assert request_headers(kept, resource) == {}


def test_goes_on_with_the_part_that_was_asked_for():
    assert Body(40, 60, 100, keep=40, validator=TAG) == meaning(206, REST)


def test_goes_on_with_a_shorter_part_as_well():
    short = REST | {"Content-Length": "10", "Content-Range": "bytes 40-49/100"}

    assert Body(40, 10, 100, keep=40, validator=TAG) == meaning(206, short)


def test_goes_on_by_a_date_that_the_part_need_not_repeat():
    kept = Kept(PLACE, DATE, 100, 40)
    without = {name: value for name, value in REST.items() if name != "ETag"}

    for headers in (without, without | {"Last-Modified": DATE}):
        assert Body(40, 60, 100, keep=40, validator=DATE) == meaning(206, headers, kept=kept)
    assert isinstance(meaning(206, without | {"Last-Modified": NOW}, kept=kept), Anew)


@pytest.mark.parametrize(
    "change",
    [
        {"Content-Range": "bytes 41-100/101"},
        {"Content-Range": "bytes 0-99/100"},
        {"Content-Range": "bytes 39-98/100"},
        {"Content-Range": "bytes 40-99/*"},
        {"Content-Range": "bytes 40-99/101"},
        {"Content-Range": "bytes 40-100/100"},
        {"Content-Range": "bytes 40-39/100"},
        {"Content-Range": "lines 40-99/100"},
        {"Content-Range": "bytes 40-99/100, bytes 1-2/100"},
        {"Content-Range": ""},
        {"Content-Length": "59"},
        {"ETag": '"v2"'},
        {"ETag": f"W/{TAG}"},
        {"ETag": ""},
    ],
)
def test_begins_anew_when_the_part_is_not_the_one(change):
    assert isinstance(meaning(206, REST | change), Anew)


def test_begins_anew_when_the_part_does_not_say_of_what_it_is():
    for missing in ("ETag", "Content-Range"):
        rest = {name: value for name, value in REST.items() if name != missing}
        assert isinstance(meaning(206, rest), Anew)


def test_begins_anew_when_the_file_became_shorter():
    assert isinstance(meaning(416, {"Content-Range": "bytes */30"}), Anew)


def test_keeps_what_it_has_when_a_server_without_ranges_sends_the_same_again():
    assert Body(0, 100, 100, keep=40, validator=TAG) == meaning(200, WHOLE)


@pytest.mark.parametrize("change", [{"ETag": '"v2"'}, {"ETag": f"W/{TAG}"}, {"Content-Length": "101"}])
def test_keeps_nothing_of_another_content(change):
    body = meaning(200, WHOLE | change)

    assert isinstance(body, Body)
    assert (0, 0) == (body.start, body.keep)


def test_keeps_nothing_of_another_place():
    body = meaning(200, WHOLE, resource="https://host:443/other.enc", asked=False)

    assert isinstance(body, Body)
    assert body.keep == 0


def test_keeps_nothing_that_has_no_name():
    kept = Kept(PLACE, None, 100, 40)
    body = meaning(200, {"Content-Length": "100"}, kept=kept, asked=False)

    assert Body(0, 100, 100, keep=0, validator=None) == body


def test_a_part_that_nobody_asked_for_is_refused():
    with pytest.raises(ProtocolViolation, match="unasked"):
        meaning(206, REST, asked=False)


@pytest.mark.parametrize(
    "change",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "identity, gzip"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "-1"},
        {"Content-Length": "+100"},
        {"Content-Length": "1_00"},
        {"Content-Length": "9" * 19},
        {"Content-Length": "100, 100"},
        {"Content-Length": ""},
    ],
)
@pytest.mark.parametrize("status", [200, 206])
def test_refuses_what_does_not_say_plainly_how_long_it_is(status, change):
    good = WHOLE if status == 200 else REST
    meaning(status, good | {"Content-Encoding": "identity"})

    with pytest.raises(ProtocolViolation):
        meaning(status, good | change)


def test_refuses_two_lengths():
    headers = [*WHOLE.items(), ("content-length", "99")]

    with pytest.raises(ProtocolViolation, match="more than one content-length"):
        understand(200, headers, kept=KEPT, resource=PLACE, asked=True, max_bytes=1000)


def test_refuses_what_is_larger_than_the_limit():
    assert isinstance(meaning(200, WHOLE, max_bytes=100), Body)
    for status, headers in ((200, WHOLE), (206, REST)):
        with pytest.raises(Rejected, match=r"has 100 bytes, and at most 99") as refused:
            meaning(status, headers, max_bytes=99)
        assert "export.max_bytes" in str(refused.value.hint)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_knows_a_link_that_is_over(status):
    assert Expired(status) == meaning(status, {})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_knows_what_may_pass(status):
    with pytest.raises(Unavailable):
        meaning(status, {})


@pytest.mark.parametrize("status", [103, 204, 300, 304, 400, 416, 451, 501, 505])
def test_knows_what_will_not_pass(status):
    with pytest.raises(Rejected):
        meaning(status, {}, asked=False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ETag": TAG}, TAG),
        ({"ETag": '""'}, '""'),
        ({"ETag": f"W/{TAG}"}, None),
        ({"ETag": "v1"}, None),
        ({"ETag": '"a"b"'}, None),
        ({"ETag": '"' + "x" * 513 + '"'}, None),
        ({"ETag": f"W/{TAG}", "Last-Modified": DATE, "Date": NOW}, None),
        ({"Last-Modified": DATE, "Date": NOW}, DATE),
        ({"Last-Modified": DATE, "Date": DATE}, None),
        ({"Last-Modified": NOW, "Date": DATE}, None),
        ({"Last-Modified": DATE}, None),
        ({"Last-Modified": "yesterday", "Date": NOW}, None),
    ],
)
def test_takes_only_validators_that_are_strong(headers, expected):
    assert expected == strong_validator(headers.items())


# The same for answers of any kind

texts = st.one_of(
    st.sampled_from(
        [TAG, '"v2"', f"W/{TAG}", "", "0", "60", "100", "bytes 40-99/100", "bytes 0-99/100", DATE]
    ),
    st.text(max_size=30),
)
names = st.sampled_from(
    ["Content-Length", "Content-Range", "ETag", "Last-Modified", "Date", "Content-Encoding", "X"]
)


@given(
    st.sampled_from([200, 206, 416, 301, 404, 500]),
    st.lists(st.tuples(names, texts), max_size=8),
    st.booleans(),
)
def test_never_joins_what_is_not_named_the_same(status, headers, asked):
    try:
        found = understand(status, headers, kept=KEPT, resource=PLACE, asked=asked, max_bytes=1000)
    except RemoteError:
        return
    if isinstance(found, Body):
        assert found.start <= found.keep <= found.total <= 1000
        assert 0 <= found.start + found.length <= found.total
        if found.keep:
            assert ("ETag", TAG) in [(name, value.strip()) for name, value in headers]
            assert (found.keep, found.total, found.validator) == (KEPT.size, KEPT.total, TAG)
