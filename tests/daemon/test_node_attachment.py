"""Requests of a node are answered in order, and what comes behind an answer cannot end the session."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from helpers.ca import Authority
from helpers.clock import FakeClock
from helpers.greenlight import asynchronous
from helpers.grpc_server import Server, serving
from helpers.phones import KEYS

from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import Book
from signerd.core.wire import codec
from signerd.core.wire.session import Ping
from signerd.daemon.backoff import Backoff
from signerd.daemon.node_attachment import NodeAttachment
from signerd.daemon.node_path import NodePath
from signerd.daemon.pulse import Pulse
from signerd.daemon.reach import Reach
from signerd.daemon.recorder import Recorder
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.signing_service import SigningService
from signerd.greenlight.node import NodeClient
from signerd.greenlight.pb import greenlight_pb2 as pb
from signerd.greenlight.pb import scheduler_pb2
from signerd.greenlight.reachability import Found
from signerd.greenlight.scheduler import SchedulerClient
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

PING = codec.encode(Ping(7, "hello"))
UNKNOWN = (9999).to_bytes(2, "big")


class Eager(Signer):
    """Has something to make ready after every answer; notes for which request it was done."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        super().__init__(KEYS, "regtest")
        self.done: list[int] = []
        self.then = then

    def handle(self, request: SigningRequest, book: Book, now: UnixTime) -> Signed | Refusal:
        outcome = super().handle(request, book, now)
        if isinstance(outcome, Refusal):
            return outcome

        def ahead() -> None:
            self.done.append(request.id)
            self.then()

        return dataclasses.replace(outcome, ahead=ahead)


class Node:
    """Asks one thing after the other, each once the last was answered."""

    def __init__(self, *questions: bytes) -> None:
        self._questions = questions
        self._answers: asyncio.Queue[pb.HsmResponse] = asyncio.Queue()
        self.answers: list[pb.HsmResponse] = []
        self.finished = asyncio.Event()

    async def ask(self, _requests: Any, _context: Any) -> AsyncIterator[bytes]:
        for number, raw in enumerate(self._questions, 1):
            yield pb.HsmRequest(request_id=number, raw=raw).SerializeToString()
            self.answers.append(await self._answers.get())
        self.finished.set()
        await asyncio.Event().wait()

    async def take(self, answer: bytes, _context: Any) -> bytes:
        self._answers.put_nowait(pb.HsmResponse.FromString(answer))
        return b""


@asynccontextmanager
async def attached(tmp_path: Path, node: Node, signer: Signer) -> AsyncIterator[list[Event]]:
    """The loop with this node, on real sockets."""
    authority, clock, heard = Authority(), FakeClock(), []
    identity = authority.issue(f"/users/{KEYS.node_id.hex()}/default").identity
    at_node = Server(
        {"/greenlight.Node/RespondHsmRequest": node.take}, {"/greenlight.Node/StreamHsmRequests": node.ask}
    )

    async def where(_request: bytes, _context: Any) -> bytes:
        info = scheduler_pb2.NodeInfoResponse(
            node_id=bytes(KEYS.node_id), grpc_uri=f"https://127.0.0.1:{at_node.port}"
        )
        return info.SerializeToString()

    async def reachable() -> Found:
        return Found.THERE

    scheduler = Server({"/scheduler.Scheduler/GetNodeInfo": where})
    with StateDb(tmp_path / "db") as store:
        async with (
            serving(at_node, authority.issue(f"GL /users/{KEYS.node_id.hex()}/node")),
            serving(scheduler, authority.issue("GL /services/scheduler")),
        ):
            link = SchedulerLink(lambda: SchedulerClient(scheduler.uri, identity))
            await link.open()
            link.begin_upgrade()
            link.note_upgraded()
            pauses = Backoff(clock, first_seconds=0.01, max_seconds=0.01, stable_seconds=1)
            attachment = NodeAttachment(
                link=link,
                service=SigningService(signer, store, Recorder(store, clock)),
                connect=lambda uri: NodeClient(uri, identity, node_id=bytes(KEYS.node_id)),
                calls=pauses,
                sessions=pauses,
                placement=pauses,
                clock=clock,
                bus=Bus(heard.append),
                poll_seconds=lambda: 10.0,
                probe_seconds=lambda: 10.0,
                answer_seconds=lambda: 10.0,
                pulse=Pulse(clock),
                path=NodePath(link, lambda _uri: Reach(reachable, clock)),
            )
            loop = asyncio.create_task(attachment.run())
            try:
                yield heard
            finally:
                loop.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await loop
                await link.close()


def kinds(heard: list[Event], *of: type[Event]) -> list[type[Event]]:
    return [type(event) for event in heard if isinstance(event, of)]


@asynchronous
async def test_what_is_next_is_made_ready_behind_each_answer_and_behind_no_refusal(tmp_path):
    node, signer = Node(PING, UNKNOWN, PING, PING), Eager()
    async with attached(tmp_path, node, signer) as heard:
        await node.finished.wait()
        while len(signer.done) < 3:  # that of the last answer may still be due
            await asyncio.sleep(0.001)
    assert signer.done == [1, 3, 4]
    assert [bool(answer.error) for answer in node.answers] == [False, True, False, False]
    assert kinds(heard, events.RequestAnswered, events.RequestRefused) == [
        events.RequestAnswered,
        events.RequestRefused,
        events.RequestAnswered,
        events.RequestAnswered,
    ]


@asynchronous
async def test_what_cannot_be_made_ready_costs_no_answer_and_no_session(tmp_path):
    node, signer, told = Node(PING, PING, PING), Eager(lambda: 1 // 0), []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    async with attached(tmp_path, node, signer) as heard:
        await node.finished.wait()
        while len(told) < 3:
            await asyncio.sleep(0.001)
    assert [type(error) for error in told] == [ZeroDivisionError] * 3
    assert not any(answer.error for answer in node.answers)
    assert kinds(heard, events.NodeAttached, events.NodeDetached) == [events.NodeAttached]
