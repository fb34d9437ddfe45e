"""Ten thousand forced reconnections, and what they leave behind: memory and open files of signerd.

The node ends its stream each time after one message, and for each new one signerd makes a new connection: it
asks for the address, looks at the certificate, and attaches. Now and then the scheduler ends its stream too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bench.plan import Plan
from bench.rig import STREAM, Rig, Running
from bench.table import Row, at_most, row

from signerd.dev.faults import Fault

_SEED = 200
_REQUESTS = "StreamHsmRequests"
_CHUNK = 100
_EACH_SCHEDULER = 10
"""In so many chunks the scheduler ends its stream once."""
_WARM_UP = 300
_MOST_MB = 5
_CONFIG = """
[backoff]
first_seconds = 0.001
max_seconds = 0.002
[log]
level = "warning"
"""


@dataclass(frozen=True, slots=True)
class _Held:
    """What a process holds."""

    rss_mb: float
    files: int


async def measure(rig: Rig, plan: Plan) -> list[Row]:
    contender = await rig.another(rig.contenders[0], _SEED)
    config = contender.directory / "soak.toml"
    config.write_text(_CONFIG)
    async with rig.running(contender, SIGNERD_CONFIG=str(config)) as signer:
        await signer.attached()
        await _reconnect(signer, _WARM_UP)
        before, seconds = await _held(signer, plan), asyncio.get_running_loop().time()
        await _reconnect(signer, plan.soak_reconnects)
        seconds = asyncio.get_running_loop().time() - seconds
        after = await _held(signer, plan)
    return _rows(plan.soak_reconnects, before, after, seconds)


async def _reconnect(signer: Running, times: int) -> None:
    faults, calls = signer.greenlight.faults, signer.greenlight.calls
    attached = len(calls.times(_REQUESTS))
    faults.set(_REQUESTS, Fault(drop_after=1))
    await signer.greenlight.stop_node(signer.node.node_id)
    await signer.greenlight.schedule(signer.node.node_id)
    for done in range(_CHUNK, times + 1, _CHUNK):
        if done % (_EACH_SCHEDULER * _CHUNK) == 0:
            streams = len(calls.times(STREAM))
            await signer.greenlight.scheduler.restart()
            await signer.until(calls.reach(STREAM, streams + 1))
        await signer.until(calls.reach(_REQUESTS, attached + done))
    faults.clear(_REQUESTS)


async def _held(signer: Running, plan: Plan) -> _Held:
    await signer.until(signer.node.attached.wait())
    await signer.until(signer.node.examine(without=("init",)))
    await asyncio.sleep(plan.idle_seconds)
    return _Held(signer.rss_mb, signer.facts.num_fds())


def _rows(times: int, before: _Held, after: _Held, seconds: float) -> list[Row]:
    title = f"{times} forced reconnections"
    return [
        row(
            f"{title}: RSS grows by",
            "MB",
            after.rss_mb - before.rss_mb,
            target=f"<= {_MOST_MB} MB",
            judge=at_most(_MOST_MB),
        ),
        row(f"{title}: RSS after", "MB", after.rss_mb),
        row(
            f"{title}: open files grow by",
            "",
            after.files - before.files,
            target="0",
            judge=at_most(0),
        ),
        row(f"{title}: each", "ms", seconds / times * 1000),
    ]
