"""When an upgrade is due, and who is woken when the scheduler comes back."""

from __future__ import annotations

import asyncio

import pytest
from helpers.greenlight import asynchronous

from signerd.daemon.scheduler_link import SchedulerLink
from signerd.errors import Rejected, Unavailable
from signerd.greenlight.scheduler import SchedulerClient

LOST = Unavailable("gone", code="UNAVAILABLE")
NOT_LOST = [Unavailable("slow", code="DEADLINE_EXCEEDED"), Rejected("no", code="UNIMPLEMENTED")]


def link_of() -> SchedulerLink:
    def connect() -> SchedulerClient:
        raise AssertionError("nothing connects here")

    return SchedulerLink(connect)


async def happens(awaitable) -> bool:
    try:
        async with asyncio.timeout(0):
            await awaitable
    except TimeoutError:
        return False
    return True


@asynchronous
async def test_an_upgrade_is_due_at_the_start_and_once():
    link = link_of()
    await link.upgrade_due()
    assert not await happens(link.upgrade_due())
    assert not await happens(link.upgraded())
    link.note_upgraded()
    await link.upgraded()


@asynchronous
async def test_a_lost_connection_makes_it_due_again():
    link = link_of()
    await link.upgrade_due()
    link.note_upgraded()
    link.note_failure(LOST)
    assert not await happens(link.upgraded())
    await link.upgrade_due()


@pytest.mark.parametrize("error", NOT_LOST, ids=str)
@asynchronous
async def test_other_failures_do_not(error):
    link = link_of()
    await link.upgrade_due()
    link.note_upgraded()
    link.note_failure(error)
    await link.upgraded()
    assert not await happens(link.upgrade_due())


@asynchronous
async def test_an_answer_that_comes_after_the_connection_was_lost_again_does_not_count():
    link = link_of()
    await link.upgrade_due()
    link.note_failure(LOST)
    link.note_upgraded()
    assert not await happens(link.upgraded())


@asynchronous
async def test_a_pause_ends_when_the_lost_scheduler_is_heard_of_again():
    link = link_of()
    pause = asyncio.create_task(link.pause(3600))
    await asyncio.sleep(0)
    link.note_upgraded()
    await pause


@asynchronous
async def test_a_pause_while_the_scheduler_is_there_is_not_cut_short():
    """Else a scheduler that closes each stream at once would be asked again without end."""
    link = link_of()
    link.note_upgraded()
    assert not await happens(link.pause(3600))


@asynchronous
async def test_nothing_is_called_on_a_link_that_is_not_open():
    with pytest.raises(RuntimeError):
        _ = link_of().client
