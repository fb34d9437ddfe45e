"""An answer finds its question: on the same stream or the next one, asked again or not. Over real streams."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from helpers.ca import Authority
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous
from helpers.grpc_server import Server, serving
from helpers.phones import KEYS, approval_at, public_key

from signerd.core.audit import record as records
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule, decide
from signerd.core.pairing_inbox import Item
from signerd.daemon import late_answers
from signerd.daemon.backoff import Backoff
from signerd.daemon.late_answers import LateAnswers
from signerd.daemon.pairing_desk import PairingDesk
from signerd.daemon.pairing_inbox import PairingInbox
from signerd.daemon.recorder import Recorder
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.scheduler_stream import SchedulerStream
from signerd.greenlight.pb import scheduler_pb2 as pb
from signerd.greenlight.scheduler import SchedulerClient
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.store.audit_file import AuditFile
from signerd.store.state_db import StateDb

STREAM = "/scheduler.Scheduler/SignerRequestsStream"
Script = Callable[["Scheduler", Any], AsyncIterator[bytes]]


class Scheduler:
    """One script for each stream in turn; what is answered, with the number of the stream."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.answers: asyncio.Queue[tuple[int, int, bool]] = asyncio.Queue()
        self.go = asyncio.Event()
        self.streams = 0

    async def serve(self, requests: Any, _context: Any) -> AsyncIterator[bytes]:
        number = self.streams = self.streams + 1
        reader = asyncio.create_task(self._read(number, requests))
        try:
            async for message in self._scripts[number - 1](self, requests):
                yield message
        finally:
            reader.cancel()

    async def answer(self) -> tuple[int, int, bool]:
        """The next one: on which stream, to which request, and whether it is a yes."""
        return await self.answers.get()

    async def _read(self, number: int, requests: Any) -> None:
        async for raw in requests:
            response = pb.SignerResponse.FromString(raw)
            self.answers.put_nowait((number, response.request_id, response.HasField("approve_pairing")))


def question(request_id: int, approval: PairingApproval) -> bytes:
    asked = pb.ApprovePairingRequest(
        device_id=approval.device_id,
        timestamp=approval.timestamp,
        device_name=approval.device_name,
        restrictions=approval.restrictions,
        sig=approval.sig,
        pubkey=approval.pubkey,
        rune=approval.rune,
    )
    return pb.SignerRequest(request_id=request_id, approve_pairing=asked).SerializeToString()


def asks(*questions: bytes, then_ends: bool = False) -> Script:
    """Ask, and stay; or end once the test says go."""

    async def script(scheduler: Scheduler, _requests: Any) -> AsyncIterator[bytes]:
        for message in questions:
            yield message
        await (scheduler.go.wait() if then_ends else asyncio.Event().wait())

    return script


@asynccontextmanager
async def daemon(
    tmp_path: Any, scheduler: Scheduler, *, answer_refusals: bool = True
) -> AsyncIterator[tuple[PairingInbox, Heard]]:
    """Inbox and stream loop with this scheduler, on real sockets."""
    authority, clock, heard = Authority(), FakeClock(), Heard()
    identity = authority.issue(f"/users/{KEYS.node_id.hex()}/default").identity
    with StateDb(tmp_path / "db") as store:
        desk = PairingDesk(KEYS, PairingPolicy(mode="confirm"), (), store, Recorder(store, clock))
        inbox = PairingInbox(desk, Bus(heard), answer_refusals=answer_refusals)
        async with serving(
            Server(streams={STREAM: scheduler.serve}), authority.issue("GL /services/scheduler")
        ) as server:
            link = SchedulerLink(lambda: SchedulerClient(server.uri, identity))
            await link.open()
            link.note_upgraded()
            pauses = Backoff(clock, first_seconds=0.01, max_seconds=0.01, stable_seconds=1)
            loop = asyncio.create_task(SchedulerStream(link, inbox, pauses, Bus(heard)).run())
            try:
                yield inbox, heard
            finally:
                loop.cancel()
                await asyncio.gather(loop, return_exceptions=True)
                await link.close()


