"""The last events are kept, followers get those to come, and nobody is waited for."""

from __future__ import annotations

import asyncio

import pytest
from helpers.greenlight import asynchronous

from signerd.observe.events import Stopping
from signerd.observe.history import History


def told(history: History, count: int) -> None:
    for number in range(count):
        history.hear(Stopping(reason=str(number)))


def test_keeps_the_last_ones_and_no_more():
    history = History(lambda: 0.0, kept=5)
    told(history, 12)
    assert [record.number for record in history.last(100)] == [8, 9, 10, 11, 12]
    assert [record.number for record in history.last(2)] == [11, 12]
    assert history.last(0) == []


@asynchronous
async def test_a_follower_gets_everything_once_it_follows():
    history = History(lambda: 0.0)
    told(history, 3)
    with history.follow() as follower:
        told(history, 3)
        assert [(await follower.next()).number for _ in range(3)] == [4, 5, 6]


@asynchronous
async def test_a_slow_follower_loses_the_newest_and_learns_how_many():
    history = History(lambda: 0.0)
    with history.follow(waiting=3) as follower:
        told(history, 10)
        assert [(await follower.next()).number for _ in range(3)] == [1, 2, 3]
        told(history, 1)
        record = await follower.next()
        assert (record.number, record.lost) == (11, 7)
        told(history, 1)
        assert (await follower.next()).lost == 0


@asynchronous
async def test_waits_for_the_next_one_and_hears_nothing_after_it_left():
    history = History(lambda: 0.0)
    with history.follow() as follower:
        waiting = asyncio.ensure_future(follower.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        told(history, 1)
        assert (await waiting).number == 1
    told(history, 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await follower.next()
