"""Call a running signer by gRPC over its socket, with errors that say what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import grpc.aio

from signerd.config_change import ConfigChange
from signerd.control import quick
from signerd.control.pb import control_pb2 as pb
from signerd.control.pb import control_pb2_grpc
from signerd.errors import AccessDenied, ConfigError, ProtocolViolation, RemoteError, Unavailable

HINT_KEY = "hint-bin"
"""Trailing metadata: the hint that goes with an error, UTF-8."""

DEADLINE = 10.0
_MAX_MESSAGE = 16 * 1024 * 1024


class ControlClient:
    """A connection to the socket at `path`, while entered. Every method raises RemoteError.

    Further services of the socket are called with a stub of theirs on `channel`; `translated` makes their
    errors ours.
    """

    def __init__(self, path: Path, *, deadline: float = DEADLINE) -> None:
        self._path = path
        self._deadline = deadline

    async def __aenter__(self) -> Self:
        quick.connect(self._path, self._deadline).close()  # says better than gRPC why it cannot be
        self.channel = grpc.aio.insecure_channel(
            f"unix:{self._path.absolute()}",
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_receive_message_length", _MAX_MESSAGE),
                ("grpc.enable_http_proxy", 0),
            ],
        )
        # The generated stubs are untyped.
        self._stub: Any = control_pb2_grpc.ControlStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def status(self) -> pb.StatusReply:
        """How things stand."""
        try:
            reply: pb.StatusReply = await self._stub.Status(pb.StatusRequest(), timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise translated(error, self._path) from error
        return reply

    async def health(self) -> pb.HealthReply:
        """Is it alive, and can it sign?"""
        try:
            reply: pb.HealthReply = await self._stub.Health(pb.HealthRequest(), timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise translated(error, self._path) from error
        return reply

    async def reload(self) -> ConfigChange:
        """Have the configuration read again. Raises ConfigError if it is wrong: nothing has changed then."""
        try:
            reply: pb.ReloadReply = await self._stub.Reload(pb.ReloadRequest(), timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            raise translated(error, self._path) from error
        return ConfigChange(tuple(reply.applied), tuple(reply.needs_restart))

    async def events(self, *, follow: bool, last: int) -> AsyncIterator[pb.EventRecord]:
        """The last ones, and with `follow` those to come, until the iterator is left."""
        call = self._stub.Events(
            pb.EventsRequest(follow=follow, last=last), timeout=None if follow else self._deadline
        )
        try:
            async for record in call:
                yield record
        except grpc.aio.AioRpcError as error:
            raise translated(error, self._path) from error
        finally:
            call.cancel()


def translated(error: grpc.aio.AioRpcError, path: Path) -> RemoteError | ConfigError:
    """An error of a call on the socket, as one of ours."""
    hints = [value for key, value in error.trailing_metadata() or () if key == HINT_KEY]
    hint = hints[0].decode() if hints and isinstance(hints[0], bytes) else None
    message, code = error.details() or error.code().name, error.code()
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return ConfigError(message, hint=hint)
    if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}:
        return Unavailable(f"the signer at {path} did not answer: {message}", hint=hint, code=code.name)
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return AccessDenied(message, hint=hint, code=code.name)
    return ProtocolViolation(f"the signer at {path}: {message}", hint=hint, code=code.name)