class Heard:
    """Listens for events."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, event: Event) -> None:
        self._events.append(event)
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until(self, kind: type[Event], times: int = 1) -> None:
        async with self._news:
            await self._news.wait_for(lambda: sum(isinstance(e, kind) for e in self._events) >= times)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


ONE, TWO = (approval_at(FakeClock().now(), device=device) for device in (2, 3))


@asynchronous
async def test_an_answer_goes_to_the_id_that_was_asked_with_last(tmp_path):
    scheduler = Scheduler(asks(question(7, ONE), question(7, TWO), question(9, ONE)))
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting, 2)
        while inbox.answers.request_id(inbox.waiting()[0].digest) != 9:
            await asyncio.sleep(0)
        one, two = inbox.waiting()
        # A scheduler that gives everything the same id is served all the same.
        inbox.approve(two.number)
        assert await scheduler.answer() == (1, 7, True)
        inbox.deny(one.number)
        assert await scheduler.answer() == (1, 9, False)
        assert await inbox.sent(one, 1)


@asynchronous
async def test_a_stream_that_does_not_ask_again_gets_the_answer_with_the_old_id(tmp_path):
    scheduler = Scheduler(asks(question(1, ONE), then_ends=True), asks())
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting)
        scheduler.go.set()
        await heard.until(events.SchedulerStreamOpen, 2)
        (item,) = inbox.waiting()
        inbox.approve(item.number)
        assert await scheduler.answer() == (2, 1, True)


@asynchronous
async def test_what_was_decided_while_no_stream_was_open_goes_out_on_the_next(tmp_path):
    scheduler = Scheduler(asks(question(1, ONE), then_ends=True), asks())
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting)
        scheduler.go.set()
        await heard.until(events.SchedulerStreamEnded)
        (item,) = inbox.waiting()
        inbox.approve(item.number)
        assert await scheduler.answer() == (2, 1, True)
        assert await inbox.sent(item, 1)


@asynchronous
async def test_an_id_that_means_something_else_by_now_is_not_answered(tmp_path):
    scheduler = Scheduler(
        asks(question(1, ONE), then_ends=True), asks(question(1, TWO)), asks(question(5, ONE))
    )
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting)
        scheduler.go.set()
        await heard.until(events.PairingWaiting, 2)
        one, two = inbox.waiting()
        inbox.approve(one.number)
        assert not await inbox.sent(one, 0.1)
        inbox.approve(two.number)
        assert await scheduler.answer() == (2, 1, True)
        assert not await inbox.sent(one, 0.01)
        assert scheduler.answers.empty()


@asynchronous
async def test_what_is_asked_again_after_the_decision_is_answered_each_time(tmp_path):
    scheduler = Scheduler(
        asks(question(1, ONE), then_ends=True), asks(question(1, TWO), question(5, ONE), question(6, ONE))
    )
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting)
        (one,) = inbox.waiting()
        scheduler.go.set()
        await heard.until(events.SchedulerStreamEnded)
        inbox.approve(one.number)
        # Perhaps once more, with the old id, before the stream has said what that means now.
        answers = [await scheduler.answer()]
        while answers[-1] != (2, 6, True):
            answers.append(await scheduler.answer())
        assert [answer for answer in answers if answer != (2, 1, True)] == [(2, 5, True), (2, 6, True)]
        assert await inbox.sent(one, 1)


# What may not go any more


@pytest.mark.parametrize("device", [1, 2])
@asynchronous
async def test_a_revocation_stops_an_approval_that_is_not_sent_yet(tmp_path, device):
    scheduler = Scheduler(asks(question(1, ONE), question(2, TWO), then_ends=True), asks())
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting, 2)
        scheduler.go.set()
        await heard.until(events.SchedulerStreamEnded)
        one, two = inbox.waiting()
        inbox.approve(one.number)
        waiting = asyncio.create_task(inbox.sent(one, 0.1))
        await asyncio.sleep(0)
        inbox.revoke(public_key(device).hex(), with_paired=False)
        if device != 1:
            inbox.deny(two.number)
        answers = {await scheduler.answer(), await scheduler.answer()}
        assert answers == {(2, 1, False), (2, 2, False)}
        await heard.until(events.PairingRefused, 2)
        assert not await waiting
        assert not await inbox.sent(one, 0.01)


@asynchronous
async def test_a_silent_signer_sends_nothing_of_what_was_revoked(tmp_path):
    scheduler = Scheduler(asks(question(1, ONE), question(2, TWO), then_ends=True), asks())
    async with daemon(tmp_path, scheduler, answer_refusals=False) as (inbox, heard):
        await heard.until(events.PairingWaiting, 2)
        scheduler.go.set()
        await heard.until(events.SchedulerStreamEnded)
        one, two = inbox.waiting()
        inbox.approve(one.number)
        inbox.approve(two.number)
        inbox.revoke(public_key(2).hex(), with_paired=False)
        assert await scheduler.answer() == (2, 2, True)
        assert await inbox.sent(two, 1)
        assert scheduler.answers.empty()
        assert not await inbox.sent(one, 0.01)


def item_of(number: int, approval: PairingApproval) -> tuple[Item, Approved]:
    """Approved as by an owner, under a digest that is like no other."""
    outcome = decide(approval, KEYS, PairingPolicy(), frozenset(), FakeClock().now())
    assert isinstance(outcome, Approved)
    digest = number.to_bytes(32, "big")
    return Item(number, digest, approval, "", FakeClock().now(), outcome.expires), outcome


class Stream:
    """Takes what is sent."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.taken: list[int] = []
        self._then = then

    async def answer(self, response: pb.SignerResponse) -> None:
        self.taken.append(response.request_id)
        self._then()


