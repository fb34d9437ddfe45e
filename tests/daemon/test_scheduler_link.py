"""When an upgrade is due, and who is woken when the scheduler comes back."""

from __future__ import annotations

import asyncio
from typing import Self

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


class Connection:
    """A client that knows whether it is connected, and counts how often it was opened."""

    opened = 0

    def __init__(self) -> None:
        self.connected = False

    async def __aenter__(self) -> Self:
        type(self).opened += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@asynchronous
async def test_the_way_that_comes_back_ends_every_pause_also_where_the_scheduler_was_heard_of():
    link = SchedulerLink(Connection)  # type: ignore[arg-type]
    await link.open()
    link.note_upgraded()
    heard, missed = asyncio.create_task(link.pause(3600)), asyncio.create_task(link.pause(3600))
    await asyncio.sleep(0)
    await link.come_back(works=True)
    assert (await heard, await missed) == (True, True)


@asynchronous
async def test_a_return_during_an_attempt_ends_the_pause_after_it_and_only_that_one():
    link = SchedulerLink(Connection)  # type: ignore[arg-type]
    await link.open()
    before = link.returns
    await link.come_back(works=True)
    assert await link.pause(3600, before)
    assert not await happens(link.pause(3600, link.returns))


@asynchronous
async def test_a_connection_that_does_not_work_is_made_anew_when_the_way_comes_back():
    link = SchedulerLink(Connection)  # type: ignore[arg-type]
    await link.open()
    before = Connection.opened
    await link.come_back(works=True)
    assert Connection.opened == before
    await link.come_back(works=False)
    assert Connection.opened == before + 1


@asynchronous
async def test_a_loss_before_the_upgrade_is_sent_asks_for_no_second_one():
    link = link_of()
    await link.upgrade_due()
    link.note_failure(LOST)
    link.begin_upgrade()
    link.note_upgraded()
    await link.upgraded()
    assert not await happens(link.upgrade_due())


@asynchronous
async def test_the_scheduler_is_missing_at_the_start_and_after_a_loss():
    link = link_of()
    await link.missing()
    link.note_upgraded()
    assert not await happens(link.missing())
    link.note_failure(LOST)
    await link.missing()
    assert not await happens(link.recovered())
