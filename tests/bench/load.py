"""How much a signer does, and in how much memory: pairing approvals, ecdh requests, resident set."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from bench.plan import Plan
from bench.rig import BenchFailed, Contender, Rig, Running
from bench.table import Row, at_most, more_than_peer, percentile, row, share_of_peer
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.greenlight import Device

from signerd.core.keys import p256
from signerd.dev import verify
from signerd.greenlight.pb import scheduler_pb2 as pb

T = TypeVar("T")

MEASURES = ("approvals", "ecdh", "memory")


class Tally:
    """What was seen of one signer: rates of each round, latencies (seconds) of all. Medians are robust."""

    def __init__(self) -> None:
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        self.rates: defaultdict[str, list[float]] = defaultdict(list)
        self.cpu_each: defaultdict[str, list[float]] = defaultdict(list)
        self.idle_mb: list[float] = []
        self.loaded_mb: list[float] = []

    def rate(self, name: str) -> float:
        return statistics.median(self.rates[name])

    def ms(self, name: str, percent: float) -> float:
        return percentile(self.latencies[name], percent) * 1000

    def cpu_ms(self, name: str) -> float:
        return statistics.median(self.cpu_each[name]) * 1000


async def measure(rig: Rig, plan: Plan, wanted: AbstractSet[str]) -> list[Row]:
    """Rows for those of MEASURES that are wanted."""
    tallies = {contender.name: Tally() for contender in rig.contenders}
    for _ in range(plan.rounds):
        for contender in rig.contenders:
            await _session(rig, plan, contender, tallies[contender.name], wanted)
    return _rows(list(tallies.values()), plan, wanted)


async def _session(
    rig: Rig, plan: Plan, contender: Contender, tally: Tally, wanted: AbstractSet[str]
) -> None:
    async with rig.running(contender) as signer:
        await signer.attached()
        await signer.until(signer.node.examine(without=("init",)))
        if "memory" in wanted:
            await asyncio.sleep(plan.idle_seconds)
            tally.idle_mb.append(signer.rss_mb)
        if wanted & {"approvals", "memory"}:
            await _approvals(signer, plan, tally)
        if wanted & {"ecdh", "memory"}:
            await _ecdh(signer, plan, tally)
        tally.loaded_mb.append(signer.rss_mb)
        wrong = [*signer.node.wrong_answers, *signer.node.approvals.wrong_answers, *signer.node.rejections]
        if wrong:
            raise BenchFailed(f"{contender.name} answered wrongly: {wrong[0]}")


async def _approvals(signer: Running, plan: Plan, tally: Tally) -> None:
    asked = [approval(signer.contender.device) for _ in range(plan.warm_up + plan.approvals)]

    async def ask(request: pb.ApprovePairingRequest) -> None:
        if await signer.node.approvals.approve(request) is None:
            raise BenchFailed(f"{signer.contender.name} refused an approval")

    await _one_at_a_time("approvals", signer, tally, ask, asked, warm_up=plan.warm_up)


async def _ecdh(signer: Running, plan: Plan, tally: Tally) -> None:
    head, node = verify.ECDH.to_bytes(2, "big"), signer.node
    serial = [head + node.fresh_point() for _ in range(plan.warm_up + plan.ecdh_serial)]
    queued = [head + node.fresh_point() for _ in range(plan.ecdh_queued)]
    await _one_at_a_time("ecdh", signer, tally, node.ask, serial, warm_up=plan.warm_up)
    await _queued("ecdh queued", signer, tally, node.ask, queued, outstanding=plan.outstanding)
    node.known.points.clear()


async def _one_at_a_time(
    name: str,
    signer: Running,
    tally: Tally,
    ask: Callable[[T], Awaitable[object]],
    questions: Sequence[T],
    *,
    warm_up: int,
) -> None:
    async def all_of_them() -> None:
        for question in questions[:warm_up]:
            await ask(question)
        cpu, begun = signer.cpu_seconds, time.perf_counter()
        for question in questions[warm_up:]:
            asked = time.perf_counter()
            await ask(question)
            tally.latencies[name].append(time.perf_counter() - asked)
        _add(tally, name, len(questions) - warm_up, begun, signer.cpu_seconds - cpu)

    await signer.until(all_of_them())


async def _queued(
    name: str,
    signer: Running,
    tally: Tally,
    ask: Callable[[T], Awaitable[object]],
    questions: Sequence[T],
    *,
    outstanding: int,
) -> None:
    waiting = iter(questions)

    async def asker() -> None:
        for question in waiting:
            asked = time.perf_counter()
            await ask(question)
            tally.latencies[name].append(time.perf_counter() - asked)

    cpu, begun = signer.cpu_seconds, time.perf_counter()
    await signer.until(asyncio.gather(*(asker() for _ in range(outstanding))))
    _add(tally, name, len(questions), begun, signer.cpu_seconds - cpu)


def _add(tally: Tally, name: str, count: int, begun: float, cpu: float) -> None:
    tally.rates[name].append(count / (time.perf_counter() - begun))
    tally.cpu_each[name].append(cpu / count)


def approval(device: Device) -> pb.ApprovePairingRequest:
    """A valid approval by `device`, of a new phone with a key of its own, made now."""
    phone = p256.public_bytes(ec.generate_private_key(ec.SECP256R1())).hex()
    timestamp, name, restrictions = int(time.time()), "phone", f"pubkey={phone}&method^list"
    signed = phone.encode() + timestamp.to_bytes(8, "big") + device.node_id + (name + restrictions).encode()
    return pb.ApprovePairingRequest(
        device_id=phone,
        timestamp=timestamp,
        device_name=name,
        restrictions=restrictions,
        sig=p256.sign(device.key, signed),
        pubkey=p256.public_bytes(device.key),
        rune=device.rune,
    )


def _rows(tallies: Sequence[Tally], plan: Plan, wanted: AbstractSet[str]) -> list[Row]:
    rows = []
    if "approvals" in wanted:
        rows += [
            row(
                "pairing approvals, one at a time",
                "/s",
                *(tally.rate("approvals") for tally in tallies),
                target=">= 1/3 of gl-client",
                judge=share_of_peer(1 / 3),
            ),
            *_latencies("pairing approval", "approvals", tallies),
        ]
    if "ecdh" in wanted:
        rows += [
            row(
                "ecdh, one at a time",
                "/s",
                *(tally.rate("ecdh") for tally in tallies),
                target="> gl-client",
                judge=more_than_peer,
            ),
            *_latencies("ecdh", "ecdh", tallies),
            row(
                f"ecdh, {plan.outstanding} outstanding",
                "/s",
                *(tally.rate("ecdh queued") for tally in tallies),
            ),
            *_latencies(f"ecdh, {plan.outstanding} outstanding,", "ecdh queued", tallies),
        ]
    if "memory" in wanted:
        idle, loaded = ([statistics.median(getattr(t, n)) for t in tallies] for n in ("idle_mb", "loaded_mb"))
        rows += [
            row("RSS attached, idle", "MB", *idle, target="<= 60 MB", judge=at_most(60)),
            row("RSS after the load", "MB", *loaded),
        ]
    return rows


def _latencies(title: str, name: str, tallies: Sequence[Tally]) -> list[Row]:
    return [
        row(f"{title} p50", "ms", *(tally.ms(name, 50) for tally in tallies)),
        row(f"{title} p99", "ms", *(tally.ms(name, 99) for tally in tallies)),
        row(f"{title} signer's CPU each", "ms", *(tally.cpu_ms(name) for tally in tallies)),
    ]
