"""All that the doctor looks at, in the order in which one thing needs the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from signerd.daemon.doctor import files, machine, network, store
from signerd.daemon.doctor.finding import Finding, skipped
from signerd.daemon.doctor.identity import Identities
from signerd.daemon.doctor.network import STEPS, Network
from signerd.store.lock_owner import owner_of

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.errors import SignerdError
    from signerd.units import UnixTime


async def examine(
    settings: Settings, keys: NodeKeys | SignerdError, now: UnixTime, *, offline: bool = False
) -> AsyncIterator[Finding]:
    """Finding after finding. `keys` are the node's, or why they cannot be had."""
    running = owner_of(settings.data_dir)
    for finding in machine.look(running):
        yield finding
    yield network.clock()
    for finding in files.look(settings):
        yield finding
    identities = Identities(settings, keys, now)
    for finding in identities.look():
        yield finding
    yield store.look(settings)
    yield store.running_text(running)
    if offline:
        for check in STEPS:
            yield skipped(check, "not looked at: --offline")
        return
    async for finding in Network(settings, identities.device, identities.node_id, now).look():
        yield finding
