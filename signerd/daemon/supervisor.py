"""Start the loops, stop them together, and say why."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import signerd
from signerd.core.pairing import PairingPolicy
from signerd.core.policy.payments import REMEMBERED
from signerd.core.signer import Signer
from signerd.daemon import expiry, hardening, identity, preflight
from signerd.daemon.backoff import Backoff, Limits
from signerd.daemon.clock import Clock, SystemClock
from signerd.daemon.hangup import Hangups
from signerd.daemon.node_attachment import NodeAttachment
from signerd.daemon.reload import LiveSettings
from signerd.daemon.scheduler_link import SchedulerLink
from signerd.daemon.scheduler_stream import SchedulerStream
from signerd.daemon.signing_service import SigningService
from signerd.daemon.store_watch import StoreWatch
from signerd.daemon.upgrades import Upgrades
from signerd.errors import ConfigError, SignerdError
from signerd.greenlight.node import NodeClient
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.transport import ClientOptions, Identity
from signerd.observe import events
from signerd.observe.bus import Bus
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
        self, live: LiveSettings, keys: NodeKeys, bus: Bus, *, hangups: Hangups, clock: Clock | None = None
    ) -> None:
        self._live = live
        self._keys = keys
        self._bus = bus
        self._hangups = hangups
        self._clock = clock or SystemClock()

    @property
    def _settings(self) -> Settings:
        return self._live.now

    def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises the SignerdError that ended it otherwise."""
        preflight.require_compiled_curve()
        hardening.share_one_heap()
        files.make_private_directory(self._settings.data_dir)
        with files.lock_directory(self._settings.data_dir):
            credentials = identity.load_credentials(self._settings)
            device = identity.device(self._settings, credentials)
            certificate = identity.check(device, node_id=self._keys.node_id, now=self._clock.now())
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
                asyncio.run(self._serve(device, certificate, store))

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

    async def _serve(self, device: Identity, certificate: DeviceCertificate, store: StateDb) -> None:
        link = SchedulerLink(lambda: self._scheduler(device))
        await link.open()
        try:
            async with asyncio.TaskGroup() as group:
                for name, loop in self._loops(link, device, certificate, store).items():
                    group.create_task(_for_ever(name, loop))
                group.create_task(_settle(link))
                group.create_task(self._reload_on_hangup())
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
        service = SigningService(signer, _policy(self._settings), store, self._clock)

        def change_policy(settings: Settings) -> Callable[[], None]:
            policy = _policy(settings)

            def commit() -> None:
                service.use(policy)
                self._say_what_is_lowered(settings)

            return commit

        self._live.on_change(change_policy)
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
            probe_seconds=lambda: min(PROBE_SECONDS, self._settings.config.scheduler.deadline_seconds),
        )
        stream = SchedulerStream(
            link,
            service,
            self._backoff(),
            self._bus,
            lambda: self._settings.config.pairing.answer_refusals,
        )
        upgrades = Upgrades(link, signer, config.node.version, self._backoff(), self._bus)
        watch = expiry.ExpiryWatch(certificate, self._clock, self._bus)
        return {
            "upgrades": upgrades.run(),
            "scheduler stream": stream.run(),
            "node attachment": attachment.run(),
            "expiry": watch.run(),
            "connection": link.watch(),
            "store": StoreWatch(store, self._settings.state_file).run(),
        }

    async def _reload_on_hangup(self) -> None:
        async for _ in self._hangups:
            # What is wrong with it was told on the bus.
            with contextlib.suppress(ConfigError):
                await self._live.reload()

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
        def limits() -> Limits:
            config = self._settings.config.backoff
            widest = min(cap, config.max_seconds) if cap else config.max_seconds
            return Limits(config.first_seconds, widest, config.stable_seconds)

        return Backoff.following(self._clock, limits)


def _policy(settings: Settings) -> PairingPolicy:
    config = settings.config.pairing
    return PairingPolicy(
        mode=config.policy,
        allow_widening=config.allow_widening,
        max_age_seconds=config.max_age_seconds,
        max_ahead_seconds=config.max_ahead_seconds,
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
