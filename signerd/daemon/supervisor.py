"""Start the loops, stop them together, and say why."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import signerd
from signerd.core.pairing import PairingPolicy
from signerd.core.policy.payments import REMEMBERED
from signerd.core.signer import Signer
from signerd.daemon import expiry, hardening, identity, monitoring, preflight
from signerd.daemon.backoff import Backoff
from signerd.daemon.clock import Clock, SystemClock
from signerd.daemon.node_attachment import NodeAttachment
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.scheduler_stream import SchedulerStream
from signerd.daemon.signing_service import SigningService
from signerd.daemon.store_watch import StoreWatch
from signerd.daemon.upgrades import Upgrades
from signerd.errors import SignerdError
from signerd.greenlight.node import NodeClient
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import ClientOptions, Identity
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.logs import Log
from signerd.store import files, lineage
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.certificates import DeviceCertificate
    from signerd.core.keys.node import NodeKeys

PLACEMENT_CAP_SECONDS = 3.0
"""A scheduler that does not hold GetNodeInfo(wait) open is asked about every 1.5 s."""

PROBE_SECONDS = 10.0

SETTLED_SECONDS = 2.0
"""After the first conversation with the scheduler: by then what had to start has started."""


class _Stop(Exception):
    """Raised inside the task group to end it; carries the signal's name."""


