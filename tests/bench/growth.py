"""What more channels cost signerd: time for a request, memory, and the time that a start takes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
from collections.abc import Iterator, Sequence

from bench import crypto_share, many_channels, signing
from bench.plan import Plan
from bench.rig import Contender, Rig
from bench.signing import Seat
from bench.table import Row, at_most, row

from signerd.core.state.book import ChannelId
from signerd.core.wire import channel as wire
from signerd.core.wire import codec
from signerd.dev.steps import CHANNELD, Context, Step

_SEEDS = 100
CHUNK = 20
_KB_EACH = 5


async def measure(rig: Rig, plan: Plan) -> list[Row]:
    bare, filled, full = [await rig.another(rig.contenders[0], _SEEDS + number) for number in range(3)]
    one = many_channels.open_in_store(bare, 1)
    some = many_channels.open_in_store(filled, plan.started_with)
    all_of_them = many_channels.open_in_store(full, plan.most_channels)
    rows = await _requests(rig, plan, (bare, one), (full, all_of_them))
    idle = await _rss_mb(rig, plan, bare, one)
    for contender, channels in ((filled, some), (full, all_of_them)):
        each = (await _rss_mb(rig, plan, contender, channels) - idle) * 1000 / len(channels)
        title = f"memory a channel over the idle process, {len(channels)} channels asked about"
        rows.append(row(title, "kB", each, target=f"<= {_KB_EACH} kB", judge=at_most(_KB_EACH)))
    rows += await _starts(rig, plan, filled)
    return rows + crypto_share.measure(plan)


async def _requests(
    rig: Rig, plan: Plan, few: tuple[Contender, list[ChannelId]], many: tuple[Contender, list[ChannelId]]
) -> list[Row]:
    """Both at once, asked in turn. Every channel is asked about as often as any other."""
    seconds: list[dict[str, list[float]]] = []
    async with contextlib.AsyncExitStack() as stack:
        seats = []
        for contender, _ in (few, many):
            signer = await stack.enter_async_context(rig.running(contender))
            await signer.attached()
            seat = Seat(signer, many_channels.work_life(contender), None)
            seat.channel = await signer.until(seat.play(seat.life.open(many_channels.TERMS)))
            seats.append(seat)
        cycles = [itertools.cycle(_spread(channels)) for _, channels in (few, many)]
        for _ in range(plan.growth_requests // CHUNK):
            for seat, cycle in zip(seats, cycles, strict=True):
                await seat.signer.until(_asked(seat, cycle))
        seconds = [seat.seconds for seat in seats]
    rows = []
    for name, base in seconds[0].items():
        medians = [statistics.median(taken) * 1000 for taken in (base, seconds[1][name])]
        title = f"{name}, {plan.most_channels} channels"
        rows += [
            row(f"{title}: p50", "ms", medians[1]),
            row(f"{title} : 1, p50", "times", medians[1] / medians[0], target="<= 1.2", judge=at_most(1.2)),
        ]
    return rows


async def _asked(seat: Seat, channels: itertools.cycle[ChannelId]) -> None:
    for _ in range(CHUNK):
        for name, question in signing.SIMPLE.items():
            await seat.ask(question(seat), name)
        await seat.ask(_point_of(next(channels)), "get_per_commitment_point of another channel each time")
    for feerate in signing.FEERATES:
        await signing.new_commitments(seat, feerate, "")


def _spread(channels: Sequence[ChannelId]) -> list[ChannelId]:
    """In an order in which neighbours are far apart."""
    return sorted(channels, key=lambda channel_id: channel_id.peer_id)


def _point_of(channel_id: ChannelId) -> Step:
    raw = codec.encode(wire.GetPerCommitmentPoint(1))
    return Step(raw, Context(channel_id.peer_id, channel_id.dbid, CHANNELD), lambda reply: reply)


async def _rss_mb(rig: Rig, plan: Plan, contender: Contender, channels: Sequence[ChannelId]) -> float:
    """Of a signerd that was asked about each channel, after some requests that every process is asked.

    Some seconds after its start, a signerd gives back pages of code that it may not need again. Those that
    it does need come with the first requests, whatever it holds.
    """
    async with rig.running(contender) as signer:
        await signer.attached()
        await asyncio.sleep(plan.idle_seconds)
        seat = Seat(signer, many_channels.work_life(contender), None)
        await signer.until(_warm(seat, plan, channels[0]))
        for part in _parts(_spread(channels)):
            await signer.until(_each(seat, part))
        return signer.rss_mb


async def _warm(seat: Seat, plan: Plan, channel_id: ChannelId) -> None:
    for _ in range(plan.warm_up):
        await seat.ask(next(seat.life.connect()))
        await seat.ask(_point_of(channel_id))


def _parts(channels: Sequence[ChannelId], size: int = 500) -> Iterator[Sequence[ChannelId]]:
    return (channels[begin : begin + size] for begin in range(0, len(channels), size))


async def _each(seat: Seat, channels: Sequence[ChannelId]) -> None:
    for channel_id in channels:
        await seat.ask(_point_of(channel_id))


async def _starts(rig: Rig, plan: Plan, filled: Contender) -> list[Row]:
    """From the process's start to its stream at the scheduler, in turn without and with channels."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    empty = await rig.another(rig.contenders[0], _SEEDS + 4)
    for _, (has_channels, contender) in itertools.product(range(plan.starts), enumerate((empty, filled))):
        async with rig.running(contender) as signer:
            taken[bool(has_channels)].append(await signer.streaming() - signer.started)
    none, many = (statistics.median(taken[key]) for key in (False, True))
    title = f"process start to signer stream open, {plan.started_with} channels"
    return [
        row(f"{title}, median of {plan.starts}", "ms", many * 1000),
        row(f"{title} : none", "times", many / none, target="<= 1.5", judge=at_most(1.5)),
    ]
