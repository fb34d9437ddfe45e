"""A download goes on after whatever happens to it, ends in time, and never mixes two contents."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import exports
from helpers.ca import Authority
from helpers.file_host import Reply, file_host, honest, part, whole

from signerd.daemon import backup_download
from signerd.daemon.backup_download import BackupDownload, Limits
from signerd.errors import OutputError, ProtocolViolation, Rejected, SignerdError, Unavailable
from signerd.greenlight import download
from signerd.store.partial_download import PartialDownload

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NODE = exports.KEYS.node_id
CONTENT = random.Random(1).randbytes(700_000)
OTHER = random.Random(2).randbytes(700_000)
DATES = {"Last_Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:38 GMT"}


class Silent:
    def restart(self, step, *, done, total):
        pass

    def advance(self, step, count):
        pass


class Fetcher:
    """A host, a directory, and one command after the other."""

    def __init__(self, host, directory):
        self.host = host
        self.path = directory / "node.backup.enc"
        self.lines = []
        self.links = 0
        self.targets = ["/exports/backup.enc"]
        self.tls = download.tls_context(host.ca)

    def link(self):
        self.links += 1
        return self.host.url(self.targets[min(self.links, len(self.targets)) - 1])

    def run(self, *, max_bytes=10_000_000, stall=5.0, pause=0.001):
        limits = Limits(
            max_bytes=max_bytes, stall_seconds=stall, first_pause_seconds=pause, max_pause_seconds=pause
        )
        with PartialDownload(self.path, NODE) as unfinished:
            BackupDownload(
                unfinished,
                self.link(),
                self.link,
                self.tls,
                limits,
                progress=Silent(),
                tell=self.lines.append,
            ).run()
        return self.path.read_bytes()

    @property
    def kept(self):
        """How much an interrupted download has."""
        return Path(f"{self.path}.part").stat().st_size


@pytest.fixture(scope="module")
def identity():
    return Authority().issue("host")


@pytest.fixture
def fetcher(identity, tmp_path):
    with file_host(identity, honest(CONTENT), tmp_path) as host:
        (tmp_path / "out").mkdir()
        yield Fetcher(host, tmp_path / "out")


def first(*replies, then):
    """These replies in their order, and afterwards what `then` answers."""

    def answer(request):
        if request.number < len(replies):
            reply = replies[request.number]
            return reply(request) if callable(reply) else reply
        return then(request)

    return answer


def cut(answer, at, **more):
    """The same answer, cut off after so many bytes."""

    def shortened(request):
        reply = answer(request)
        return Reply(reply.status, reply.headers, reply.body, cut=at, **more)

    return shortened


def starts(host):
    return [request.start for request in host.requests]


def test_downloads_in_one_piece(fetcher):
    assert fetcher.run() == CONTENT
    assert starts(fetcher.host) == [None]


def test_downloads_an_empty_file(fetcher):
    fetcher.host.answer = honest(b"")
    assert fetcher.run() == b""


def test_goes_on_after_many_cuts(fetcher):
    fetcher.host.answer = first(*[cut(honest(CONTENT), 50_000)] * 12, then=honest(CONTENT))
    assert fetcher.run() == CONTENT
    assert starts(fetcher.host) == [None, *range(50_000, 650_000, 50_000)]
    assert {'"v1"'} == {request.headers["if-range"] for request in fetcher.host.requests[1:]}


def test_goes_on_after_a_reset_and_after_a_stall(fetcher):
    fetcher.host.answer = first(
        cut(honest(CONTENT), 200_000, reset=True),
        cut(honest(CONTENT), 200_000, hang=True),
        then=honest(CONTENT),
    )
    assert fetcher.run(stall=0.3) == CONTENT


def test_goes_on_by_the_date_of_the_file(fetcher):
    def dated(request):
        if request.start is None:
            return whole(CONTENT, **DATES)
        assert request.headers["if-range"] == DATES["Last_Modified"]
        return part(CONTENT, request.start, **DATES)

    fetcher.host.answer = first(cut(dated, 100_000), then=dated)
    assert fetcher.run() == CONTENT
    assert starts(fetcher.host) == [None, 100_000]


def test_goes_on_in_the_next_run_and_asks_for_a_new_link(fetcher):
    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), then=lambda _request: Reply(500))
    with pytest.raises(Unavailable):
        fetcher.run()
    assert fetcher.kept == 300_000
    before = len(fetcher.host.requests)
    fetcher.host.answer = honest(CONTENT)
    assert fetcher.run() == CONTENT
    assert fetcher.links == 2
    assert starts(fetcher.host)[before:] == [300_000]


def test_begins_anew_when_the_content_changed(fetcher):
    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), then=honest(OTHER, '"v2"'))
    assert fetcher.run() == OTHER
    assert starts(fetcher.host) == [None, 300_000]
    assert any("another one than before" in line for line in fetcher.lines)


def test_begins_anew_when_the_content_changed_behind_a_server_that_forgets_if_range(fetcher):
    """It answers with a part of the new content; the tag tells."""

    def forgetful(request):
        start = request.start
        return whole(OTHER, ETag='"v2"') if start is None else part(OTHER, start, ETag='"v2"')

    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), then=forgetful)
    assert fetcher.run() == OTHER
    assert starts(fetcher.host) == [None, 300_000, None]


def test_begins_anew_without_a_strong_validator(fetcher):
    for headers in ({}, {"ETag": 'W/"v1"'}):
        fetcher.host.requests.clear()
        fetcher.host.answer = first(
            cut(lambda _request, h=headers: whole(CONTENT, **h), 300_000),
            then=lambda _request, h=headers: whole(OTHER, **h),
        )
        assert fetcher.run() == OTHER
        assert starts(fetcher.host) == [None, None]
        fetcher.path.unlink()


def test_gets_on_with_a_server_that_ignores_ranges(fetcher):
    """It sends all of it each time; what is there already is passed over, so that every cut is further on."""
    everything = lambda _request: whole(CONTENT, ETag='"v1"')  # noqa: E731
    fetcher.host.answer = first(
        cut(everything, 300_000), cut(everything, 100_000), cut(everything, 500_000), then=everything
    )
    assert fetcher.run() == CONTENT
    assert starts(fetcher.host) == [None, 300_000, 300_000, 500_000]


@pytest.mark.parametrize(
    "wrong",
    [
        "bytes 0-399999/700000",
        "bytes 300000-699999/700001",
        "bytes 300001-700000/700001",
        "bytes */700000",
        "",
    ],
)
def test_begins_anew_when_the_range_is_not_the_one_that_was_asked_for(fetcher, wrong):
    def misplaced(request):
        reply = honest(CONTENT)(request)
        return Reply(206, reply.headers | {"Content-Range": wrong}, OTHER[300_000:])

    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), misplaced, then=honest(CONTENT))
    assert fetcher.run() == CONTENT
    assert starts(fetcher.host) == [None, 300_000, None]


def test_begins_anew_when_the_file_became_shorter(fetcher):
    fetcher.host.answer = first(
        cut(honest(CONTENT), 300_000), lambda _request: Reply(416), then=honest(b"new")
    )
    assert fetcher.run() == b"new"


def test_takes_the_rest_in_pieces(fetcher):
    def piece(request):
        start = request.start or 0
        reply = part(CONTENT, start, ETag='"v1"')
        body = reply.body[:100_000]
        where = f"bytes {start}-{start + len(body) - 1}/{len(CONTENT)}"
        headers = {"Content-Length": str(len(body)), "Content-Range": where, "ETag": '"v1"'}
        return Reply(206, headers, body)

    fetcher.host.answer = first(cut(honest(CONTENT), 100_000), then=piece)
    assert fetcher.run() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_asks_for_a_new_link_when_the_old_one_is_over(fetcher, status):
    fetcher.targets = ["/exports/backup.enc?old", "/exports/backup.enc?new"]

    def signed(request):
        return honest(CONTENT)(request) if request.target.endswith("new") else Reply(status)

    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), then=signed)
    assert fetcher.run() == CONTENT
    assert starts(fetcher.host) == [None, 300_000, 300_000]


def test_does_not_join_two_places(fetcher):
    """A new link leads elsewhere: the same tag may name something else there."""
    fetcher.targets = ["/first.enc", "/second.enc"]

    def moved(request):
        return honest(OTHER)(request) if request.target == "/second.enc" else Reply(404)

    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), then=moved)
    assert fetcher.run() == OTHER
    assert starts(fetcher.host) == [None, 300_000, None]


def test_gives_up_in_the_end_and_keeps_what_it_has(fetcher):
    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), then=lambda _request: Reply(503))
    with pytest.raises(Unavailable, match="503") as failed:
        fetcher.run()
    assert "goes on at byte 300000" in str(failed.value.hint)
    assert len(fetcher.host.requests) == 1 + backup_download.ATTEMPTS
    assert fetcher.kept == 300_000


def test_gives_up_on_a_host_that_never_sends_what_it_promises(fetcher):
    """The length that it gives is more than there is."""
    lying = lambda _request: Reply(200, {"Content-Length": "800000", "ETag": '"v1"'}, CONTENT)  # noqa: E731
    fetcher.host.answer = lying
    with pytest.raises(Unavailable, match="cut"):
        fetcher.run()
    assert not fetcher.path.exists()
    assert len(fetcher.host.requests) == 1 + backup_download.ATTEMPTS


def test_takes_no_more_than_the_host_promised(fetcher):
    fetcher.host.answer = lambda _request: Reply(200, {"Content-Length": "1000", "ETag": '"v1"'}, CONTENT)
    assert fetcher.run() == CONTENT[:1000]


def test_a_host_that_cuts_and_changes_every_time_is_given_up(fetcher):
    def restless(request):
        return Reply(200, {"Content-Length": "700000", "ETag": f'"{request.number}"'}, CONTENT, cut=90_000)

    fetcher.host.answer = restless
    with pytest.raises(Unavailable):
        fetcher.run()
    assert len(fetcher.host.requests) == 1 + backup_download.ATTEMPTS


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (whole(CONTENT, Content_Encoding="gzip"), ProtocolViolation),
        (Reply(200, {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n"), ProtocolViolation),
        (Reply(200, {}, CONTENT), ProtocolViolation),
        (Reply(302, {"Location": "http://localhost/x"}), ProtocolViolation),
        (Reply(451), Rejected),
    ],
    ids=["gzip", "chunked", "no length", "plain http", "451"],
)
def test_does_not_repeat_what_will_not_pass_and_keeps_what_it_has(fetcher, reply, kind):
    fetcher.host.answer = first(cut(honest(CONTENT), 300_000), reply, then=honest(CONTENT))
    with pytest.raises(kind):
        fetcher.run()
    assert len(fetcher.host.requests) == 2
    assert fetcher.kept == 300_000
    assert fetcher.run() == CONTENT


def test_refuses_what_is_too_large_before_it_takes_a_byte(fetcher):
    with pytest.raises(Rejected, match="at most 699999"):
        fetcher.run(max_bytes=699_999)
    assert fetcher.kept == 0


def test_stops_at_once_when_the_scheduler_has_no_link_any_more(fetcher):
    given = fetcher.link

    def link():
        if fetcher.links:
            raise Rejected("no such node")
        return given()

    fetcher.link = link
    fetcher.host.answer = lambda _request: Reply(404)
    with pytest.raises(Rejected, match="no such node"):
        fetcher.run()


def test_refuses_a_link_to_plain_http(fetcher):
    fetcher.link = lambda: "http://localhost/backup.enc"
    with pytest.raises(ProtocolViolation, match="does not start with https"):
        fetcher.run()


def test_a_finished_download_is_not_asked_for_again(fetcher):
    fetcher.run()
    with PartialDownload(fetcher.path, NODE) as done:
        assert done.finished
    assert len(fetcher.host.requests) == 1


@pytest.mark.parametrize("at", [0, 1, 65_536, 699_999, 700_000])
def test_a_kill_in_the_middle_costs_nothing_that_was_synced(fetcher, at):
    """The process dies by SIGKILL when so many bytes are on disk; another one goes on."""
    program = f"""if True:
        import os
        from pathlib import Path
        from signerd.daemon.backup_download import BackupDownload, Limits
        from signerd.greenlight import download
        from signerd.store import partial_download
        from signerd.units import NodeId
        partial_download.SYNC_EVERY = 100_000
        class Deadly:
            def restart(self, step, *, done, total):
                self.left = {at} - done
                self.advance(step, 0)
            def advance(self, step, count):
                self.left -= count
                if self.left <= 0:
                    os.kill(os.getpid(), 9)
        ca = Path({str(fetcher.path.parent / "ca.pem")!r}).read_bytes()
        limits = Limits(max_bytes=10**7, stall_seconds=5.0, first_pause_seconds=0.01, max_pause_seconds=0.01)
        with partial_download.PartialDownload(Path({str(fetcher.path)!r}), NodeId({NODE!r})) as part:
            BackupDownload(part, {fetcher.host.url()!r}, lambda: "", download.tls_context(ca), limits,
                           progress=Deadly(), tell=print).run()
    """
    (fetcher.path.parent / "ca.pem").write_bytes(fetcher.host.ca)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=60)
    assert done.returncode == -9
    assert not fetcher.path.exists()
    assert fetcher.run() == CONTENT
    resumed = starts(fetcher.host)[1:]
    # Nothing more was asked for when all of it was synced; else what was, up to the last 100,000 bytes.
    assert resumed in ([], [None]) if at < 100_000 else all(s and at - s <= 200_000 for s in resumed)


def test_a_full_disk_keeps_what_there_is(identity, tmp_path):
    """A tmpfs of 1 MiB, which a backup of twice that fills; then it is given room."""
    content = random.Random(3).randbytes(2_000_000)
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        with file_host(identity, honest(content), tmp_path) as host:
            fetcher = Fetcher(host, mounted)
            with pytest.raises(OutputError, match="no space left on device") as full:
                fetcher.run()
            assert full.value.exit_code == 74
            assert "run the same command again" in str(full.value.hint)
            assert any(line.startswith("warning: 4000000 bytes are needed") for line in fetcher.lines)
            assert not fetcher.path.exists()
            subprocess.run(["mount", "-o", "remount,size=8m", str(mounted)], check=True)
            assert fetcher.run() == content
            assert (starts(host)[1] or 0) > 0
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_host_does_the_content_is_one_of_those_that_it_had(fetcher, seed):
    """Random servers: right and wrong ranges, cuts, changes of content and of tag."""
    choice = random.Random(seed)
    versions = {f'"{number}"': choice.randbytes(150_000) for number in range(2)}
    current = ['"0"']

    def answer(request):
        if choice.random() < 0.2:
            current[0] = choice.choice(list(versions))
        tag = current[0]
        content = versions[tag]
        same = request.headers.get("if-range", tag) == tag
        start = request.start if same or choice.random() < 0.3 else None
        if start is None or choice.random() < 0.2:
            reply = whole(content, ETag=tag)
        else:
            reply = part(content, start, ETag=tag)
            if choice.random() < 0.2:
                reply = part(content, choice.randrange(150_000), ETag=tag)
        if choice.random() < 0.1:
            return Reply(choice.choice([404, 416, 503]))
        return Reply(reply.status, reply.headers, reply.body, cut=choice.choice([None, 0, 40_000, 120_000]))

    fetcher.host.answer = answer
    for _ in range(20):
        try:
            assert fetcher.run() in versions.values()
        except SignerdError:
            continue
        return
    pytest.fail("never came to an end")
