"""Requests of channels, one in flight, with few and with many channels in the state.

Both signers run at once and are asked in turn, a few requests each, so that whatever else the machine does
slows both. Each commitment is a new one, so that signerd has something to store before it answers. The state
that is sent along is as long for both, and with each request the entry of one channel has changed. What the
node does before it sends a request is not timed.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench import many_channels
from bench.many_channels import ShortLife
from bench.plan import Plan, Size
from bench.rig import BenchFailed, Contender, Rig, Running
from bench.table import Row, percentile, row, times_peer
from helpers.lives import InMemory

from signerd.core.wire import commitment as commitment_wire
from signerd.core.wire.composites import Side
from signerd.dev import commitments, gossip, player
from signerd.dev.channel import Channel
from signerd.dev.ledger import Entry
from signerd.dev.steps import Step, Steps

_CHUNK = 10
_ROUNDS_IN_TURN = 4
_FIRST_SEED = 10
_WARM_UP = 5
FEERATES = (1100, 1110)
_NOT_SENT = ", no state sent"
_HTLC_MSAT = 4_000_000
_PEER_HTLCS = 100
"""gl-client takes no message over 128 KiB; a commitment with 483 HTLCs and its PSBT is longer than that."""
_TIMED = {
    commitment_wire.ValidateCommitmentTx.TYPE: "validate_commitment_tx",
    commitment_wire.SignRemoteCommitmentTx.TYPE: "sign_remote_commitment_tx",
}


@dataclass(slots=True)
class Seat:
    """One signer, at work for a node with many channels. `seconds` holds latencies by what was asked."""

    signer: Running
    life: ShortLife
    changing: Iterator[Entry] | None
    channel: Channel | None = None
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def work(self) -> Channel:
        assert self.channel is not None
        return self.channel

    async def ask(self, step: Step, name: str = "") -> object:
        """One request; its latency is kept under `name`."""
        node = self.signer.node
        if self.changing is not None and node.sends_whole_state:
            # With each request, the state of a channel is another one than before.
            node.state.merge([next(self.changing)])
        question = node.prepare(step.raw, context=player.context_of(step.context))
        # Neither signer is to wait for our own collector.
        gc.disable()
        begun = time.perf_counter()
        reply = await node.ask_prepared(question)
        seconds = time.perf_counter() - begun
        gc.enable()
        if name:
            self.seconds[name].append(seconds)
        return step.judge(reply)

    def imagine(self, steps: Steps[Channel]) -> Channel:
        """A channel that is opened without asking the signer."""
        keys, now = self.signer.contender.device.keys, self.life.world.now
        return player.play_at_once(InMemory(keys, now=now), steps)

    async def play(self, steps: Steps[Channel | None], suffix: str | None = None) -> Channel | None:
        """All steps; those of commitments are timed if there is a suffix."""
        result: object = None
        try:
            step = next(steps)
            while True:
                name = "" if suffix is None else _TIMED.get(int.from_bytes(step.raw[:2], "big"), "")
                result = await self.ask(step, name and f"{name}{suffix}")
                step = steps.send(result)
        except StopIteration as end:
            value: Channel | None = end.value
            return value


def _ecdh(seat: Seat) -> Step:
    return next(seat.life.connect())


def _point(seat: Seat) -> Step:
    return next(commitments.ask_point(seat.work, len(seat.work.held[Side.LOCAL])))


def _update(seat: Seat) -> Step:
    return next(gossip.update_channel(seat.life.world, seat.work))


SIMPLE: dict[str, Callable[[Seat], Step]] = {
    "ecdh": _ecdh,
    "get_per_commitment_point": _point,
    "sign_channel_update": _update,
}


async def measure(rig: Rig, plan: Plan) -> list[Row]:
    rows = []
    for number, size in enumerate(plan.sizes):
        rows += await _size(rig, size, _FIRST_SEED + 2 * number)
    return rows


async def _size(rig: Rig, size: Size, seed: int) -> list[Row]:
    async with _seated(rig, size, seed) as seats:
        _send_state(seats, whole=True)
        for seat in seats:
            await seat.signer.until(_asked(seat, _ecdh, "", _WARM_UP))
        await _ask_simple(seats, size, "")
        if size.channels:
            _send_state(seats, whole=False)
            await _ask_simple(seats, size, _NOT_SENT)
            _send_state(seats, whole=True)
        for htlcs, rounds in size.commitments:
            await _ask_commitments(seats, htlcs, rounds)
        for seat in seats:
            _require_honest(seat.signer)
        memory = [seat.signer.rss_mb for seat in seats]
        return [*_rows(size, seats), row(f"{size.channels} channels: RSS after all that", "MB", *memory)]


def _send_state(seats: Sequence[Seat], *, whole: bool) -> None:
    for seat in seats:
        seat.signer.node.sends_whole_state = whole


async def _ask_simple(seats: Sequence[Seat], size: Size, suffix: str) -> None:
    for name, question in SIMPLE.items():
        if not size.channels and question is _point:
            continue
        for begin in range(0, size.requests, _CHUNK):
            for seat in seats:
                await _wake(seat)
                count = min(_CHUNK, size.requests - begin)
                await seat.signer.until(_asked(seat, question, name + suffix, count))


async def _ask_commitments(seats: Sequence[Seat], htlcs: int, rounds: int) -> None:
    able = [seat for seat in seats if htlcs <= _PEER_HTLCS or not seat.signer.contender.is_peer]
    for seat in able:
        await seat.signer.until(_add_htlcs(seat, htlcs))
    for begin in range(0, rounds, _ROUNDS_IN_TURN):
        feerates = [FEERATES[n % len(FEERATES)] for n in range(begin, min(begin + _ROUNDS_IN_TURN, rounds))]
        for seat in able:
            await _wake(seat)
            for feerate in feerates:
                await seat.signer.until(new_commitments(seat, feerate, f", {htlcs} HTLCs"))


async def _wake(seat: Seat) -> None:
    """One request that is not timed: while it was the other's turn, whatever could cool down has."""
    await seat.signer.until(_asked(seat, _ecdh, "", 1))


