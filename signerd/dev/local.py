"""The local Greenlight itself: scheduler, pairing and debug services, a server per node, a file host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from signerd.dev import files, registration, rpc
from signerd.dev.accounts import AccountService
from signerd.dev.backend import Backend, Settings
from signerd.dev.certificates import Authority
from signerd.dev.exports import ExportService
from signerd.dev.faults import Fault, Faults
from signerd.dev.file_server import FileServer
from signerd.dev.journal import Calls, Journal
from signerd.dev.ledger import Ledger
from signerd.dev.listener import Listener
from signerd.dev.node import HostedNode
from signerd.dev.pairing import PairingService, Session
from signerd.dev.placement import PlacementService
from signerd.dev.registration import RegistrationService
from signerd.errors import AlreadyRunning, NotFound, UsageError
from signerd.greenlight.pb import greenlight_pb2
from signerd.greenlight.pb import scheduler_pb2 as pb


class LocalGreenlight:
    """`async with LocalGreenlight(directory) as greenlight:` runs it on loopback until the block is left.

    All that it keeps is in `directory`; opened again, it knows its nodes, devices, invite codes, webhooks and
    signer state, and takes the same ports if they are free.

    faults: what goes wrong (`greenlight.faults.set("GetNodeInfo", Fault(status="UNAVAILABLE"))`).
    calls: what arrived, and when. reports: what signers told the Debug service.
    nodes: node id (33 bytes) → HostedNode. scheduler: the listener, to restart, refuse, cut or half-open.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: Settings | None = None,
        faults: Mapping[str, Fault] | None = None,
        port: int = 0,
    ) -> None:
        self.directory = directory
        self.settings = settings or Settings()
        self.faults = Faults(faults)
        self.calls = Calls()
        self.reports: Journal[pb.SignerRejection] = Journal()
        self._port = port
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._closing = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        files.make_directory(self.directory)
        stack.enter_context(_only_one(self.directory / "lock"))
        self._authority = authority = Authority(self.directory / "certificates")
        self._ledger = stack.enter_context(contextlib.closing(Ledger(self.directory / "greenlight.db")))
        self._backend = Backend(authority, self._ledger, self.settings)
        router = rpc.Router(self.faults, self.calls)
        self._placement = PlacementService(self._backend, router)
        self._pairing = PairingService(self._backend)

        exports = self.directory / "exports"
        self.files = FileServer(exports, self._file_host_tls(), self.faults, self.calls)
        await self.files.start(self._last_port("files"))
        stack.push_async_callback(self.files.close)

        services = (
            RegistrationService(self._backend),
            self._placement,
            AccountService(self._backend),
            ExportService(self._backend, self._placement, self.files, exports),
        )
        scheduler = {name: row for service in services for name, row in service.methods().items()}
        scheduler["SignerRequestsStream"] = rpc.both_streams(pb.SignerResponse, self._signer_requests)
        debug = {"ReportSignerRejection": rpc.unary(pb.SignerRejection, self._report)}
        self.scheduler = self._listener(
            [
                router.service("scheduler.Scheduler", scheduler),
                router.service("scheduler.Pairing", self._pairing.methods()),
                router.service("scheduler.Debug", debug),
            ]
        )
        stack.push_async_callback(self.scheduler.close)
        stack.push_async_callback(self._stop_nodes)
        await self.scheduler.serve()
        self._ledger.set_setting("port of scheduler", str(self.scheduler.port))
        self._ledger.set_setting("port of files", str(self.files.port))

    # Where it is.

    @property
    def scheduler_uri(self) -> str:
        return self.scheduler.uri

    @property
    def ca_path(self) -> Path:
        return self._authority.path("ca.pem")

    @property
    def nobody_crt_path(self) -> Path:
        return self._authority.path("nobody.crt")

    @property
    def nobody_key_path(self) -> Path:
        return self._authority.path("nobody-key.pem")

    @property
    def developer_crt_path(self) -> Path:
        """A certificate that registers nodes without an invite code."""
        return self._authority.path("developer.crt")

    @property
    def developer_key_path(self) -> Path:
        return self._authority.path("developer-key.pem")

    @property
    def env(self) -> dict[str, str]:
        """The environment that points signerd, and the reference client, here."""
        return {
            "GL_SCHEDULER_GRPC_URI": self.scheduler_uri,
            "GL_CA_CRT": str(self.ca_path),
            "GL_NOBODY_CRT": str(self.nobody_crt_path),
            "GL_NOBODY_KEY": str(self.nobody_key_path),
        }

    # What is in it.

    @property
    def nodes(self) -> dict[bytes, HostedNode]:
        return self._backend.nodes

    @property
    def pairings(self) -> dict[str, Session]:
        """New devices that wait, by device id."""
        return self._pairing.sessions

    def node(self, node_id: bytes) -> HostedNode:
        """Raises NotFound."""
        node = self.nodes.get(node_id)
        if node is None:
            raise NotFound(f"node {node_id.hex()} is not registered here", hint="run `signerd register`")
        return node

    def devices(self, node_id: bytes) -> list[str]:
        """Names of the devices that have had a certificate, oldest first."""
        return self._ledger.devices(node_id)

    def new_invite_code(self) -> str:
        """A code that belongs to no node."""
        code = registration.new_invite_code()
        self._ledger.add_invite(code, None)
        return code

    # What can be done to it.

    async def schedule(self, node_id: bytes) -> HostedNode:
        """Place a node, as Schedule does. Raises NotFound, UsageError for an exported node."""
        node = self.node(node_id)
        if node.registration.export is not None:
            raise UsageError(f"node {node_id.hex()} was exported")
        await self._placement.place(node)
        return node

    async def stop_node(self, node_id: bytes) -> None:
        """Let a node hibernate: its streams end, and it has no address until it is scheduled again."""
        await self._placement.stop(self.node(node_id))

    async def restart(self) -> None:
        """End every connection to the scheduler and listen again, on the same port. Nodes go on."""
        await self.scheduler.restart()

    # The two methods that are neither a node's owner's nor a new device's.

    def _signer_requests(
        self, responses: rpc.Requests[pb.SignerResponse], caller: rpc.Caller
    ) -> rpc.Replies[pb.SignerRequest]:
        return self._backend.node_of(caller).approvals.serve(responses)

    async def _report(self, report: pb.SignerRejection, _caller: rpc.Caller) -> greenlight_pb2.Empty:
        self.reports.append(report)
        return greenlight_pb2.Empty()

    # Parts.

    def _listener(self, handlers: list[rpc.Handler]) -> Listener:
        authority, settings = self._authority, self.settings

        def listen(port: int) -> Listener:
            return Listener(
                handlers,
                authority.scheduler,
                authority.ca_pem,
                port=port,
                strict_pings=settings.strict_pings,
                compression=settings.compression,
            )

        if self._port:
            return listen(self._port)
        try:
            return listen(self._last_port("scheduler"))
        except UsageError:
            return listen(0)

    def _last_port(self, server: str) -> int:
        return int(self._ledger.setting(f"port of {server}") or 0)

    def _file_host_tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._authority.path("files.crt"), self._authority.path("files-key.pem"))
        return context

    async def _stop_nodes(self) -> None:
        for node in self.nodes.values():
            await self._placement.stop(node)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Two of them in one directory would answer with each other's state."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"a local Greenlight already runs in {path.parent}",
                hint="stop it, or choose another --dir",
            ) from error
        yield
    finally:
        os.close(descriptor)
