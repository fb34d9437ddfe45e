"""The control socket's own services: Control, and the standard health service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
from google.protobuf import json_format
from grpc_health.v1 import health as standard_health
from grpc_health.v1 import health_pb2, health_pb2_grpc

from signerd.control import document
from signerd.control.client import HINT_KEY
from signerd.control.pb import control_pb2 as pb
from signerd.control.pb import control_pb2_grpc
from signerd.control.values import Reload
from signerd.errors import ConfigError
from signerd.observe import readiness
from signerd.observe.history import History, Record
from signerd.observe.readiness import Health

READY = "ready"
"""The name under which the standard health service says whether it can sign; "" says whether it is alive."""

CONTROL = pb.DESCRIPTOR.services_by_name["Control"].full_name

MOST_FOLLOWERS = 32


class ControlService(control_pb2_grpc.ControlServicer):
    """What `signerd status`, `health`, `reload` and `events` ask."""

    def __init__(self, status: document.Status, history: History, reload: Reload) -> None:
        self._status = status
        self._history = history
        self._reload = reload
        self._reloading = asyncio.Lock()
        self._followers = 0

    def add_to(self, server: grpc.aio.Server) -> None:
        """As a `server.Service`."""
        control_pb2_grpc.add_ControlServicer_to_server(self, server)

    async def Status(self, _request: pb.StatusRequest, _context: Any) -> pb.StatusReply:  # noqa: N802
        return json_format.ParseDict(document.status(*self._status()), pb.StatusReply())

    async def Health(self, _request: pb.HealthRequest, _context: Any) -> pb.HealthReply:  # noqa: N802
        board, _, _ = self._status()
        return json_format.ParseDict(document.health(readiness.health(board)), pb.HealthReply())

    async def Reload(self, _request: pb.ReloadRequest, context: Any) -> pb.ReloadReply:  # noqa: N802
        async with self._reloading:
            try:
                outcome = await self._reload()
            except ConfigError as problem:
                hint = ((HINT_KEY, problem.hint.encode()),) if problem.hint else ()
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem.message, hint)
        return pb.ReloadReply(applied=outcome.applied, needs_restart=outcome.needs_restart)

    async def Events(  # type: ignore[override]  # noqa: N802
        self, request: pb.EventsRequest, context: Any
    ) -> None:
        # Written one by one, and not yielded: a caller that leaves ends this where it waits.
        if not request.follow:
            for record in self._history.last(request.last):
                await context.write(_event(record))
            return
        if self._followers >= MOST_FOLLOWERS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_FOLLOWERS} follow the events already"
            )
        self._followers += 1
        try:
            # Both before anything is waited for: no event falls in between.
            with self._history.follow() as follower:
                for record in self._history.last(request.last):
                    await context.write(_event(record))
                while True:
                    await context.write(_event(await follower.next()))
        finally:
            self._followers -= 1


class HealthService:
    """The standard health service; it watches nothing by itself, `show` tells it."""

    def __init__(self) -> None:
        self._servicer = standard_health.aio.HealthServicer()
        self._shown: Health | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """As a `server.Service`."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def show(self, health: Health) -> None:
        """From now on, this is how it is."""
        if health == self._shown:
            return
        self._shown = health
        for name, good in (("", health.live), (CONTROL, health.live), (READY, health.ready)):
            status = (
                health_pb2.HealthCheckResponse.SERVING if good else health_pb2.HealthCheckResponse.NOT_SERVING
            )
            await self._servicer.set(name, status)


def _event(record: Record) -> pb.EventRecord:
    reply = pb.EventRecord(
        number=record.number,
        time=record.time,
        level=record.event.LEVEL,
        name=record.event.NAME,
        lost=record.lost,
    )
    for name, value in document.fields(record).items():
        field = reply.fields.add(name=name)
        match value:
            case bool():
                field.flag = value
            case int():
                field.integer = value
            case float():
                field.number = value
            case _:
                field.text = str(value)
    return reply
