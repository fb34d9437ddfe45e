"""Who may have a device certificate: GetChallenge, Register, Recover."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass

import grpc

from signerd.core import csr
from signerd.core.keys import secp256k1
from signerd.dev import rpc, startup
from signerd.dev.backend import Backend
from signerd.dev.ledger import Registration
from signerd.errors import MalformedMessage
from signerd.greenlight.pb import scheduler_pb2 as pb
from signerd.units import NETWORKS

VERSION_PATTERN = re.compile(r"v\d{2}\.\d{2}(\.\d+)?(gl\d+)?")
INVITES_PER_NODE = 2

_LIGHTNING_TAG = b"Lightning Signed Message:"
_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_DENIED = grpc.StatusCode.PERMISSION_DENIED
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@dataclass(frozen=True, slots=True)
class _Challenge:
    scope: int
    node_id: bytes
    expires_at: float


class RegistrationService:
    """Challenges live in memory: they are younger than any restart."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._challenges: dict[bytes, _Challenge] = {}

    def methods(self) -> dict[str, rpc.Method]:
        return {
            "GetChallenge": rpc.unary(pb.ChallengeRequest, self._get_challenge),
            "Register": rpc.unary(pb.RegistrationRequest, self._register),
            "Recover": rpc.unary(pb.RecoveryRequest, self._recover),
        }

    async def _get_challenge(self, request: pb.ChallengeRequest, caller: rpc.Caller) -> pb.ChallengeResponse:
        caller.require_anonymous()
        _check_node_id(request.node_id)
        if request.scope not in (pb.REGISTER, pb.RECOVER):
            raise rpc.Refusal(_INVALID, f"there is no challenge scope {request.scope}")
        now = self._backend.settings.clock()
        self._challenges = {k: c for k, c in self._challenges.items() if now < c.expires_at}
        challenge = secrets.token_bytes(32)
        expires_at = now + self._backend.settings.challenge_lifetime
        self._challenges[challenge] = _Challenge(request.scope, request.node_id, expires_at)
        return pb.ChallengeResponse(challenge=challenge)

    async def _register(self, request: pb.RegistrationRequest, caller: rpc.Caller) -> pb.RegistrationResponse:
        caller.require_anonymous()
        _check_node_id(request.node_id)
        self._check_challenge(request.challenge, request.signature, request.node_id, pb.REGISTER)
        name = _check_csr(request.csr, request.node_id)
        registration = _check_registration(request)
        if request.node_id in self._backend.nodes:
            raise rpc.Refusal(
                grpc.StatusCode.ALREADY_EXISTS, f"node {request.node_id.hex()} is already registered"
            )
        self._check_invite(request.invite_code, caller)

        ledger = self._backend.ledger
        ledger.save_node(registration)
        if request.invite_code:
            ledger.redeem_invite(request.invite_code, request.node_id)
        for _ in range(INVITES_PER_NODE):
            ledger.add_invite(new_invite_code(), request.node_id)
        self._backend.add_node(registration)
        return pb.RegistrationResponse(device_cert=self._issue(request.node_id, name, request.csr))

    async def _recover(self, request: pb.RecoveryRequest, caller: rpc.Caller) -> pb.RecoveryResponse:
        caller.require_anonymous()
        _check_node_id(request.node_id)
        self._check_challenge(request.challenge, request.signature, request.node_id, pb.RECOVER)
        name = _check_csr(request.csr, request.node_id)
        if request.node_id not in self._backend.nodes:
            raise rpc.Refusal(grpc.StatusCode.NOT_FOUND, f"node {request.node_id.hex()} is not registered")
        return pb.RecoveryResponse(device_cert=self._issue(request.node_id, name, request.csr))

    def _check_challenge(self, challenge: bytes, signature: bytes, node_id: bytes, scope: int) -> None:
        """A challenge is spent by presenting it, whatever comes of it."""
        issued = self._challenges.pop(challenge, None)
        if issued is None:
            raise rpc.Refusal(_PRECONDITION, "the challenge was not issued, or is spent")
        if self._backend.settings.clock() >= issued.expires_at:
            raise rpc.Refusal(_PRECONDITION, "the challenge has expired")
        if issued.scope != scope:
            raise rpc.Refusal(_PRECONDITION, "the challenge was issued for another purpose")
        if issued.node_id != node_id:
            raise rpc.Refusal(_PRECONDITION, "the challenge was issued for another node")
        digest = hashlib.sha256(hashlib.sha256(_LIGHTNING_TAG + challenge).digest()).digest()
        if not secp256k1.verify_compact(node_id, signature, digest):
            raise rpc.Refusal(_DENIED, "the signature of the challenge is not the node's")

    def _check_invite(self, code: str, caller: rpc.Caller) -> None:
        if code and not self._backend.ledger.invite_is_open(code):
            raise rpc.Refusal(_PRECONDITION, "the invite code is unknown or was redeemed before")
        needed = self._backend.settings.require_invite_codes and caller.role == "nobody"
        if needed and not code:
            raise rpc.Refusal(_PRECONDITION, "an invite code is needed to register")

    def _issue(self, node_id: bytes, device: str, request_pem: bytes) -> str:
        chain = self._backend.authority.device(
            node_id, request_pem, lifetime=self._backend.settings.device_lifetime
        ).decode("ascii")
        self._backend.ledger.add_device(node_id, device, chain)
        return chain


def new_invite_code() -> str:
    return secrets.token_hex(8)


def _check_node_id(node_id: bytes) -> None:
    if not secp256k1.is_point(node_id):
        raise rpc.Refusal(_INVALID, "the node id is not a compressed point of 33 bytes")


def _check_csr(request_pem: bytes, node_id: bytes) -> str:
    """The device name of a certificate request. Raises rpc.Refusal."""
    try:
        request = csr.read(request_pem)
    except MalformedMessage as error:
        raise rpc.Refusal(_INVALID, error.message) from error
    if not request.signature_valid:
        raise rpc.Refusal(_DENIED, "the certificate request is not signed by its own key")
    prefix = csr.common_name(node_id, "")
    device = request.common_name.removeprefix(prefix)
    if not request.common_name.startswith(prefix) or not device:
        raise rpc.Refusal(_DENIED, f"the certificate request is not for {prefix}<device>")
    return device


def _check_registration(request: pb.RegistrationRequest) -> Registration:
    if request.network not in NETWORKS:
        raise rpc.Refusal(_INVALID, f"there is no network {request.network!r}")
    if not VERSION_PATTERN.fullmatch(request.signer_proto):
        raise rpc.Refusal(_INVALID, f"there is no signer version {request.signer_proto!r}")
    messages = tuple((m.request, m.response) for m in request.startupmsgs)
    startup.check(request.node_id, request.network, request.init_msg, messages)
    if request.bip32_key != startup.ext_key(request.init_msg):
        raise rpc.Refusal(_INVALID, "the bip32 key is not the one of the init message")
    return Registration(request.node_id, request.network, request.signer_proto, request.init_msg, messages)
