"""Whole lives of channels, signed for by the real daemon over real TLS, also when it is killed in between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from helpers import scripts
from helpers.greenlight import asynchronous
from helpers.lives import InMemory
from helpers.world import NODE_ID, WORDS, Daemon, World, world

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.core.wire.composites import Side
from signerd.dev import control, offers, player, random_life, show
from signerd.dev.chain import Chain
from signerd.dev.channel import Terms
from signerd.dev.choices import Dice
from signerd.dev.control import Control
from signerd.dev.faults import Fault
from signerd.dev.lifecycle import Life
from signerd.dev.node import HostedNode, RequestRefused
from signerd.dev.offers import Asked
from signerd.dev.splicing import Move
from signerd.dev.steps import Step, Steps
from signerd.dev.sweeping import Manner
from signerd.errors import Rejected

KEYS = NodeKeys.derive(mnemonic.node_secret(mnemonic.check(WORDS)))
SECONDS = 20.0

Death = Literal["before", "after"]
"""Before a request comes, or after its answer was stored and before the node has it."""


def short_life(life: Life) -> Steps[None]:
    """Every change of state in few messages: the openings, approvals, HTLCs, a fee, all four ends."""
    for end, funder in zip(("mutual", "ours", "theirs", "cheat"), itertools.cycle(Side)):
        push = 0 if funder is Side.LOCAL else 500_000_000
        channel = yield from life.open(Terms(funder=funder, push_msat=push, dual=end == "theirs"))
        asked = Asked(preimage=life.world.dice.fresh(), amount_msat=5_000_000)
        yield from offers.approve(life.world, channel.peer, asked)
        life.offer(channel, Side.LOCAL, 5_000_000)
        channel.updates.change_feerate(1200)
        yield from life.agree(channel)
        revoked = channel.newest(Side.REMOTE).number
        if end in {"mutual", "cheat"}:
            yield from life.settle(channel)
        if end == "mutual":
            yield from life.close(channel)
        elif end == "ours":
            yield from life.force_close(channel)
        else:
            life.peer_closes(channel, revoked)
        if channel.published:
            yield from life.sweep(channel, Manner(older=end == "theirs"))
        yield from life.forget(channel)


class Mortal:
    """The daemon of a world's node: `fate` says of the number of a request whether and when it is killed.

    Its answers are compared with those of a signer that never dies.
    """

    def __init__(self, w: World, node: HostedNode, now: int, fate: Callable[[int], Death | None]) -> None:
        self._world = w
        self._node = node
        self._fate = fate
        self._immortal = InMemory(KEYS, now=now)
        self._stack = contextlib.AsyncExitStack()
        self._daemon: Daemon | None = None
        self.asked = 0
        self.deaths = 0

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def __call__(self, step: Step) -> bytes:
        self.asked += 1
        fate = self._fate(self.asked)
        if fate == "before":
            await self._die()
            await self._start()
        calls, faults = self._world.greenlight.calls, self._world.greenlight.faults
        answered = len(calls.times("RespondHsmRequest"))
        if fate == "after":
            faults.set("RespondHsmRequest", Fault(hang=True))
        asking = asyncio.ensure_future(self._node.ask(step.raw, context=player.context_of(step.context)))
        if fate == "after":
            await calls.reach("RespondHsmRequest", answered + 1)
            assert not asking.done()
            await self._die()
            faults.clear()
            await self._start()
        async with asyncio.timeout(SECONDS):
            reply = await asking
        assert reply == self._immortal(step), step.name
        return reply

    async def _start(self) -> None:
        calls = self._world.greenlight.calls
        answered = len(calls.times("RespondHsmRequest"))
        self._daemon = await self._stack.enter_async_context(self._world.daemon())
        async with asyncio.timeout(SECONDS):
            # The heartbeat comes before everything that waits.
            await calls.reach("RespondHsmRequest", answered + 1)

    async def _die(self) -> None:
        assert self._daemon is not None
        await self._daemon.stop(signal.SIGKILL)
        await self._stack.aclose()
        self.deaths += 1


def verify_all(chain: Chain) -> int:
    for confirmed in chain.confirmed:
        scripts.verify(confirmed.tx.serialize(), [(item.value, item.script) for item in confirmed.spent])
    return len(chain.confirmed)


async def live(directory: Path, fate: Callable[[int], Death | None]) -> Mortal:
    """The short life, with those deaths in it."""
    now = int(time.time())
    async with world(directory) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        life = Life(player.account_of(node), seed=b"a", now=now)
        async with Mortal(w, node, now, fate) as mortal:
            await player.play_to(mortal, short_life(life))
        assert verify_all(life.world.chain) > 8
        assert not len(node.wrong_answers)
        assert not len(node.rejections)
        return mortal


@asynchronous
async def test_a_life_goes_on_when_the_daemon_is_killed_now_and_then(tmp_path):
    fates: dict[int, Death] = {9: "before", 33: "after", 60: "before", 85: "after", 100: "after"}
    mortal = await live(tmp_path, fates.get)
    assert mortal.deaths == len(fates)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fate", ["before", "after"])
def test_a_life_goes_on_when_the_daemon_is_killed_at_every_message(tmp_path, fate):
    mortal = asyncio.run(live(tmp_path, lambda _number: fate))
    assert mortal.deaths == mortal.asked > 100


@asynchronous
async def test_random_lives_are_signed_for(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)

        def life_of(number: int, now: int) -> tuple[Life, Steps[Any]]:
            seed = bytes([number])
            life = Life(player.account_of(node), seed=seed, now=now, first_dbid=1 + 10 * number)
            return life, random_life.live(life, Dice(seed), moves=20)

        async with w.daemon():
            for number in range(4):
                life, steps = life_of(number, int(time.time()))
                async with asyncio.timeout(SECONDS):
                    await player.play(node, steps)
                assert verify_all(life.world.chain)
        # And one that is interrupted.
        now, fates = int(time.time()), {20: "before", 40: "after"}
        life, steps = life_of(4, now)
        async with Mortal(w, node, now, fates.get) as mortal:
            await player.play_to(mortal, steps)
        assert mortal.deaths == len(fates)
        assert verify_all(life.world.chain)
        assert not len(node.wrong_answers)


@asynchronous
async def test_a_hosted_nodes_splices_are_refused_and_its_channel_goes_on(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        life = Life(player.account_of(node), seed=b"a", now=int(time.time()))
        async with w.daemon(), asyncio.timeout(SECONDS):
            channel = await player.play(node, life.open(Terms(funder=Side.REMOTE, push_msat=500_000_000)))
            rules = ((Side.LOCAL, "unsupported-message"), (Side.REMOTE, "channel-setup-changed"))
            for count, (by, rule) in enumerate(rules, start=1):
                with pytest.raises(RequestRefused, match=rule):
                    await player.play(node, life.splice(channel, Move(by=by, amount_sat=-50_000)))
                assert len(node.rejections) == count
            await player.play(node, life.pay(channel, 20_000_000))
            await player.play(node, life.close(channel))
        assert verify_all(life.world.chain)


@asynchronous
async def test_483_htlcs_on_each_side_go_over_the_wire(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        life = Life(player.account_of(node), seed=b"a", now=int(time.time()))

        def crowd() -> Steps[None]:
            terms = Terms(funder=Side.REMOTE, value_sat=10_000_000, push_msat=5 * 10**9, feerate_per_kw=253)
            channel = yield from life.open(terms)
            for side in Side:
                while channel.updates.room_msat(side):
                    life.offer(channel, side, 1_000_000)
            yield from life.agree(channel)
            assert len(channel.newest(Side.LOCAL).payments) == 2 * 483

        async with w.daemon():
            await player.play(node, crowd())


@asynchronous
async def test_channels_are_driven_by_hand(tmp_path):
    async with world(tmp_path) as w, Control(w.greenlight).serve(tmp_path / "c.sock"):
        await w.make_node()
        await w.greenlight.schedule(NODE_ID)

        async def ctl(command: str, **arguments: Any) -> dict[str, Any]:
            return await asyncio.to_thread(control.send, tmp_path / "c.sock", command, arguments)

        async with w.daemon():
            opened = await ctl("channel-open", type="static_remotekey")
            assert opened["status"] == "open"
            assert opened["requests"] == 16
            paid = await ctl("channel-pay", amount_msat=300_000_000)
            assert (paid["ours_msat"], paid["theirs_msat"]) == (700_000_000, 300_000_000)
            assert (await ctl("channel-invoice", amount_msat=1000))["invoice"].startswith("lnbcrt10n1")
            assert (await ctl("channel-htlc", amount_msat=5_000_000, by="peer", count=3))["htlcs"] == 3
            await ctl("channel-feerate", feerate_per_kw=2000)
            offered = await ctl("channel-pay", amount_msat=1_000_000, offer=True)
            assert offered["theirs_msat"] - paid["theirs_msat"] == 1_000_000 - 1000
            closed = await ctl("channel-close")
            assert (closed["status"], closed["htlcs"]) == ("closed mutually", 0)
            for kind in ("p2tr", "p2wpkh", "p2sh-p2wpkh"):
                assert (await ctl("withdraw", amount_sat=50_000, kind=kind))["requests"] == 1
            await ctl("channel-forget")
            for command, arguments, status in (
                ("channel-force-close", {"by": "us"}, "force-closed by us"),
                ("channel-force-close", {"by": "peer"}, "force-closed by the peer"),
                ("channel-cheat", {}, "the peer cheats"),
            ):
                opened = await ctl("channel-open", dual=True, type="zeroconf")
                number = opened["channel"]
                await ctl("channel-htlc", amount_msat=5_000_000, channel=number)
                assert (await ctl(command, channel=number, **arguments))["status"] == status
                swept = await ctl("channel-sweep", channel=number)
                assert swept["status"] == "swept"
                assert swept["gained_sat"] > 380_000
                await ctl("channel-forget", channel=number)
            assert await ctl("channels") == {"channels": []}
            for command, arguments in (
                ("channel-pay", {"amount_msat": 1}),
                ("channel-open", {"type": "legacy"}),
                ("channel-open", {"value_sat": 1}),
                ("withdraw", {"amount_sat": 1}),
            ):
                with pytest.raises(Rejected):
                    await ctl(command, **arguments)


@asynchronous
async def test_a_channel_is_given_up_when_no_signer_answers(tmp_path):
    async with world(tmp_path) as w, Control(w.greenlight).serve(tmp_path / "c.sock"):
        await w.make_node()
        await w.greenlight.schedule(NODE_ID)
        with pytest.raises(Rejected, match="no signer answered"):
            await asyncio.to_thread(control.send, tmp_path / "c.sock", "channel-open", {"timeout": 0.1})
        assert not w.greenlight.node(NODE_ID).pending()


@asynchronous
async def test_shows_a_payment(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        async with w.daemon():
            assert "signatures" in await show.show_payment(node)
