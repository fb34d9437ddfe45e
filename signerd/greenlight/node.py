"""The node's client, as far as a signer needs it: take its requests, answer them."""

from __future__ import annotations

import dataclasses
import ssl
from types import TracebackType
from typing import Self

from signerd.greenlight import endpoint as endpoints
from signerd.greenlight import peer_certificate, transport
from signerd.greenlight.calls import Caller, Subscription
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.known_entries import KnownEntries
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.transport import MIB, ClientOptions, Identity

MESSAGE_LIMIT = 64 * MIB
"""Requests carry the signer's state, which grows with the channels; other clients stop at 4 MiB."""

MOST_ENTRIES = 100_000
"""State entries and pending requests in one message; ten thousand channels have some twenty thousand."""

HOSTED_DOMAIN = "blckstrm"

HsmRequests = Subscription[greenlight_pb2.HsmRequest]


class NodeClient:
    """A connection to our node at the URI that the scheduler handed out.

    `async with NodeClient(uri, identity, node_id=…) as node` connects, and makes sure that the other side is
    that node. Its methods raise Unavailable, Rejected, AccessDenied or ProtocolViolation.
    """

    def __init__(
        self,
        uri: str,
        identity: Identity,
        options: ClientOptions | None = None,
        *,
        node_id: bytes,
        message_limit: int = MESSAGE_LIMIT,
    ) -> None:
        """`message_limit` in bytes, for what we receive, instead of the options' own."""
        self._uri = uri
        self._identity = identity
        self._options = dataclasses.replace(
            options or ClientOptions(), max_decoding_message_size=message_limit
        )
        self._node_id = node_id
        self._caller: Caller | None = None

    async def __aenter__(self) -> Self:
        """Raises ProtocolViolation for the URI, or if somebody else answers there; Unavailable if nobody."""
        endpoint = endpoints.parse(self._uri, handed_out=True)
        name = server_name(endpoint)
        leaf = await peer_certificate.fetch(
            endpoint, self._identity, server_name=name, seconds=self._options.deadline
        )
        peer_certificate.check(leaf, node_id=self._node_id, endpoint=endpoint)
        # One certificate is all that gRPC may accept: it accepts a leaf as its own trust anchor.
        pinned = dataclasses.replace(self._identity, ca=ssl.DER_cert_to_PEM_cert(leaf).encode("ascii"))
        channel = transport.open_channel(self._uri, pinned, self._options, server_name=name, handed_out=True)
        self._caller = Caller(channel, self._options, peer=f"the node at {endpoint}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; what is called on it fails with Unavailable."""
        if self._caller is not None:
            await self._caller.close()

    def requests(self, known: KnownEntries | None = None) -> HsmRequests:
        """The node's requests: those still unanswered first, then new ones. Enter it, then iterate.

        State entries that are `known` are left out of them.
        """
        known = known or KnownEntries()
        return self._calls.subscription(
            "/greenlight.Node/StreamHsmRequests",
            greenlight_pb2.Empty(),
            greenlight_pb2.HsmRequest,
            doing="take the node's requests",
            parsed=lambda raw: known.left_out(raw, MOST_ENTRIES),
        )

    async def respond(self, response: greenlight_pb2.HsmResponse, *, deadline: float | None = None) -> None:
        """Send one answer."""
        await self._calls.unary(
            "/greenlight.Node/RespondHsmRequest",
            response,
            greenlight_pb2.Empty,
            doing="answer the node",
            deadline=deadline,
        )

    @property
    def _calls(self) -> Caller:
        if self._caller is None:
            raise RuntimeError("a NodeClient is used inside `async with`")
        return self._caller


def server_name(endpoint: Endpoint) -> str:
    """The name that a node's certificate must carry: its own at the hosted service, else `localhost`."""
    return endpoint.host if HOSTED_DOMAIN in endpoint.host else "localhost"
