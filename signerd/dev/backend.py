"""What the services of the local Greenlight share: nodes, memory, certificates and settings."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from signerd.dev import rpc
from signerd.dev.certificates import Authority
from signerd.dev.ledger import Ledger, Registration
from signerd.dev.node import HostedNode
from signerd.dev.signer_requests import SignerRequests

DEFAULT_EXPORT = b"""--
-- PostgreSQL database dump
--
-- A pretend wallet of the local Greenlight; no node will start from it.
SET client_encoding = 'UTF8';
CREATE TABLE vars (name text PRIMARY KEY, intval integer);
INSERT INTO vars VALUES ('data_version', 1);
--
-- PostgreSQL database dump complete
--
"""


@dataclass(slots=True)
class Settings:
    """How the service behaves when it behaves; may be changed at any time. Times in seconds."""

    require_invite_codes: bool = False
    """Nobody registers without one; a developer does."""
    challenge_lifetime: float = 60.0
    pairing_timeout: float = 300.0
    device_lifetime: datetime.timedelta = datetime.timedelta(days=3650)
    """Negative: device certificates are issued expired."""
    export_payload: bytes = DEFAULT_EXPORT
    strict_pings: bool = False
    """C-core's own ping rules, which the reference client breaks."""
    compression: grpc.Compression | None = None
    """Of the answers; None sends them as they are."""
    clock: Callable[[], float] = time.time


class Backend:
    """The shared part. `placement_changed` is notified when a node is placed, stopped or exported."""

    def __init__(self, authority: Authority, ledger: Ledger, settings: Settings) -> None:
        self.authority = authority
        self.ledger = ledger
        self.settings = settings
        self.placement_changed = asyncio.Condition()
        self._request_ids = itertools.count(1)
        self.nodes: dict[bytes, HostedNode] = {}
        for registration in ledger.nodes():
            self.add_node(registration)

    def add_node(self, registration: Registration) -> HostedNode:
        approvals = SignerRequests(registration.node_id, self._request_ids)
        node = HostedNode(registration, self.ledger, approvals)
        self.nodes[registration.node_id] = node
        return node

    def node_of(self, caller: rpc.Caller, named: bytes | None = None) -> HostedNode:
        """The node that the calling device belongs to; `named` is the node id of the request, if it has one.

        Raises rpc.Refusal: PERMISSION_DENIED for another caller or another node, NOT_FOUND.
        """
        node_id = caller.require_device().node_id
        if named is not None and named != node_id:
            raise rpc.Refusal(grpc.StatusCode.PERMISSION_DENIED, "the device belongs to another node")
        node = self.nodes.get(node_id)
        if node is None:
            raise rpc.Refusal(grpc.StatusCode.NOT_FOUND, f"node {node_id.hex()} is not registered")
        return node
