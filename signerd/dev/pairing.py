"""How a new device meets an old one: PairDevice, GetPairingData, ApprovePairing."""

from __future__ import annotations

import asyncio
import unicodedata
from dataclasses import dataclass

import grpc

from signerd.core import csr
from signerd.core.keys import p256
from signerd.core.runes import rune as runes
from signerd.dev import rpc
from signerd.dev.backend import Backend
from signerd.dev.node import HostedNode
from signerd.errors import MalformedMessage, SignerdError
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb

MAX_NAME = 64

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_DENIED = grpc.StatusCode.PERMISSION_DENIED


@dataclass(eq=False, slots=True)
class Session:
    """A new device that waits, for as long as its PairDevice call lasts."""

    request: pb.PairDeviceRequest
    outcome: asyncio.Future[pb.PairDeviceResponse | rpc.Refusal]
    approvals: set[asyncio.Task[None]]


class PairingService:
    """Sessions by device id (130 hex characters); they are kept nowhere else."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.sessions: dict[str, Session] = {}

    def methods(self) -> dict[str, rpc.Method]:
        return {
            "PairDevice": rpc.unary(pb.PairDeviceRequest, self._pair_device),
            "GetPairingData": rpc.unary(pb.GetPairingDataRequest, self._get_pairing_data),
            "ApprovePairing": rpc.unary(pb.ApprovePairingRequest, self._approve_pairing),
        }

    async def _pair_device(self, request: pb.PairDeviceRequest, caller: rpc.Caller) -> pb.PairDeviceResponse:
        caller.require_anonymous()
        _check_new_device(request)
        if request.device_id in self.sessions:
            raise rpc.Refusal(grpc.StatusCode.ALREADY_EXISTS, "the device is waiting already")
        session = Session(request, asyncio.get_running_loop().create_future(), set())
        self.sessions[request.device_id] = session
        try:
            async with asyncio.timeout(self._backend.settings.pairing_timeout):
                outcome = await session.outcome
        except TimeoutError as error:
            raise rpc.Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "nobody approved the pairing") from error
        finally:
            del self.sessions[request.device_id]
            for approval in session.approvals:
                approval.cancel()
        if isinstance(outcome, rpc.Refusal):
            raise outcome
        return outcome

    async def _get_pairing_data(
        self, request: pb.GetPairingDataRequest, caller: rpc.Caller
    ) -> pb.GetPairingDataResponse:
        self._backend.node_of(caller)
        waiting = self._session(request.device_id).request
        return pb.GetPairingDataResponse(
            device_id=waiting.device_id,
            csr=waiting.csr,
            device_name=waiting.device_name,
            description=waiting.description,
            restrictions=waiting.restrictions,
        )

    async def _approve_pairing(
        self, request: pb.ApprovePairingRequest, caller: rpc.Caller
    ) -> greenlight_pb2.Empty:
        node = self._backend.node_of(caller)
        session = self._session(request.device_id)
        _check_approval(request, session.request, caller)
        # The approving device is not kept waiting for the signer; the new device is.
        task = asyncio.create_task(self._ask_the_signer(node, session, request))
        session.approvals.add(task)
        return greenlight_pb2.Empty()

    async def _ask_the_signer(
        self, node: HostedNode, session: Session, approval: pb.ApprovePairingRequest
    ) -> None:
        answer = await node.approvals.approve(approval)
        if session.outcome.done():
            return
        if answer is None:
            session.outcome.set_result(rpc.Refusal(_DENIED, "the signer refused the pairing"))
            return
        name = csr.common_name(node.node_id, approval.device_name)
        chain = self._backend.authority.device(
            node.node_id, session.request.csr, lifetime=self._backend.settings.device_lifetime, name=name
        ).decode("ascii")
        self._backend.ledger.add_device(node.node_id, approval.device_name, chain)
        session.outcome.set_result(
            pb.PairDeviceResponse(device_id=approval.device_id, device_cert=chain, rune=answer.rune)
        )

    def _session(self, device_id: str) -> Session:
        session = self.sessions.get(device_id)
        if session is None:
            raise rpc.Refusal(grpc.StatusCode.NOT_FOUND, "no such device is waiting to be paired")
        return session


def _check_new_device(request: pb.PairDeviceRequest) -> None:
    try:
        asked = csr.read(request.csr)
    except MalformedMessage as error:
        raise rpc.Refusal(_INVALID, error.message) from error
    if not asked.signature_valid:
        raise rpc.Refusal(_DENIED, "the certificate request is not signed by its own key")
    if asked.public_key.hex() != request.device_id:
        raise rpc.Refusal(_INVALID, "the certificate request is for another key than the device id")
    if asked.common_name != csr.pairing_common_name(request.device_name):
        raise rpc.Refusal(_INVALID, "the certificate request is for another name than the device's")
    if not 0 < len(request.device_name) <= MAX_NAME or any(
        unicodedata.category(character) == "Cc" for character in request.device_name
    ):
        raise rpc.Refusal(_INVALID, f"a device name has 1 to {MAX_NAME} printable characters")


def _check_approval(
    request: pb.ApprovePairingRequest, waiting: pb.PairDeviceRequest, caller: rpc.Caller
) -> None:
    """What can be told without the rune secret; whether to trust the approver is the signer's to say."""
    if (request.device_name, request.restrictions) != (waiting.device_name, waiting.restrictions):
        raise rpc.Refusal(_INVALID, "the approval is for another name or restrictions than the device's")
    if request.pubkey != caller.public_key():
        raise rpc.Refusal(_DENIED, "the approval is signed by another key than the caller's")
    signed = (
        request.device_id.encode()
        + request.timestamp.to_bytes(8, "big")
        + caller.node_id
        + request.device_name.encode()
        + request.restrictions.encode()
    )
    if not p256.verify(request.pubkey, request.sig, signed):
        raise rpc.Refusal(_DENIED, "the signature of the approval is wrong")
    try:
        runes.Rune.from_base64(request.rune)
    except SignerdError as error:
        raise rpc.Refusal(_INVALID, "the approver's rune cannot be decoded") from error
