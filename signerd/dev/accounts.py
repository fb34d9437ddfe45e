"""What a node owns beside itself: invite codes and webhooks."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import grpc

from signerd.dev import rpc
from signerd.dev.backend import Backend
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb


class AccountService:
    """ListInviteCodes and the four webhook methods."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def methods(self) -> dict[str, rpc.Method]:
        return {
            "ListInviteCodes": rpc.unary(pb.ListInviteCodesRequest, self._list_invite_codes),
            "AddOutgoingWebhook": rpc.unary(pb.AddOutgoingWebhookRequest, self._add_webhook),
            "ListOutgoingWebhooks": rpc.unary(pb.ListOutgoingWebhooksRequest, self._list_webhooks),
            "DeleteWebhooks": rpc.unary(pb.DeleteOutgoingWebhooksRequest, self._delete_webhooks),
            "RotateOutgoingWebhookSecret": rpc.unary(
                pb.RotateOutgoingWebhookSecretRequest, self._rotate_secret
            ),
        }

    async def _list_invite_codes(
        self, _request: pb.ListInviteCodesRequest, caller: rpc.Caller
    ) -> pb.ListInviteCodesResponse:
        node = self._backend.node_of(caller)
        codes = self._backend.ledger.invites(node.node_id)
        return pb.ListInviteCodesResponse(
            invite_code_list=[pb.InviteCode(code=c.code, is_redeemed=c.redeemed) for c in codes]
        )

    async def _add_webhook(
        self, request: pb.AddOutgoingWebhookRequest, caller: rpc.Caller
    ) -> pb.AddOutgoingWebhookResponse:
        node = self._backend.node_of(caller, request.node_id)
        if not _is_web_address(request.uri):
            raise rpc.Refusal(grpc.StatusCode.INVALID_ARGUMENT, f"{request.uri!r} is no http(s) address")
        secret = secrets.token_hex(16)
        hook_id = self._backend.ledger.add_webhook(node.node_id, request.uri, secret)
        return pb.AddOutgoingWebhookResponse(id=hook_id, secret=secret)

    async def _list_webhooks(
        self, request: pb.ListOutgoingWebhooksRequest, caller: rpc.Caller
    ) -> pb.ListOutgoingWebhooksResponse:
        node = self._backend.node_of(caller, request.node_id)
        hooks = self._backend.ledger.webhooks(node.node_id)
        return pb.ListOutgoingWebhooksResponse(
            outgoing_webhooks=[pb.Webhook(id=hook.hook_id, uri=hook.uri) for hook in hooks]
        )

    async def _delete_webhooks(
        self, request: pb.DeleteOutgoingWebhooksRequest, caller: rpc.Caller
    ) -> greenlight_pb2.Empty:
        node = self._backend.node_of(caller, request.node_id)
        self._require_hooks(node.node_id, set(request.ids))
        self._backend.ledger.delete_webhooks(node.node_id, request.ids)
        return greenlight_pb2.Empty()

    async def _rotate_secret(
        self, request: pb.RotateOutgoingWebhookSecretRequest, caller: rpc.Caller
    ) -> pb.WebhookSecretResponse:
        node = self._backend.node_of(caller, request.node_id)
        self._require_hooks(node.node_id, {request.webhook_id})
        secret = secrets.token_hex(16)
        self._backend.ledger.set_webhook_secret(node.node_id, request.webhook_id, secret)
        return pb.WebhookSecretResponse(secret=secret)

    def _require_hooks(self, node_id: bytes, ids: set[int]) -> None:
        unknown = ids - {hook.hook_id for hook in self._backend.ledger.webhooks(node_id)}
        if unknown:
            raise rpc.Refusal(grpc.StatusCode.NOT_FOUND, f"the node has no webhook {min(unknown)}")


def _is_web_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
