"""Call the Pairing service of a running signer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from signerd.control.client import HINT_KEY, ControlClient, translated
from signerd.control.pairing import RULE_KEY
from signerd.control.pb import control_pb2 as pb
from signerd.control.pb import control_pb2_grpc
from signerd.errors import Refused, SignerdError

Reply = TypeVar("Reply")

DEADLINE = 20.0


class PairingClient(ControlClient):
    """As ControlClient; what the signer refuses is raised as Refused, with its rule."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._socket = path

    async def waiting(self) -> pb.ListPairingsReply:
        """What waits for a person."""
        return await self._call("List", pb.ListPairingsRequest(), pb.ListPairingsReply)

    async def approve(self, number: int) -> pb.DecidePairingReply:
        """Let the new device have its rune."""
        return await self._call("Approve", pb.DecidePairingRequest(number=number), pb.DecidePairingReply)

    async def deny(self, number: int) -> pb.DecidePairingReply:
        """Say no."""
        return await self._call("Deny", pb.DecidePairingRequest(number=number), pb.DecidePairingReply)

    async def devices(self) -> list[pb.Device]:
        """Every device that is known."""
        found: list[pb.Device] = []
        offset = 0
        while True:
            reply = await self._call("Devices", pb.DevicesRequest(offset=offset), pb.DevicesReply)
            found += reply.devices
            if reply.next <= offset:
                return found
            offset = reply.next

    async def revoke(self, device: str, *, with_paired: bool) -> pb.RevokeDeviceReply:
        """Believe a device no more."""
        request = pb.RevokeDeviceRequest(device=device, with_paired=with_paired)
        return await self._call("Revoke", request, pb.RevokeDeviceReply)

    async def _call(self, method: str, request: Any, _kind: type[Reply]) -> Reply:
        # The generated stubs are untyped.
        stub: Any = control_pb2_grpc.PairingStub(self.channel)
        try:
            reply: Reply = await getattr(stub, method)(request, timeout=DEADLINE)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) or translated(error, self._socket) from error
        return reply


def _refused(error: grpc.aio.AioRpcError) -> SignerdError | None:
    said = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, bytes)}
    if error.code() is not grpc.StatusCode.FAILED_PRECONDITION or RULE_KEY not in said:
        return None
    hint = said[HINT_KEY].decode() if HINT_KEY in said else None
    return Refused(said[RULE_KEY].decode(), error.details() or "refused", hint=hint)
