"""The scheduler's client: every method of Scheduler, Pairing and Debug as one typed coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import grpc.aio

from signerd.core.startup import StartupMessage
from signerd.errors import ProtocolViolation
from signerd.greenlight import endpoint, transport
from signerd.greenlight.calls import Caller, Conversation, message
from signerd.greenlight.pairing import PairingCalls
from signerd.greenlight.pb import greenlight_pb2, scheduler_pb2
from signerd.greenlight.transport import ClientOptions, Identity
from signerd.greenlight.values import (
    AddedWebhook,
    ChallengeScope,
    InviteCode,
    IssuedCertificate,
    NodeInfo,
    Webhook,
)
from signerd.units import Network, NodeId

CHALLENGE_SIZE = 32

SignerRequests = Conversation[scheduler_pb2.SignerRequest, scheduler_pb2.SignerResponse]


class SchedulerClient(PairingCalls):
    """A connection to a scheduler: `async with SchedulerClient(uri, identity) as scheduler`.

    Every method takes a `deadline` in seconds instead of the options' own, and raises: Unavailable (try again
    later), Rejected with NotFound and AlreadyExists (do not), AccessDenied (our credentials are refused) or
    ProtocolViolation (an answer that no honest scheduler gives). Node ids have 33 bytes.
    """

    def __init__(self, uri: str, identity: Identity, options: ClientOptions | None = None) -> None:
        self._uri = uri
        self._identity = identity
        self._options = options or ClientOptions()
        self._channel: grpc.aio.Channel | None = None
        self._caller: Caller | None = None

    async def __aenter__(self) -> Self:
        """Raises ConfigError for the URI or the origin, CredentialsError for the identity."""
        self._channel = transport.open_channel(self._uri, self._identity, self._options)
        peer = f"the scheduler at {endpoint.parse(self._uri)}"
        self._caller = Caller(self._channel, self._options, peer=peer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._caller is not None:
            await self._caller.close()

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as anybody knows."""
        return self._channel is not None and self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def lost(self) -> float:
        """Wait until a connection that stood is lost, or this client is closed: how many seconds it stood."""
        now = asyncio.get_running_loop().time
        channel: grpc.aio.Channel | None = self._channel
        since: float | None = None
        while channel is not None and self._channel is channel:
            state = channel.get_state()
            is_ready = state is grpc.ChannelConnectivity.READY
            if state is grpc.ChannelConnectivity.SHUTDOWN or (since is not None and not is_ready):
                break
            if is_ready and since is None:
                since = now()
            await channel.wait_for_state_change(state)
        return 0.0 if since is None else now() - since

    # Identity

    async def get_challenge(
        self, scope: ChallengeScope, node_id: bytes, *, deadline: float | None = None
    ) -> bytes:
        """32 bytes to be signed, good once and for this scope."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/GetChallenge",
            scheduler_pb2.ChallengeRequest(
                scope=scheduler_pb2.ChallengeScope.Value(scope.name), node_id=node_id
            ),
            scheduler_pb2.ChallengeResponse,
            doing="get a challenge",
            deadline=deadline,
            repeatable=True,
        )
        if len(reply.challenge) != CHALLENGE_SIZE:
            raise ProtocolViolation(
                f"the scheduler's challenge has {len(reply.challenge)} bytes instead of {CHALLENGE_SIZE}",
                hint="nothing was signed; check that the URI leads to a Greenlight scheduler",
            )
        return reply.challenge

    async def register(
        self,
        *,
        node_id: bytes,
        bip32_key: bytes,
        startup_messages: Iterable[StartupMessage],
        network: Network,
        challenge: bytes,
        signature: bytes,
        signer_version: str,
        init_message: bytes,
        csr: bytes,
        invite_code: str = "",
        deadline: float | None = None,
    ) -> IssuedCertificate:
        """Create a node. `bip32_key` 78 bytes, `signature` 64, `init_message` with its type, `csr` PEM."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/Register",
            message(
                scheduler_pb2.RegistrationRequest,
                node_id=node_id,
                bip32_key=bip32_key,
                startupmsgs=_startup(startup_messages),
                network=network,
                challenge=challenge,
                signature=signature,
                signer_proto=signer_version,
                init_msg=init_message,
                csr=csr,
                invite_code=invite_code,
            ),
            scheduler_pb2.RegistrationResponse,
            doing="register the node",
            deadline=deadline,
        )
        return IssuedCertificate(reply.device_cert, reply.device_key)

    async def recover(
        self,
        *,
        node_id: bytes,
        challenge: bytes,
        signature: bytes,
        csr: bytes,
        deadline: float | None = None,
    ) -> IssuedCertificate:
        """A new certificate for a node that exists. `signature` 64 bytes, `csr` PEM."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/Recover",
            scheduler_pb2.RecoveryRequest(challenge=challenge, signature=signature, node_id=node_id, csr=csr),
            scheduler_pb2.RecoveryResponse,
            doing="recover the node's credentials",
            deadline=deadline,
        )
        return IssuedCertificate(reply.device_cert, reply.device_key)

    # The node

    async def schedule(self, node_id: bytes, *, deadline: float | None = None) -> NodeInfo:
        """Start the node unless it runs, and say where."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/Schedule",
            scheduler_pb2.ScheduleRequest(node_id=node_id),
            scheduler_pb2.NodeInfoResponse,
            doing="schedule the node",
            deadline=deadline,
            repeatable=True,
        )
        return _node_info(reply, node_id)

    async def get_node_info(
        self, node_id: bytes, *, wait: bool = False, deadline: float | None = None
    ) -> NodeInfo:
        """Where the node is, without starting it. `wait` holds the call (`long_deadline`) until it runs."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/GetNodeInfo",
            scheduler_pb2.NodeInfoRequest(node_id=node_id, wait=wait),
            scheduler_pb2.NodeInfoResponse,
            doing="ask where the node is",
            deadline=deadline,
            waits=wait,
            repeatable=True,
        )
        return _node_info(reply, node_id)

    async def maybe_upgrade(
        self,
        signer_version: str,
        init_message: bytes,
        startup_messages: Iterable[StartupMessage],
        *,
        deadline: float | None = None,
    ) -> str:
        """Announce our version and canned answers; the version that the node ran before."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/MaybeUpgrade",
            scheduler_pb2.UpgradeRequest(
                signer_version=signer_version,
                initmsg=init_message,
                startupmsgs=_startup(startup_messages),
            ),
            scheduler_pb2.UpgradeResponse,
            doing="announce the signer's version",
            deadline=deadline,
            repeatable=True,
        )
        return reply.old_version

    async def list_invite_codes(self, *, deadline: float | None = None) -> list[InviteCode]:
        """The invite codes of the node."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/ListInviteCodes",
            scheduler_pb2.ListInviteCodesRequest(),
            scheduler_pb2.ListInviteCodesResponse,
            doing="list the invite codes",
            deadline=deadline,
            repeatable=True,
        )
        return [InviteCode(item.code, item.is_redeemed) for item in reply.invite_code_list]

    async def export_node(self, *, deadline: float | None = None, once: bool = False) -> str:
        """Take the node off Greenlight; the URL of its encrypted export. Asking again gives it again.

        `once` repeats nothing, so that a rejection is the answer to the only request that there was.
        """
        reply = await self._calls.unary(
            "/scheduler.Scheduler/ExportNode",
            scheduler_pb2.ExportNodeRequest(),
            scheduler_pb2.ExportNodeResponse,
            doing="export the node",
            deadline=deadline,
            repeatable=not once,
        )
        return reply.url

    # Webhooks

    async def add_outgoing_webhook(
        self, node_id: bytes, uri: str, *, deadline: float | None = None
    ) -> AddedWebhook:
        """Have events sent to `uri`."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/AddOutgoingWebhook",
            message(scheduler_pb2.AddOutgoingWebhookRequest, node_id=node_id, uri=uri),
            scheduler_pb2.AddOutgoingWebhookResponse,
            doing="add the webhook",
            deadline=deadline,
        )
        return AddedWebhook(reply.id, reply.secret)

    async def list_outgoing_webhooks(self, node_id: bytes, *, deadline: float | None = None) -> list[Webhook]:
        """The node's webhooks."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/ListOutgoingWebhooks",
            scheduler_pb2.ListOutgoingWebhooksRequest(node_id=node_id),
            scheduler_pb2.ListOutgoingWebhooksResponse,
            doing="list the webhooks",
            deadline=deadline,
            repeatable=True,
        )
        return [Webhook(item.id, item.uri) for item in reply.outgoing_webhooks]

    async def delete_webhooks(
        self, node_id: bytes, ids: Sequence[int], *, deadline: float | None = None
    ) -> None:
        """Remove webhooks."""
        await self._calls.unary(
            "/scheduler.Scheduler/DeleteWebhooks",
            message(scheduler_pb2.DeleteOutgoingWebhooksRequest, node_id=node_id, ids=ids),
            greenlight_pb2.Empty,
            doing="delete webhooks",
            deadline=deadline,
        )

    async def rotate_outgoing_webhook_secret(
        self, node_id: bytes, webhook_id: int, *, deadline: float | None = None
    ) -> str:
        """A new HMAC secret for one webhook."""
        reply = await self._calls.unary(
            "/scheduler.Scheduler/RotateOutgoingWebhookSecret",
            message(scheduler_pb2.RotateOutgoingWebhookSecretRequest, node_id=node_id, webhook_id=webhook_id),
            scheduler_pb2.WebhookSecretResponse,
            doing="rotate the webhook's secret",
            deadline=deadline,
        )
        return reply.secret

    # The signer

    def signer_requests(self) -> SignerRequests:
        """The stream of the scheduler's own requests. Enter it, iterate it, and `answer` on it."""
        return self._calls.conversation(
            "/scheduler.Scheduler/SignerRequestsStream",
            scheduler_pb2.SignerRequest,
            doing="take the scheduler's requests",
        )

    async def report_signer_rejection(
        self,
        *,
        node_id: bytes,
        message: str,
        request: greenlight_pb2.HsmRequest,
        git_version: str,
        deadline: float | None = None,
    ) -> None:
        """Tell the operator that we refused a request. It sends the whole request: strip it first."""
        await self._calls.unary(
            "/scheduler.Debug/ReportSignerRejection",
            scheduler_pb2.SignerRejection(
                msg=message, request=request, git_version=git_version, node_id=node_id
            ),
            greenlight_pb2.Empty,
            doing="report a refusal",
            deadline=deadline,
        )

    @property
    def _calls(self) -> Caller:
        if self._caller is None:
            raise RuntimeError("a SchedulerClient is used inside `async with`")
        return self._caller


def _startup(messages: Iterable[StartupMessage]) -> list[scheduler_pb2.StartupMessage]:
    return [scheduler_pb2.StartupMessage(request=m.request, response=m.response) for m in messages]


def _node_info(reply: scheduler_pb2.NodeInfoResponse, node_id: bytes) -> NodeInfo:
    # Some schedulers leave the id out.
    if reply.node_id not in (b"", node_id):
        raise ProtocolViolation(f"the scheduler answered about another node: {reply.node_id[:40].hex()}")
    return NodeInfo(NodeId(node_id), reply.grpc_uri, reply.session_id)