class Supervisor:
    """The whole daemon: everything is checked in `run` before any loop starts."""

    def __init__(
        self, settings: Settings, keys: NodeKeys, bus: Bus, *, log: Log, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._bus = bus
        self._log = log
        self._clock = clock or SystemClock()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises the SignerdError that ended it otherwise."""
        preflight.require_compiled_curve()
        hardening.share_one_heap()
        files.make_private_directory(self._settings.data_dir)
        with files.lock_directory(self._settings.data_dir), monitoring.listening_if(self._settings) as door:
            credentials = identity.load_credentials(self._settings)
            device = identity.device(self._settings, credentials)
            certificate = identity.check(device, node_id=self._keys.node_id, now=self._clock.now())
            serving = monitoring.prepared(
                door, bus=self._bus, clock=self._clock, log=self._log, certificate=certificate
            )
            path = self._settings.state_file
            anew = not path.exists()
            with lineage.in_use(path, self._keys.node_id) as store:
                store.forget_payments(UnixTime(self._clock.now() - REMEMBERED))
                self._announce()
                if anew:
                    self._bus.emit(
                        events.StateStartedAnew(
                            path=str(path),
                            hint="good for a new node; if it has channels, stop, bring the old file back, "
                            "or see `signerd new-store --help`",
                        )
                    )
                self._bus.emit(
                    events.StoreOpened(
                        path=str(path), channels=store.channel_count, highest_channel=store.highest_channel
                    )
                )
                asyncio.run(self._serve(device, certificate, store, serving))

    def _announce(self) -> None:
        settings, config = self._settings, self._settings.config
        self._bus.emit(
            events.Started(
                node_id=self._keys.node_id.hex(),
                network=settings.network,
                signer_version=config.node.version,
                scheduler=settings.scheduler_uri,
                version=signerd.__version__,
            )
        )
        self._bus.emit(
            events.CommandsNotChecked(
                meaning="a withdrawal, payment or invoice is signed without asking whether you ordered it"
            )
        )
        if reason := hardening.lock_memory():
            self._bus.emit(events.MemoryNotLocked(reason=reason))
        if remedy := identity.readable_by_others(settings):
            self._bus.emit(events.CredentialsReadable(hint=remedy))
        if config.pairing.allow_widening:
            self._bus.emit(
                events.SafetyLowered(
                    key="pairing.allow_widening",
                    meaning="a paired device may give another one more rights than it has",
                )
            )

    async def _serve(
        self,
        device: Identity,
        certificate: DeviceCertificate,
        store: StateDb,
        serving: AbstractAsyncContextManager[None],
    ) -> None:
        link = SchedulerLink(lambda: self._scheduler(device))
        await link.open()
        try:
            async with serving, asyncio.TaskGroup() as group:
                for name, loop in self._loops(link, device, certificate, store).items():
                    group.create_task(_for_ever(name, loop))
                group.create_task(_settle(link))
                group.create_task(self._until_signalled())
        except* _Stop as stop:
            self._bus.emit(events.Stopping(reason=str(stop.exceptions[0])))
        except* SignerdError as failures:
            raise _first(failures) from None
        finally:
            await link.close()

    def _loops(
        self, link: SchedulerLink, device: Identity, certificate: DeviceCertificate, store: StateDb
    ) -> dict[str, Coroutine[Any, Any, None]]:
        config = self._settings.config
        signer = Signer(self._keys, self._settings.network)
        policy = PairingPolicy(
            mode=config.pairing.policy,
            allow_widening=config.pairing.allow_widening,
            max_age_seconds=config.pairing.max_age_seconds,
            max_ahead_seconds=config.pairing.max_ahead_seconds,
        )
        service = SigningService(signer, policy, store, self._clock)
        attachment = NodeAttachment(
            link=link,
            service=service,
            connect=lambda uri: self._node(uri, device),
            calls=self._backoff(),
            sessions=self._backoff(),
            placement=self._backoff(cap=PLACEMENT_CAP_SECONDS),
            clock=self._clock,
            bus=self._bus,
            poll_seconds=config.scheduler.poll_seconds,
            probe_seconds=min(PROBE_SECONDS, config.scheduler.deadline_seconds),
        )
        stream = SchedulerStream(link, service, self._backoff(), self._bus, config.pairing.answer_refusals)
        upgrades = Upgrades(link, signer, config.node.version, self._backoff(), self._bus)
        watch = expiry.ExpiryWatch(certificate, self._clock, self._bus)
        return {
            "upgrades": upgrades.run(),
            "scheduler stream": stream.run(),
            "node attachment": attachment.run(),
            "expiry": watch.run(),
            "connection": link.watch(),
            "store": StoreWatch(store, self._settings.state_file).run(),
            "log": monitoring.tick(self._log),
        }

    async def _until_signalled(self) -> None:
        stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def stop(name: str) -> None:
            if not stopped.done():
                stopped.set_result(name)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number.name)
        raise _Stop(await stopped)

    def _scheduler(self, device: Identity) -> SchedulerClient:
        config = self._settings.config.scheduler
        options = ClientOptions(
            compression=config.compression,
            max_decoding_message_size=config.max_message_bytes,
            deadline=config.deadline_seconds,
            keepalive_seconds=config.keepalive_seconds,
        )
        return SchedulerClient(self._settings.scheduler_uri, device, options)

    def _node(self, uri: str, device: Identity) -> NodeClient:
        config = self._settings.config
        options = ClientOptions(
            deadline=config.node.deadline_seconds, keepalive_seconds=config.scheduler.keepalive_seconds
        )
        return NodeClient(
            uri,
            device,
            options,
            node_id=self._keys.node_id,
            message_limit=config.node.max_message_bytes,
        )

    def _backoff(self, cap: float | None = None) -> Backoff:
        config = self._settings.config.backoff
        return Backoff(
            self._clock,
            first_seconds=config.first_seconds,
            max_seconds=min(cap, config.max_seconds) if cap else config.max_seconds,
            stable_seconds=config.stable_seconds,
        )


async def _settle(link: SchedulerLink) -> None:
    await link.upgraded()
    await asyncio.sleep(SETTLED_SECONDS)
    hardening.give_back_code()


async def _for_ever(name: str, loop: Coroutine[Any, Any, None]) -> None:
    """A loop that must not end by itself, however quietly: a task group overlooks a cancelled child."""
    task = asyncio.current_task()
    try:
        await loop
    except asyncio.CancelledError:
        if task is not None and task.cancelling():
            raise
    raise RuntimeError(f"the loop of the {name} ended by itself")


def _first(group: BaseExceptionGroup[SignerdError]) -> SignerdError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise group
