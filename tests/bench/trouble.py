"""What a signer costs while the other side fails: calls a second and processor, once the first shock is over.

The local Greenlight counts calls. Refused connections reach nobody: the kernel's count of failed attempts
(machine-wide, so anything else that fails to connect adds to it) stands in for them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.plan import Plan
from bench.rig import STREAM, Contender, Rig
from bench.table import Row, below, row

from signerd.dev.faults import Fault

_SNMP = Path("/proc/net/snmp")
_REQUESTS = "StreamHsmRequests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """`faults` hold from the start, the scheduler refuses connections once the signer was attached to it."""

    name: str
    faults: tuple[tuple[str, Fault], ...] = ()
    refuses: bool = False
    places_node: bool = False


TROUBLES = (
    Trouble(name="scheduler closes each stream at once", faults=((STREAM, Fault(drop_after=0)),)),
    Trouble(name="scheduler refuses connections", refuses=True),
    Trouble(
        name="scheduler's stream is RESOURCE_EXHAUSTED",
        faults=((STREAM, Fault(status="RESOURCE_EXHAUSTED")),),
    ),
    Trouble(name="scheduler's stream is UNIMPLEMENTED", faults=((STREAM, Fault(status="UNIMPLEMENTED")),)),
    Trouble(
        name="node closes each stream at once", faults=((_REQUESTS, Fault(drop_after=0)),), places_node=True
    ),
)


async def measure(rig: Rig, plan: Plan) -> list[Row]:
    """Two rows for each trouble."""
    rows = []
    for trouble in TROUBLES:
        if trouble.refuses and sys.platform != "linux":
            continue
        seen = [await _suffer(rig, plan, contender, trouble) for contender in rig.contenders]
        calls = "connection attempts" if trouble.refuses else "calls"
        rows += [
            row(f"{trouble.name}: {calls}", "/s", *(s[0] for s in seen), target="< 1 /s", judge=below(1)),
            row(f"{trouble.name}: CPU", "%", *(s[1] for s in seen), target="< 1 %", judge=below(1)),
        ]
    return rows


async def _suffer(rig: Rig, plan: Plan, contender: Contender, trouble: Trouble) -> tuple[float, float]:
    """Calls a second, and percent of a processor."""
    greenlight = rig.greenlight
    for method, fault in trouble.faults:
        greenlight.faults.set(method, fault)
    try:
        async with rig.running(contender) as signer:
            await signer.streaming()
            if trouble.refuses:
                await greenlight.scheduler.refuse()
            if trouble.places_node:
                before = len(greenlight.calls.times(_REQUESTS))
                await greenlight.schedule(contender.device.node_id)
                await signer.until(greenlight.calls.reach(_REQUESTS, before + 1))
            settle = plan.peer_settle_seconds if contender.is_peer else plan.settle_seconds
            await asyncio.sleep(settle)
            count = _failed_connections if trouble.refuses else _counter(rig)
            calls, cpu, begun = count(), signer.cpu_seconds, time.monotonic()
            await asyncio.sleep(plan.window_seconds)
            elapsed = time.monotonic() - begun
            used = signer.cpu_seconds - cpu
            return (count() - calls) / elapsed, used / elapsed * 100
    finally:
        greenlight.faults.clear()
        await greenlight.scheduler.serve()


def _counter(rig: Rig) -> Callable[[], int]:
    return lambda: sum(rig.greenlight.calls.counts().values())


def _failed_connections() -> int:
    names, values = (line.split() for line in _SNMP.read_text().splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("AttemptFails")])