async def _asked(seat: Seat, question: Callable[[Seat], Step], name: str, count: int) -> None:
    for _ in range(count):
        await seat.ask(question(seat), name)


async def _add_htlcs(seat: Seat, count: int) -> None:
    missing = count - len(seat.work.updates.payments)
    for _ in range(missing):
        seat.life.offer(seat.work, Side.LOCAL, _HTLC_MSAT)
    await seat.play(seat.life.agree(seat.work, Side.LOCAL))


async def new_commitments(seat: Seat, feerate_per_kw: int, suffix: str) -> None:
    """Both sides get a new commitment: the funder, who is the peer, changes the feerate."""
    await seat.play(seat.life.change_feerate(seat.work, feerate_per_kw), suffix)


@contextlib.asynccontextmanager
async def _seated(rig: Rig, size: Size, seed: int) -> AsyncIterator[list[Seat]]:
    """Both signers at once, each with its own node and so many channels."""
    contenders = [await rig.another(contender, seed + n) for n, contender in enumerate(rig.contenders)]
    changing = await _prepare(rig, size.channels, contenders)
    async with contextlib.AsyncExitStack() as stack:
        seats = []
        for contender, entries in zip(contenders, changing, strict=True):
            signer = await stack.enter_async_context(rig.running(contender))
            await signer.attached()
            seat = Seat(signer, many_channels.work_life(contender), entries)
            opening = seat.life.open(many_channels.TERMS)
            # An update can be signed of a channel that the signer knows nothing about.
            seat.channel = await signer.until(seat.play(opening)) if size.channels else seat.imagine(opening)
            seats.append(seat)
        # Our own collector is not to look through both nodes' states again and again.
        gc.collect()
        gc.freeze()
        try:
            yield seats
        finally:
            gc.unfreeze()


async def _prepare(rig: Rig, channels: int, contenders: Sequence[Contender]) -> list[Iterator[Entry] | None]:
    """All but the channel that is worked with."""
    others = max(0, channels - 1)
    ids = many_channels.open_in_store(contenders[0], others)
    if len(contenders) == 1 or not others:
        return [None] * len(contenders)
    template = await many_channels.peer_state(rig, contenders[1])
    made_up = many_channels.made_up(others - 1)
    for contender, known in zip(contenders, (ids, made_up), strict=True):
        node = rig.greenlight.node(contender.device.node_id)
        node.state.merge(many_channels.state_with(template, node.node_id, known))
    ours = rig.greenlight.node(contenders[0].device.node_id)
    return [many_channels.changing(ours.state.live()), None]


def _require_honest(signer: Running) -> None:
    wrong = [*signer.node.wrong_answers, *signer.node.rejections]
    if wrong:
        raise BenchFailed(f"{signer.contender.name} answered wrongly: {wrong[0]}")


def _rows(size: Size, seats: Sequence[Seat]) -> Iterator[Row]:
    for name in seats[0].seconds:
        title = f"{size.channels} channels: {name}"
        taken = [seconds for seat in seats if (seconds := seat.seconds[name])]
        target = _target(size, name)
        yield row(
            title,
            "/s",
            *(1 / statistics.mean(seconds) for seconds in taken),
            target=f">= {target:g} x gl-client" if target else "",
            judge=times_peer(target) if target else None,
        )
        for percent in (50, 99):
            values = (percentile(seconds, percent) * 1000 for seconds in taken)
            yield row(f"{title}, p{percent}", "ms", *values)


def _target(size: Size, name: str) -> float:
    if size.channels >= 1000 and "483" not in name:
        return 200 if _NOT_SENT in name else 50
    if "30 HTLCs" in name:
        return 4
    return 0 if size.channels else 1.5