async def sent_on(answers: LateAnswers, stream: Stream) -> list[int]:
    loop = asyncio.create_task(answers.send_on(cast("Any", stream)))
    for _ in range(10):
        await asyncio.sleep(0)
    loop.cancel()
    return stream.taken


@asynchronous
async def test_whether_an_answer_may_go_is_asked_when_its_turn_comes():
    (one, yes), (two, yes_too) = item_of(1, ONE), item_of(2, TWO)
    revoked: set[bytes] = set()
    answers = LateAnswers(revoked)
    for item, outcome in ((one, yes), (two, yes_too)):
        answers.asked(item.digest, item.number)
        answers.put(item, outcome)
    # The second one's device is revoked while the first answer is on its way.
    stream = Stream(lambda: revoked.add(public_key(3)))
    assert await sent_on(answers, stream) == [1]
    assert not await answers.sent(two.digest, 0)


@asynchronous
async def test_what_was_withdrawn_while_another_was_sent_is_not_sent():
    (one, yes), (two, yes_too) = item_of(1, ONE), item_of(2, TWO)
    answers = LateAnswers()
    for item, outcome in ((one, yes), (two, yes_too)):
        answers.asked(item.digest, item.number)
        answers.put(item, outcome)
    assert await sent_on(answers, Stream(lambda: answers.withdraw({public_key(3)}))) == [1]


@asynchronous
async def test_denials_make_room_for_approvals_and_what_made_room_is_not_called_sent(monkeypatch):
    monkeypatch.setattr(late_answers, "_MOST", 2)
    item, yes = item_of(1, ONE)
    items = [dataclasses.replace(item, digest=bytes([n]) * 32) for n in range(4)]
    no = Denied(PairingRule.OWNER, "no")
    answers = LateAnswers()
    for each, outcome in zip(items, (yes, no, yes, yes), strict=True):
        answers.put(each, outcome)
        if outcome is no:
            answers.asked(each.digest, 7)
    assert [await answers.sent(each.digest, 0) for each in items] == [False] * 4
    for number, each in enumerate(items):
        answers.asked(each.digest, number)
    # The denial went first, and then the oldest.
    assert await sent_on(answers, Stream()) == [2, 3]
    assert [await answers.sent(each.digest, 0) for each in items] == [False, False, True, True]


@asynchronous
async def test_what_the_owner_decides_is_recorded_with_the_request_that_it_answers(tmp_path):
    scheduler = Scheduler(asks(question(7, ONE), question(8, TWO)))
    async with daemon(tmp_path, scheduler) as (inbox, heard):
        await heard.until(events.PairingWaiting, 2)
        one, two = inbox.waiting()
        inbox.approve(one.number)
        inbox.deny(two.number)
    with AuditFile(tmp_path / "db") as audit:
        assert [records.parse(row.raw).decision.request_id for row in audit.rows(0)] == [7, 8]
