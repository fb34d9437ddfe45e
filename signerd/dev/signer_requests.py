"""What the scheduler asks the signers of one node: approvals of pairings (SignerRequestsStream)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field

from signerd.core.runes import rune as runes
from signerd.dev.journal import Journal
from signerd.errors import SignerdError
from signerd.greenlight.pb import scheduler_pb2 as pb


@dataclass(eq=False, slots=True)
class _Stream:
    requests: asyncio.Queue[pb.SignerRequest | None] = field(default_factory=asyncio.Queue)


@dataclass(eq=False, slots=True)
class _Pending:
    request: pb.SignerRequest
    outcome: asyncio.Future[pb.ApprovePairingResponse | None]
    asked: set[_Stream] = field(default_factory=set)
    declined: set[_Stream] = field(default_factory=set)


class SignerRequests:
    """All signers of one node are asked; the first rune wins, and it is a no when all have said no."""

    def __init__(self, node_id: bytes, ids: Iterator[int]) -> None:
        self._node_id = node_id
        self._ids = ids
        self._streams: set[_Stream] = set()
        self._pending: dict[int, _Pending] = {}
        self.attached = asyncio.Event()
        """Set while at least one signer's stream is open."""
        self.wrong_answers: Journal[str] = Journal()

    async def approve(self, approval: pb.ApprovePairingRequest) -> pb.ApprovePairingResponse | None:
        """Forward an approval unchanged and wait for the rune; None when every signer answered `empty`.

        Signers that attach while it waits are asked too. A cancelled call takes the question back.
        """
        request = pb.SignerRequest(request_id=next(self._ids), approve_pairing=approval)
        pending = _Pending(request, asyncio.get_running_loop().create_future())
        self._pending[request.request_id] = pending
        for stream in self._streams:
            self._send(pending, stream)
        try:
            return await pending.outcome
        finally:
            del self._pending[request.request_id]

    async def serve(
        self, responses: AsyncIterator[pb.SignerResponse]
    ) -> AsyncGenerator[pb.SignerRequest, None]:
        """One signer's stream, until it closes its side."""
        stream = _Stream()
        self._streams.add(stream)
        for pending in self._pending.values():
            self._send(pending, stream)
        self.attached.set()
        reader = asyncio.create_task(self._read(stream, responses))
        try:
            while (request := await stream.requests.get()) is not None:
                yield request
            # Raises what ended the reading, if it was not the signer's own will.
            await reader
        finally:
            reader.cancel()
            self._streams.discard(stream)
            for pending in self._pending.values():
                pending.asked.discard(stream)
                pending.declined.discard(stream)
            if not self._streams:
                self.attached.clear()

    def _send(self, pending: _Pending, stream: _Stream) -> None:
        pending.asked.add(stream)
        stream.requests.put_nowait(pending.request)

    async def _read(self, stream: _Stream, responses: AsyncIterator[pb.SignerResponse]) -> None:
        try:
            async for response in responses:
                self._answered(stream, response)
        finally:
            stream.requests.put_nowait(None)

    def _answered(self, stream: _Stream, response: pb.SignerResponse) -> None:
        pending = self._pending.get(response.request_id)
        if pending is None or pending.outcome.done():
            return  # another signer was faster, or the new device has given up
        if not response.HasField("approve_pairing"):
            pending.declined.add(stream)
            if pending.asked <= pending.declined:
                pending.outcome.set_result(None)
            return
        wrong = self._fault_of(pending.request.approve_pairing, response.approve_pairing)
        if wrong:
            self.wrong_answers.append(wrong)
        else:
            pending.outcome.set_result(response.approve_pairing)

    def _fault_of(self, asked: pb.ApprovePairingRequest, answer: pb.ApprovePairingResponse) -> str | None:
        """What is wrong with an approval, as far as one can tell without the rune secret."""
        if answer.device_id != asked.device_id:
            return "the approval names another device"
        if answer.node_id != self._node_id:
            return "the approval names another node"
        try:
            restrictions = runes.Rune.from_base64(answer.rune).restrictions
        except SignerdError as error:
            return f"the approval's rune cannot be decoded: {error}"
        if not any(a.field == "pubkey" for r in restrictions for a in r.alternatives):
            return "the approval's rune is bound to no key"
        return None
