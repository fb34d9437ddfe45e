"""Is the daemon getting on? Looked at often, told on the bus, and to systemd's watchdog while it is so."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

from signerd.core.keys import secp256k1
from signerd.core.keys.node import NodeKeys
from signerd.daemon.notify import Notifier
from signerd.daemon.pulse import Pulse
from signerd.observe import events
from signerd.observe.bus import Bus

LOOK_SECONDS = 5.0
"""Where no watchdog says how often."""

_TEST_KEY = hashlib.sha256(b"signerd self-test").digest()


class SelfTest:
    """A shared secret with a key of our own making, which can be computed from either side.

    From the other side it takes the node's public key alone: so it is known beforehand what the way that the
    requests go (secret in memory, library, curve) must bring. Nothing of it goes over a wire.
    """

    def __init__(self, keys: NodeKeys) -> None:
        self._keys = keys
        self._point = secp256k1.public_key(_TEST_KEY)
        self._expected = secp256k1.ecdh(_TEST_KEY, keys.node_id)

    def failure(self) -> str | None:
        """None if the node key answers as it must."""
        try:
            answer = self._keys.ecdh(self._point)
        except Exception as bug:  # noqa: BLE001 - whatever it is, the key path does not work
            return f"the node key does not answer: {type(bug).__name__}"
        return None if answer == self._expected else "the node key gives wrong answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchdog:
    """Its looks are work of the event loop: one that stands still does not look, and feeds nothing."""

    notifier: Notifier
    pulse: Pulse
    self_test: SelfTest
    bus: Bus

    async def run(self) -> None:
        """Until cancelled."""
        limit = self.notifier.watchdog_seconds
        pause = LOOK_SECONDS if limit is None else min(LOOK_SECONDS, limit / 2)
        trouble: str | None = None
        while True:
            before, trouble = trouble, self.trouble()
            if trouble is None:
                self.notifier.alive()
            if trouble is not None and trouble != before:
                self.bus.emit(events.Stuck(reason=trouble))
            elif trouble is None and before is not None:
                self.bus.emit(events.Unstuck())
            await asyncio.sleep(pause)

    def trouble(self) -> str | None:
        """One look."""
        if overdue := self.pulse.overdue():
            return f"{' and '.join(overdue)} should have ended by now"
        return self.self_test.failure()
