"""Start the loops, stop them together, and say why."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import signerd
from signerd.control.pairing import PairingControl
from signerd.core.policy.payments import REMEMBERED
from signerd.core.signer import Signer
from signerd.daemon import expiry, exported, hardening, identity, monitoring, preflight
from signerd.daemon.audit_flush import AuditFlush
from signerd.daemon.backoff import Backoff, Limits
from signerd.daemon.clock import Clock, SystemClock
from signerd.daemon.guarded import GuardedDesk, GuardedService
from signerd.daemon.hangup import Hangups
from signerd.daemon.node_attachment import NodeAttachment
from signerd.daemon.node_path import NodePath
from signerd.daemon.oversight import Oversight
from signerd.daemon.pairing_inbox import PairingInbox
from signerd.daemon.pairing_policy import pairing_policy
from signerd.daemon.path_watch import PathWatch
from signerd.daemon.reach import Reach
from signerd.daemon.recorder import Recorder
from signerd.daemon.reload import LiveSettings
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.scheduler_stream import SchedulerStream
from signerd.daemon.store_health import StoreHealth
from signerd.daemon.store_watch import StoreWatch
from signerd.daemon.upgrades import Upgrades
from signerd.errors import ConfigError, SignerdError, first_error
from signerd.greenlight import endpoint
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.node import NodeClient
from signerd.greenlight.reachability import Probe
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import ClientOptions, Identity
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.logs import Log
from signerd.observe.probes import Verdict
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


@dataclass(frozen=True, slots=True)
class _Kept:
    """The store, and who reads and writes it."""

    store: StateDb
    recorder: Recorder
    health: StoreHealth
    inbox: PairingInbox


class Supervisor:
    """The whole daemon: everything is checked in `run` before any loop starts."""

    def __init__(
        self,
        live: LiveSettings,
        keys: NodeKeys,
        bus: Bus,
        *,
        log: Log,
        hangups: Hangups,
        clock: Clock | None = None,
    ) -> None:
        self._live = live
        self._keys = keys
        self._bus = bus
        self._log = log
        self._hangups = hangups
        self._clock = clock or SystemClock()
        self._oversight = Oversight(keys, bus, self._clock)

    @property
    def _settings(self) -> Settings:
        return self._live.now

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises the SignerdError that ended it otherwise."""
        preflight.require_compiled_curve()
        hardening.share_one_heap()
        files.make_private_directory(self._settings.data_dir)
        with files.lock_directory(self._settings.data_dir), monitoring.listening_if(self._settings) as door:
            credentials = identity.load_credentials(self._settings)
            device = identity.device(self._settings, credentials)
            certificate = identity.check(device, node_id=self._keys.node_id, now=self._clock.now())
            exported.check(self._settings.data_dir, self._keys.node_id, self._bus)
            serving = monitoring.prepared(
                door,
                bus=self._bus,
                clock=self._clock,
                log=self._log,
                certificate=certificate,
                judge=self._verdict,
                pairing_waiting=self._waiting,
            )
            path = self._settings.state_file
            anew = not path.exists()
            with lineage.in_use(path, self._keys.node_id) as store:
                store.require_channels()
                store.forget_payments(UnixTime(self._clock.now() - REMEMBERED))
                self._announce(certificate)
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
                        path=str(path),
                        channels=store.channel_count,
                        highest_channel=store.highest_channel,
                        audit_head=str(store.audit_head),
                    )
                )
                asyncio.run(self._serve(device, certificate, store, serving))

    def _announce(self, certificate: DeviceCertificate) -> None:
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
        self._bus.emit(expiry.in_use(certificate, self._clock.now()))
        self._bus.emit(
            events.CommandsNotChecked(
                meaning="a withdrawal, payment or invoice is signed without asking whether you ordered it"
            )
        )
        if reason := hardening.lock_memory():
            self._bus.emit(events.MemoryNotLocked(reason=reason))
        if remedy := identity.readable_by_others(settings):
            self._bus.emit(events.CredentialsReadable(hint=remedy))
        for warning in settings.warnings:
            self._bus.emit(events.ConfigWarning(meaning=warning))
        self._say_what_is_lowered(settings)

    def _say_what_is_lowered(self, settings: Settings) -> None:
        if settings.config.pairing.allow_widening:
            self._bus.emit(
                events.SafetyLowered(
                    key="pairing.allow_widening",
                    meaning="a paired device may give another one more rights than it has",
                )
            )

    def _waiting(self) -> int:
        count = self._oversight.pairings_waiting
        return (count() if count else None) or 0

    def _verdict(self) -> Verdict:
        health = self._oversight.health
        return Verdict(
            started=self._oversight.board.upgraded,
            live=health.live,
            ready=health.ready,
            state=health.state,
            reason=health.reason,
        )

    async def _serve(
        self,
        device: Identity,
        certificate: DeviceCertificate,
        store: StateDb,
        serving: AbstractAsyncContextManager[None],
    ) -> None:
        kept = self._keep(store)
        pairing = PairingControl(kept.inbox, certificate.public_key).add_to
        async with (
            serving,
            self._oversight.on_duty(self._settings.control_socket, store, self._live.reload, [pairing]),
        ):
            await self._run_loops(device, certificate, kept)

    def _keep(self, store: StateDb) -> _Kept:
        config = self._settings.config.pairing
        recorder = Recorder(store, self._clock)
        health = StoreHealth(store, self._settings.state_file, self._bus)
        desk = GuardedDesk(self._keys, *pairing_policy(config), store, recorder, health=health)
        inbox = PairingInbox(desk, self._bus, answer_refusals=config.answer_refusals)
        self._oversight.pairings_waiting = inbox.count

        def change_policy(settings: Settings) -> Callable[[], None]:
            changed = settings.config.pairing
            policy, rules = pairing_policy(changed)

            def commit() -> None:
                inbox.set_policy(policy, rules, answer_refusals=changed.answer_refusals)
                self._say_what_is_lowered(settings)

            return commit

        self._live.on_change(change_policy)
        return _Kept(store, recorder, health, inbox)

    async def _run_loops(self, device: Identity, certificate: DeviceCertificate, kept: _Kept) -> None:
        link = SchedulerLink(lambda: self._scheduler(device))
        await link.open()
        try:
            async with asyncio.TaskGroup() as group:
                for name, loop in self._loops(link, device, certificate, kept).items():
                    group.create_task(_for_ever(name, loop))
                for name, loop in self._oversight.loops().items():
                    group.create_task(_for_ever(name, loop))
                group.create_task(_settle(link))
                group.create_task(self._reload_on_hangup())
                group.create_task(self._oversight.ready())
                group.create_task(self._until_signalled())
        except* _Stop as stop:
            self._bus.emit(events.Stopping(reason=str(stop.exceptions[0])))
        except* SignerdError as failures:
            raise first_error(failures) from None
        finally:
            try:
                with kept.health.noting():
                    kept.recorder.flush()
            finally:
                await link.close()

    def _loops(
        self, link: SchedulerLink, device: Identity, certificate: DeviceCertificate, kept: _Kept
    ) -> dict[str, Coroutine[Any, Any, None]]:
        config, store, health = self._settings.config, kept.store, kept.health
        signer = Signer(self._keys, self._settings.network)
        service = GuardedService(signer, store, kept.recorder, health)
        path = NodePath(link, lambda uri: self._reach(endpoint.parse(uri, handed_out=True)))
        attachment = NodeAttachment(
            link=link,
            service=service,
            connect=lambda uri: self._node(uri, device),
            calls=self._backoff(),
            sessions=self._backoff(),
            placement=self._backoff(cap=PLACEMENT_CAP_SECONDS),
            clock=self._clock,
            bus=self._bus,
            poll_seconds=lambda: self._settings.config.scheduler.poll_seconds,
            probe_seconds=lambda: min(PROBE_SECONDS, self._call_seconds()),
            answer_seconds=lambda: self._settings.config.node.deadline_seconds,
            pulse=self._oversight.pulse,
            path=path,
        )
        stream = SchedulerStream(link, kept.inbox, self._backoff(), self._bus)
        upgrades = Upgrades(
            link=link,
            signer=service.signer,
            signer_version=config.node.version,
            backoff=self._backoff(),
            bus=self._bus,
            pulse=self._oversight.pulse,
            call_seconds=self._call_seconds,
        )
        probe = Probe(endpoint.parse(self._settings.scheduler_uri))
        path_watch = PathWatch(
            link=link,
            node_id=self._keys.node_id,
            probe=probe,
            reach=Reach(probe, self._clock),
            renew_node=path.renew,
            clock=self._clock,
            bus=self._bus,
        )
        watch = expiry.ExpiryWatch(certificate, self._clock, self._bus)

        async def asked_again() -> None:
            """For what was refused while the store failed."""
            await path.renew()
            await stream.renew()

        audit = AuditFlush(
            recorder=kept.recorder,
            store=store,
            health=health,
            clock=self._clock,
            keep_records=config.audit.keep_records,
            keep_days=config.audit.keep_days,
        )
        return {
            "audit": audit.run(),
            "upgrades": upgrades.run(),
            "scheduler stream": stream.run(),
            "pairing inbox": kept.inbox.run(),
            "node attachment": attachment.run(),
            "expiry": watch.run(),
            "connection": link.watch(),
            "export": exported.ExportWatch(self._settings.data_dir, self._keys.node_id).run(),
            "path": path_watch.run(),
            "store": StoreWatch(store, self._settings.state_file, health).run(),
            "store health": health.run(asked_again),
            "log": monitoring.tick(self._log),
        }

    async def _reload_on_hangup(self) -> None:
        async for _ in self._hangups:
            # What is wrong with it was told on the bus.
            with contextlib.suppress(ConfigError):
                await self._oversight.announced(self._live.reload)()

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

    def _call_seconds(self) -> float:
        return self._settings.config.scheduler.deadline_seconds

    def _reach(self, where: Endpoint) -> Reach:
        return Reach(Probe(where), self._clock)

    def _backoff(self, cap: float | None = None) -> Backoff:
        def limits() -> Limits:
            config = self._settings.config.backoff
            widest = min(cap, config.max_seconds) if cap else config.max_seconds
            return Limits(config.first_seconds, widest, config.stable_seconds)

        return Backoff.following(self._clock, limits)


async def _settle(link: SchedulerLink) -> None:
    await link.upgraded()
    await asyncio.sleep(SETTLED_SECONDS)
    hardening.settle_objects()
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
