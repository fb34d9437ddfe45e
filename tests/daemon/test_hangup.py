"""A hangup is heard from the first moment on, and ends nothing."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from helpers.greenlight import asynchronous

from signerd.daemon.hangup import Hangups


@pytest.fixture(autouse=True)
def _put_back():
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


@asynchronous
async def test_one_that_comes_before_anybody_waits_is_remembered_once():
    hangups = Hangups()
    hang_up()
    hang_up()

    turns = aiter(hangups)
    await anext(turns)

    waiting = asyncio.ensure_future(anext(turns))
    await asyncio.sleep(0)
    assert not waiting.done()
    hang_up()
    await waiting


@asynchronous
async def test_one_that_comes_when_nobody_waits_any_more_ends_nothing():
    turns = aiter(Hangups())
    hang_up()
    await anext(turns)

    await turns.aclose()

    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    hang_up()
