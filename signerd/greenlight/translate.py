"""Protobuf ↔ the core's values: protobufs stop here."""

from __future__ import annotations

from signerd.core.pairing import Approved, Denied, PairingApproval
from signerd.core.requests import Context, Entry, PendingRequest, Refusal, Signed, SigningRequest
from signerd.errors import MalformedMessage
from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2


def signing_request(message: greenlight_pb2.HsmRequest) -> SigningRequest:
    """A node's request as the core reads it."""
    return SigningRequest(
        id=message.request_id,
        raw=message.raw,
        context=_context(message.context) if message.HasField("context") else None,
        entries=tuple([Entry(e.key, e.version, e.value, e.signature) for e in message.signer_state]),
        pending=tuple(
            [
                PendingRequest(p.uri, p.request, p.signature, p.pubkey, p.timestamp, p.rune)
                for p in message.requests
            ]
        ),
    )


def hsm_response(request_id: int, outcome: Signed | Refusal) -> greenlight_pb2.HsmResponse:
    """The answer for the wire; a refusal is an `error` text and nothing else."""
    if isinstance(outcome, Refusal):
        return greenlight_pb2.HsmResponse(request_id=request_id, error=str(outcome))
    return greenlight_pb2.HsmResponse(request_id=request_id, raw=outcome.reply)


def pairing_approval(message: scheduler_pb2.SignerRequest) -> PairingApproval:
    """The approval in a scheduler's request. Raises MalformedMessage if it holds none."""
    if message.WhichOneof("request") != "approve_pairing":
        raise MalformedMessage("the scheduler's request is not one that this signer knows")
    asked = message.approve_pairing
    return PairingApproval(
        device_id=asked.device_id,
        timestamp=asked.timestamp,
        device_name=asked.device_name,
        restrictions=asked.restrictions,
        sig=asked.sig,
        pubkey=asked.pubkey,
        rune=asked.rune,
    )


def signer_response(request_id: int, outcome: Approved | Denied) -> scheduler_pb2.SignerResponse:
    """The answer for the wire; a denial is the `empty` member."""
    if isinstance(outcome, Denied):
        return empty_response(request_id)
    return scheduler_pb2.SignerResponse(
        request_id=request_id,
        approve_pairing=scheduler_pb2.ApprovePairingResponse(
            device_id=outcome.device_id, node_id=outcome.node_id, rune=outcome.rune
        ),
    )


def empty_response(request_id: int) -> scheduler_pb2.SignerResponse:
    """An answer that grants nothing."""
    return scheduler_pb2.SignerResponse(request_id=request_id, empty=greenlight_pb2.Empty())


def _context(message: greenlight_pb2.HsmRequestContext) -> Context:
    return Context(message.node_id, message.dbid, message.capabilities)
