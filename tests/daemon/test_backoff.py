"""Pauses grow, are random, have a cap, and are forgotten after a stable while."""

from __future__ import annotations

from helpers.clock import FakeClock

from signerd.daemon.backoff import Backoff


def backoff_of(clock: FakeClock) -> Backoff:
    return Backoff(clock, first_seconds=0.5, max_seconds=30, stable_seconds=60)


def test_pauses_stay_in_a_window_that_doubles_up_to_the_cap():
    backoff = backoff_of(FakeClock())
    for window in [0.5, 1, 2, 4, 8, 16, 30, 30, 30]:
        assert 0 <= backoff.pause() <= window


def test_pauses_are_spread_over_their_window():
    """Full jitter: many signers that lost the same scheduler do not come back in step."""
    pauses = []
    for _ in range(300):
        backoff = backoff_of(FakeClock())
        for _ in range(9):
            backoff.pause()
        pauses.append(backoff.pause())
    assert min(pauses) < 5
    assert max(pauses) > 25
    assert 12 < sum(pauses) / len(pauses) < 18


def test_an_attempt_that_lasted_forgets_earlier_failures():
    clock = FakeClock()
    backoff = backoff_of(clock)
    for _ in range(10):
        backoff.pause()
    backoff.started()
    clock.advance(60)
    assert backoff.pause() <= 0.5


def test_an_attempt_that_did_not_last_forgets_nothing():
    clock = FakeClock()
    backoff = backoff_of(clock)
    for _ in range(9):
        backoff.started()
        clock.advance(59)
        backoff.pause()
    assert any(backoff.pause() > 0.5 for _ in range(50))


def test_survives_years_of_failures():
    backoff = backoff_of(FakeClock())
    backoff._attempts = 10**6
    assert 0 <= backoff.pause() <= 30
