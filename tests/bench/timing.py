"""How long until the signer is there: from its start to its stream, from "scheduled" to the first answer."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping

from bench.plan import Plan
from bench.rig import Contender, Rig
from bench.table import Row, below, row

from signerd.dev import verify

_POLL = "GetNodeInfo"
_HELD_SECONDS = 0.1


async def starts(rig: Rig, plan: Plan) -> list[Row]:
    """From just before fork and exec to SignerRequestsStream at the scheduler."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in rig.contenders}
    for _ in range(plan.starts):
        for contender in rig.contenders:
            async with rig.running(contender) as signer:
                taken[contender.name].append(await signer.streaming() - signer.started)
    return _rows("process start to signer stream open", taken, plan.starts)


async def schedules(rig: Rig, plan: Plan) -> list[Row]:
    """From before the node's server is started to its first `ecdh` answered, by a signer that waits."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in rig.contenders}
    for _ in range(plan.starts):
        for contender in rig.contenders:
            taken[contender.name].append(await _schedule(rig, contender))
    return _rows("node scheduled to first request answered", taken, plan.starts, limit=1.0)


async def _schedule(rig: Rig, contender: Contender) -> float:
    polls = len(rig.greenlight.calls.times(_POLL))
    async with rig.running(contender) as signer:
        await signer.streaming()
        await signer.until(rig.greenlight.calls.reach(_POLL, polls + 1))
        await asyncio.sleep(_HELD_SECONDS)
        question = signer.node.put(verify.ECDH.to_bytes(2, "big") + signer.node.fresh_point())
        begun = time.monotonic()
        await rig.greenlight.schedule(signer.node.node_id)
        outcome = await signer.until(question.outcome)
        seconds = time.monotonic() - begun
    if isinstance(outcome, Exception):
        raise outcome
    return seconds


def _rows(
    measure: str, taken: Mapping[str, list[float]], count: int, *, limit: float | None = None
) -> list[Row]:
    judged = {"target": f"< {limit:g} s", "judge": below(limit * 1000)} if limit else {}
    return [
        row(
            f"{measure}, {name} of {count}",
            "ms",
            *(pick(values) * 1000 for values in taken.values()),
            **judged,  # type: ignore[arg-type]
        )
        for name, pick in (("median", statistics.median), ("max", max))
    ]
