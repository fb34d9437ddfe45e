"""Where a node runs: Schedule, GetNodeInfo, MaybeUpgrade."""

from __future__ import annotations

from dataclasses import replace

import grpc

from signerd.dev import rpc, startup
from signerd.dev.backend import Backend
from signerd.dev.listener import Listener
from signerd.dev.node import HostedNode
from signerd.dev.registration import VERSION_PATTERN
from signerd.greenlight.pb import scheduler_pb2 as pb


class PlacementService:
    """Starts and stops the nodes' own servers; a placed node keeps its port until it is stopped."""

    def __init__(self, backend: Backend, router: rpc.Router) -> None:
        self._backend = backend
        self._router = router

    def methods(self) -> dict[str, rpc.Method]:
        return {
            "Schedule": rpc.unary(pb.ScheduleRequest, self._schedule),
            "GetNodeInfo": rpc.unary(pb.NodeInfoRequest, self._get_node_info),
            "MaybeUpgrade": rpc.unary(pb.UpgradeRequest, self._maybe_upgrade),
        }

    async def place(self, node: HostedNode) -> None:
        """Start a node, unless it runs."""
        async with self._backend.placement_changed:
            if node.listener is None:
                listener = Listener(
                    [self._router.service("greenlight.Node", node.methods())],
                    self._backend.authority.node(node.node_id),
                    self._backend.authority.ca_pem,
                    strict_pings=self._backend.settings.strict_pings,
                    compression=self._backend.settings.compression,
                )
                await listener.serve()
                node.listener = listener
                node.session_id += 1
                self._backend.placement_changed.notify_all()

    async def stop(self, node: HostedNode) -> None:
        """Stop a node: its streams end, its address is nobody's, and it is not placed any more."""
        listener, node.listener = node.listener, None
        if listener:
            await listener.close()
        async with self._backend.placement_changed:
            self._backend.placement_changed.notify_all()

    async def _schedule(self, request: pb.ScheduleRequest, caller: rpc.Caller) -> pb.NodeInfoResponse:
        node = self._backend.node_of(caller, request.node_id)
        _require_here(node)
        await self.place(node)
        return _info(node)

    async def _get_node_info(self, request: pb.NodeInfoRequest, caller: rpc.Caller) -> pb.NodeInfoResponse:
        node = self._backend.node_of(caller, request.node_id)
        if request.wait:
            async with self._backend.placement_changed:
                await self._backend.placement_changed.wait_for(
                    lambda: node.listener is not None or node.registration.export is not None
                )
        _require_here(node)
        return _info(node)

    async def _maybe_upgrade(self, request: pb.UpgradeRequest, caller: rpc.Caller) -> pb.UpgradeResponse:
        node = self._backend.node_of(caller)
        if not VERSION_PATTERN.fullmatch(request.signer_version):
            raise rpc.Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, f"there is no signer version {request.signer_version!r}"
            )
        before = node.registration
        # The init message is deprecated here: the startup messages hold it too.
        init_msg = request.initmsg or before.init_msg
        messages = tuple((m.request, m.response) for m in request.startupmsgs)
        startup.check(node.node_id, before.network, init_msg, messages)
        node.registration = replace(
            before, version=request.signer_version, init_msg=init_msg, startup=messages
        )
        return pb.UpgradeResponse(old_version=before.version)


def _require_here(node: HostedNode) -> None:
    if node.registration.export is not None:
        raise rpc.Refusal(
            grpc.StatusCode.FAILED_PRECONDITION, "the node was exported and cannot be scheduled any more"
        )


def _info(node: HostedNode) -> pb.NodeInfoResponse:
    return pb.NodeInfoResponse(node_id=node.node_id, grpc_uri=node.grpc_uri, session_id=node.session_id)
