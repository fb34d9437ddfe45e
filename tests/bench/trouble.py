"""What a signer costs while the other side fails: calls a second and processor, once the first shock is over.

The local Greenlight counts calls. Those that meet a refused connection reach nobody: signerd logs each of
them, and for both signers the attempts to connect are counted (one call may try several addresses).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import connections
from bench.plan import Plan
from bench.rig import STREAM, BenchFailed, Contender, Rig, Running
from bench.table import Row, below, row

from signerd.dev.faults import Fault

_REQUESTS = "StreamHsmRequests"
_FAILED_CALLS = ('"event": "scheduler-call-failed"', '"event": "scheduler-stream-ended"')


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
    """What each trouble makes of the signers."""
    rows = []
    for trouble in TROUBLES:
        seen = [await _suffer(rig, plan, contender, trouble) for contender in rig.contenders]
        if trouble.refuses:
            rows.append(_calls(f"{trouble.name}: calls", [seen[0].calls]))
            rows.append(_calls(f"{trouble.name}: attempts to connect", [s.connections for s in seen]))
        else:
            rows.append(_calls(f"{trouble.name}: calls", [s.calls for s in seen]))
        cpu = [s.cpu for s in seen]
        rows.append(row(f"{trouble.name}: CPU", "%", *cpu, target="< 1 %", judge=below(1)))
    return rows


def _calls(measure: str, rates: Sequence[float]) -> Row:
    return row(measure, "/s", *rates, target="< 1 /s", judge=below(1))


@dataclass(frozen=True, slots=True)
class Suffered:
    """Calls and attempts to connect per second, percent of a processor."""

    calls: float
    connections: float
    cpu: float


async def _suffer(rig: Rig, plan: Plan, contender: Contender, trouble: Trouble) -> Suffered:
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
            await asyncio.sleep(plan.peer_settle_seconds if contender.is_peer else plan.settle_seconds)
            return await _watch(rig, plan, signer)
    finally:
        greenlight.faults.clear()
        await greenlight.scheduler.serve()


async def _watch(rig: Rig, plan: Plan, signer: Running) -> Suffered:
    with connections.counted(rig.greenlight.scheduler.port) as connected:
        connected()
        calls, cpu, begun = _made(rig, signer), signer.cpu_seconds, time.monotonic()
        await asyncio.sleep(plan.window_seconds)
        used, made, tried = signer.cpu_seconds - cpu, _made(rig, signer) - calls, connected()
        elapsed = time.monotonic() - begun
    if signer.process.returncode is not None:
        raise BenchFailed(f"{signer.contender.name} left with {signer.process.returncode}")
    return Suffered(made / elapsed, tried / elapsed, used / elapsed * 100)


def _made(rig: Rig, signer: Running) -> int:
    """Calls until now: those that arrived, or those that signerd says it could not make."""
    if rig.greenlight.scheduler.mode == "refusing":
        log = signer.log.read_text(errors="replace")
        return sum(log.count(event) for event in _FAILED_CALLS)
    return sum(rig.greenlight.calls.counts().values())
