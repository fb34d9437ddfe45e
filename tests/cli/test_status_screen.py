"""One screen: what matters first, nothing that is not known, and nothing wider than it must be."""

from __future__ import annotations

import copy

import pytest
from helpers.boards import ATTACHED, CONNECTED, NOW, busy_board, later, started

from signerd.cli import status_screen
from signerd.control import document
from signerd.control.document import Readings
from signerd.observe import events

READINGS = Readings(pid=4711, channels=1, last_write=NOW - 7, pairings_waiting=2)


def screen(board, readings=READINGS, now=NOW) -> list[str]:
    return status_screen.lines(document.status(board, readings, now))


def test_a_busy_signer_fills_one_screen():
    shown = screen(busy_board())
    assert len(shown) <= 24
    text = "\n".join(shown)
    for part in (
        "detached: not attached to the node: gone",
        "02" * 33 + " (regtest)",
        "for 16 min 40 s, as process 4711",
        "signerd 0.1.0, announced to the node as v25.05 (v24.11 before)",
        "connected for 1 min 31 s, https://scheduler.example",
        "next attempt in 410.0 s",
        "last answer 1 min 28 s ago, to ecdh_req (type 1)",
        "1 answered, 3 refused: 2 sign-message, 1 no-such-channel",
        "1 approved, 1 refused, 2 waiting for you",
        "/var/lib/signerd/signerd.db, 1 channel, written 7 s ago",
        "400 days",
    ):
        assert part in text, part


def test_a_signer_that_has_just_begun_shows_what_it_knows_and_no_more():
    shown = "\n".join(screen(started(NOW), Readings(pid=1)))
    assert shown.startswith("starting: the scheduler has not been reached yet\n")
    for absent in ("None", "waiting for you", "last error", "next attempt", "written"):
        assert absent not in shown
    assert "nothing yet" in shown


@pytest.mark.parametrize(
    ("days", "said"),
    [(400, "400 days"), (29, "29 days; run `signerd recover` soon"), (-1, "ENDED on ")],
)
def test_the_certificate_says_when_it_is_time(days, said):
    board = later(started(), events.CertificateInUse(expires=int(NOW) + days * 86400, days_left=days))
    assert any(said in line for line in screen(board))


def test_a_failing_store_stands_out():
    board = later(
        started(),
        *CONNECTED,
        ATTACHED,
        events.StoreFailing(path="/p", reason="its file system is full", hint="h"),
    )
    shown = screen(board)
    assert shown[0] == "store-failing: its file system is full"
    assert any(line.endswith("FAILING: its file system is full") for line in shown)


def test_what_is_left_out_of_a_document_is_left_out_of_the_screen():
    whole = document.status(busy_board(), READINGS, NOW)
    optional = {
        "versions": ("announced", "before"),
        "scheduler": ("since", "last_error", "next_retry"),
        "node": ("since", "last_error", "next_retry"),
        "requests": ("last_answer", "last_refusal"),
        "pairing": ("waiting",),
        "store": ("channels", "last_write"),
        "certificate": ("expires",),
    }
    for part, names in optional.items():
        for name in names:
            less = copy.deepcopy(whole)
            del less[part][name]
            assert status_screen.lines(less)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3 * 3600 + 125, "3 h 2 min"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units(seconds, said):
    assert status_screen.span(seconds) == said
