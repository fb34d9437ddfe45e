"""Metrics and health over HTTP, where the configuration asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field

from signerd import addresses
from signerd.addresses import ListenAddress
from signerd.config import Settings
from signerd.core.certificates import DeviceCertificate
from signerd.daemon.clock import Clock
from signerd.errors import AlreadyRunning, ConfigError
from signerd.observe import events, exposition, process
from signerd.observe.bus import Bus
from signerd.observe.event import Event
from signerd.observe.http_message import Response
from signerd.observe.http_server import HttpServer
from signerd.observe.logs import Log
from signerd.observe.metrics import Gauges, Metrics
from signerd.observe.probes import Judge, StreamJudge, Verdict
from signerd.store import files, public_socket

KEY = "metrics.listen"
TICK_SECONDS = 5.0
_BACKLOG = 64
_OK, _NOT_NOW = 200, 503


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket at which connections are waiting, and its address in words."""

    socket: socket.socket
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """Hears every event from its making on; answers while `serving`."""

    bus: Bus
    clock: Clock
    gauges: Callable[[Verdict], Gauges]
    judge: Judge
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.bus.listen(self._hear)

    def _hear(self, event: Event) -> None:
        self.metrics.hear(event, self.clock.now())

    @contextlib.asynccontextmanager
    async def serving(self, listener: Listener) -> AsyncIterator[None]:
        """Answer there."""
        pages = {
            "/metrics": self._metrics,
            "/livez": lambda: self._verdict(lambda it: it.live),
            "/readyz": lambda: self._verdict(lambda it: it.ready),
            "/startupz": lambda: self._verdict(lambda it: it.started),
        }
        async with HttpServer(listener.socket, pages):
            self.bus.emit(events.MetricsListening(address=listener.name))
            yield

    def _metrics(self) -> Response:
        text = exposition.render(
            [
                *self.metrics.families(),
                *self.gauges(self.judge()).families(),
                *process.families(),
            ]
        )
        return Response(_OK, text.encode(), exposition.CONTENT_TYPE)

    def _verdict(self, question: Callable[[Verdict], bool]) -> Response:
        verdict = self.judge()
        answer = question(verdict)
        return Response(_OK if answer else _NOT_NOW, verdict.document(answer), "application/json")


def prepared(
    listener: Listener | None,
    *,
    bus: Bus,
    clock: Clock,
    log: Log,
    certificate: DeviceCertificate,
    judge: Judge | None = None,
    pairing_waiting: Callable[[], int] = lambda: 0,
) -> AbstractAsyncContextManager[None]:
    """Hears from now on; answers there while entered. Without a listener, it does neither."""
    if listener is None:
        return contextlib.nullcontext()
    if judge is None:
        judge = StreamJudge()
        bus.listen(judge.hear)
    return Monitoring(
        bus=bus,
        clock=clock,
        judge=judge,
        gauges=lambda verdict: Gauges(
            verdict=verdict,
            certificate_expiry=certificate.not_after,
            pairing_waiting=pairing_waiting(),
            folded=log.folded,
            lost=log.lost,
        ),
    ).serving(listener)


def listening_if(settings: Settings) -> AbstractContextManager[Listener | None]:
    """Listen where the settings say so, or nowhere."""
    text = settings.config.metrics.listen
    if not text:
        return contextlib.nullcontext()
    return listening(addresses.parse(text, key=KEY))


async def tick(log: Log) -> None:
    """Let the log say what it left out, until cancelled."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        log.tick()


@contextlib.contextmanager
def listening(address: ListenAddress) -> Iterator[Listener]:
    """A socket at which connections are waiting from now on.

    Raises AlreadyRunning if somebody has the address, ConfigError or OutputError if it cannot be had.
    """
    if address.path is None:
        with _tcp(address.host, address.port) as listener:
            host, port = listener.getsockname()[:2]
            yield Listener(listener, f"http://{_shown(host, port)}")
        return
    with public_socket.listen(address.path, key=KEY) as listener:
        made = address.path.lstat()
        try:
            yield Listener(listener, f"unix:{address.path}")
        finally:
            public_socket.remove(address.path, made)


def _tcp(host: str, port: int) -> socket.socket:
    listener = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    )
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AlreadyRunning(
                f"somebody listens at {_shown(host, port)} already",
                hint=f"stop it first, or change `{KEY}`",
            ) from error
        raise ConfigError(
            f"cannot listen at {_shown(host, port)}: {files.reason(error)}", hint=f"change `{KEY}`"
        ) from error
    return listener


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
