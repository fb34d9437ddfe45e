"""The way to the scheduler and to the node, step by step; and what the clock says on it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from signerd.daemon.doctor.finding import Finding, failed, passed, skipped, warned
from signerd.errors import CredentialsError, ProtocolViolation, SignerdError
from signerd.greenlight import endpoint as endpoints
from signerd.greenlight import node, peer_certificate, probe
from signerd.units import UnixTime

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.greenlight.transport import Identity

STEPS = ("dns", "tcp", "tls", "scheduler", "node")
MOST_SECONDS = 60
"""By which two clocks may differ: approvals may be dated so far ahead."""
_TIME_ERROR = 5


class Network:
    """Looks at the way to the service. Each step needs the one before."""

    def __init__(
        self, settings: Settings, identity: Identity | None, node_id: bytes | None, now: UnixTime
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._node_id = node_id
        self._now = now
        self._seconds = min(10.0, settings.config.scheduler.deadline_seconds)

    async def look(self) -> AsyncIterator[Finding]:
        """What is not reached any more is skipped."""
        done = 0
        try:
            async for finding in self._steps():
                yield finding
                done += finding.check in STEPS
        except SignerdError as problem:
            yield failed(STEPS[done], problem)
            for check in STEPS[done + 1 :]:
                yield skipped(check, f"{STEPS[done]} does not work")

    async def _steps(self) -> AsyncIterator[Finding]:
        uri = self._settings.scheduler_uri
        endpoint = endpoints.parse(uri)
        found = await probe.addresses(endpoint, self._seconds)
        yield passed("dns", f"{endpoint.host} is {', '.join(found)}")
        took = await probe.connect(endpoint, found[0], self._seconds)
        yield passed("tcp", f"connected to {endpoint} in {took * 1000:.0f} ms")
        if self._identity is None or self._node_id is None:
            raise CredentialsError("there are no usable credentials to connect with", hint="see above")
        agreed = await probe.handshake(endpoint, found[0], self._identity, self._seconds)
        yield self._tls(agreed)
        answer = await probe.ask(uri, self._identity, self._node_id, self._seconds)
        where = f"the node runs at {answer.grpc_uri}" if answer.grpc_uri else "the node is not running"
        yield passed(
            "scheduler", f"it knows our credentials, and answered in {answer.seconds * 1000:.0f} ms: {where}"
        )
        if answer.server_time is not None:
            yield _clock_of(answer.server_time - self._now)
        if not answer.grpc_uri:
            yield passed(
                "node", "it is not running, so there is nothing to attach to (`signerd schedule` starts it)"
            )
            return
        yield await self._node(answer.grpc_uri, self._identity, self._node_id)

    def _tls(self, agreed: probe.Handshake) -> Finding:
        if agreed.alpn != "h2":
            raise ProtocolViolation(
                f"what answers does not speak HTTP/2 (it agreed to {agreed.alpn or 'nothing'})",
                hint="a proxy or a virus scanner takes it away: take signerd's traffic out of it",
            )
        left = (agreed.not_after - self._now) // 86_400
        return passed(
            "tls",
            f"{agreed.version}; its certificate leads to our CA, names the host and is good for {left} days",
        )

    async def _node(self, uri: str, identity: Identity, node_id: bytes) -> Finding:
        where = endpoints.parse(uri, handed_out=True)
        leaf = await peer_certificate.fetch(
            where, identity, server_name=node.server_name(where), seconds=self._seconds
        )
        peer_certificate.check(leaf, node_id=node_id, endpoint=where)
        return passed("node", f"{where} answers with a certificate that may be our node's")


def clock() -> Finding:
    """Whether the kernel thinks that this machine's clock is right (adjtimex(2))."""
    check = "clock-synchronised"
    if sys.platform != "linux":
        return skipped(check, "not known on this system")
    # struct timex with `modes` 0 only asks; it has 208 bytes on 64-bit machines.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))
    if state == _TIME_ERROR:
        return warned(
            check,
            "nothing keeps this machine's clock right",
            "turn time synchronisation on (`timedatectl set-ntp true`): pairing and certificates need it",
        )
    if state < 0:
        return skipped(check, "the kernel does not tell")
    return passed(check, "the kernel says that the clock is kept right")


def _clock_of(ahead: int) -> Finding:
    check = "clock-of-server"
    if abs(ahead) > MOST_SECONDS:
        side = "behind" if ahead > 0 else "ahead of"
        return failed(
            check,
            CredentialsError(
                f"this machine's clock is {abs(ahead)} s {side} the server's",
                hint="set it right: pairing approvals are refused, and certificates count as expired",
            ),
        )
    return passed(check, f"within {abs(ahead)} s of the server's")
