"""A second thread is welcome, and not needed."""

from __future__ import annotations

import threading

import pytest

from signerd.core.keys import helper


def test_does_the_work_in_another_thread():
    under_way = helper.begin(threading.get_ident)
    assert under_way is not None
    assert under_way.result(10) != threading.get_ident()


def test_whoever_waits_for_the_work_hears_what_went_wrong():
    under_way = helper.begin(int, "no number")
    assert under_way is not None
    with pytest.raises(ValueError):
        under_way.result(10)


def test_says_that_there_are_no_more_threads_and_tries_again_the_next_time(monkeypatch):
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    helper._thread.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refused)
    done: list[int] = []
    assert helper.begin(done.append, 1) is None
    monkeypatch.undo()
    under_way = helper.begin(done.append, 2)
    assert under_way is not None
    under_way.result(10)
    assert [2] == done  # what found no thread is not done later
