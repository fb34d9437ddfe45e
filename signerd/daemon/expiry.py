"""Watch the device certificate run out, and say so in time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from signerd.core.certificates import DeviceCertificate
from signerd.daemon.clock import Clock
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.units import UnixTime

WARN_DAYS = 30
_DAY = 86400
_HOUR = 3600


def in_use(certificate: DeviceCertificate, now: UnixTime) -> events.CertificateInUse:
    """Until when it is good."""
    return events.CertificateInUse(
        expires=certificate.not_after, days_left=(certificate.not_after - now) // _DAY
    )


@dataclass(frozen=True, slots=True)
class ExpiryWatch:
    """Warns once a day from 30 days before the end. Connections that stand go on working past it."""

    certificate: DeviceCertificate
    clock: Clock
    bus: Bus

    async def run(self) -> None:
        """Until cancelled. Days are those of the calendar, also for a machine that sleeps most of them."""
        looked: int | None = None
        while True:
            now = self.clock.now()
            if looked is None or abs(now - looked) >= _DAY:
                self.look()
                looked = now
            await asyncio.sleep(_HOUR)

    def look(self) -> None:
        """One look at the clock."""
        days = (self.certificate.not_after - self.clock.now()) // _DAY
        if days < WARN_DAYS:
            self.bus.emit(
                events.CertificateExpires(days_left=days, hint="run `signerd recover` to get a new one")
            )
