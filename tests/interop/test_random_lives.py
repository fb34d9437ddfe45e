"""The same random but valid life, played to signerd and to the reference signer: equal answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Self

import pytest
from helpers.greenlight import asynchronous
from helpers.lives import Stored
from helpers.peer import peer_process
from helpers.world import NODE_ID, WORDS, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.core.wire.composites import Side
from signerd.dev import channel as channels
from signerd.dev import gossip, identity, invoices, offers, player, random_life
from signerd.dev.channel import Channel, Terms
from signerd.dev.choices import Tape
from signerd.dev.gossip import Card, Price
from signerd.dev.lifecycle import Life
from signerd.dev.local import LocalGreenlight
from signerd.dev.node import HostedNode, RequestRefused
from signerd.dev.offers import Asked
from signerd.dev.splicing import Move
from signerd.dev.steps import Step, Steps
from signerd.dev.sweeping import Manner
from signerd.units import Network

pytestmark = pytest.mark.interop

REFERENCE = """
import os, pathlib, sys
import glclient
from glclient import Credentials

network, secret = sys.argv[1], bytes.fromhex(sys.argv[2])
identity = [pathlib.Path(os.environ[name]).read_bytes() for name in ("GL_NOBODY_CRT", "GL_NOBODY_KEY")]
nobody = Credentials.nobody_with(*identity)
registered = glclient.Scheduler(network, nobody).register(glclient.Signer(secret, network, nobody))
signer = glclient.Signer(secret, network, Credentials.from_bytes(registered.creds))
handle = signer.run_in_thread()
print("running", flush=True)
sys.stdin.readline()
"""
SECRET = mnemonic.node_secret(mnemonic.check(WORDS))
KEYS = NodeKeys.derive(SECRET)
SECONDS = 20.0
LIVES = int(os.environ.get("SIGNERD_RANDOM_LIVES", "8"))
"""How many for each network. Hundreds take minutes."""
LIVES_OF_A_PEER = 10

OURS_ALONE = {41}
"""What the reference signer lacks; a newer one has it."""


@contextlib.asynccontextmanager
async def served_by_the_reference(directory: Path, network: Network = "regtest") -> AsyncIterator[HostedNode]:
    """A node with the reference signer attached to it."""
    async with LocalGreenlight(directory) as greenlight:
        with peer_process(REFERENCE, network, SECRET.expose().hex(), env=greenlight.env) as process:
            assert process.stdout
            said = await asyncio.to_thread(process.stdout.readline)
            assert said == "running\n", said + await asyncio.to_thread(process.stdout.read)
            yield await greenlight.schedule(NODE_ID)


@contextlib.asynccontextmanager
async def served_by_signerd(directory: Path) -> AsyncIterator[HostedNode]:
    """The same node elsewhere, with signerd's daemon attached to it."""
    directory.mkdir(exist_ok=True)
    async with world(directory) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        async with w.daemon():
            yield node


async def ask(node: HostedNode, step: Step) -> bytes:
    async with asyncio.timeout(SECONDS):
        return await node.ask(step.raw, context=player.context_of(step.context))


class Both:
    """Asks both, compares what can be compared, judges the rest, and goes on with the reference's answer.

    Ours is on a real store, and is another process whenever the tape says so.
    """

    def __init__(self, node: HostedNode, ours: Stored) -> None:
        self._node = node
        self._ours = ours
        self.compared: Counter[int] = Counter()
        self.judged: Counter[int] = Counter()

    async def __call__(self, step: Step) -> bytes:
        number, ours = int.from_bytes(step.raw[:2], "big"), self._ours(step)
        if number in OURS_ALONE:
            step.judge(ours)
            self.judged[number] += 1
            return ours
        theirs = await ask(self._node, step)
        if step.deterministic:
            assert theirs.hex() == ours.hex(), f"{step.name}: {step.raw.hex()}"
            self.compared[number] += 1
        else:
            step.judge(ours)
            self.judged[number] += 1
        return theirs


class Peers:
    """The reference signer, a new one for every so many lives: each request takes it the longer the more it
    has signed for. `asyncio` runs in here.
    """

    def __init__(self, directory: Path, network: Network) -> None:
        self._directory = directory
        self._network = network
        self._runner = asyncio.Runner()
        self._served: contextlib.AbstractAsyncContextManager[HostedNode] | None = None
        self._node: HostedNode | None = None
        self.lives = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        self._runner.close()

    def next(self) -> HostedNode:
        """For one more life."""
        if self._node is None or not self.lives % LIVES_OF_A_PEER:
            self._leave()
            self._served = served_by_the_reference(self._directory / str(self.lives), self._network)
            self._node = self._runner.run(self._served.__aenter__())
        self.lives += 1
        return self._node

    def run(self, playing: Coroutine[Any, Any, object]) -> None:
        self._runner.run(playing)

    def _leave(self) -> None:
        if self._served is not None:
            self._runner.run(self._served.__aexit__(None, None, None))
        self._served = None


@pytest.mark.parametrize("network", ["regtest", "bitcoin"])
def test_random_lives_are_answered_alike(tmp_path, network):
    """All but splices, which the reference signer does not sign: on a hosted node they are refused."""
    now, compared, judged = int(time.time()), Counter(), Counter()
    with Peers(tmp_path, network) as peers:

        @settings(max_examples=LIVES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(
            tape=st.lists(st.integers(0, 2**20), min_size=50, max_size=400),
            moves=st.integers(5, 40),
            pause=st.integers(2, 60),
        )
        def alike(tape, moves, pause):
            node, asked = peers.next(), itertools.count(1)
            # Peers of its own for each life, also when one is tried again: nobody has met them before.
            life = Life(player.account_of(node), seed=peers.lives.to_bytes(4, "big"), now=now)
            path, steps = tmp_path / f"{peers.lives}.db", random_life.live(life, Tape(tape), moves=moves)
            ours = Stored(KEYS, path, network, now=now, restarts=lambda: not next(asked) % pause)
            both = Both(node, ours)
            with contextlib.closing(ours):
                peers.run(player.play_to(both, steps))
            compared.update(both.compared)
            judged.update(both.judged)

        alike()
        print(f"{peers.lives} lives, equal: {sorted(compared.items())}, verified: {sorted(judged.items())}")
    assert {10, 18, 19, 31, 35} <= set(compared)


def everything(life: Life) -> Steps[None]:
    """Each kind of message once at least: both types of channels, both funders, every end."""
    mutual = yield from life.open(Terms(channel_type=channels.STATIC_REMOTEKEY, dual=True))
    yield from asides(life, mutual)
    yield from life.pay(mutual, 300_000_000)
    yield from life.receive(mutual, 20_000_123)
    yield from life.change_feerate(mutual, 2500)
    yield from life.close(mutual, rounds=2)
    ends = itertools.product(("ours", "theirs", "cheat"), (channels.STATIC_REMOTEKEY, channels.ANCHORS))
    for end, channel_type in ends:
        terms = Terms(funder=Side.REMOTE, push_msat=400_000_000, channel_type=channel_type)
        channel = yield from life.open(terms)
        for by, amount in itertools.product(Side, (100_000, 30_000_000)):
            life.offer(channel, by, amount)
        yield from life.agree(channel)
        yield from life.reconnect(channel)
        if end == "ours":
            yield from life.force_close(channel)
        elif end == "theirs":
            life.peer_closes(channel)
        else:
            revoked = channel.newest(Side.REMOTE).number
            yield from life.settle(channel)
            life.peer_closes(channel, revoked)
        yield from life.sweep(channel, Manner(older=channel_type == channels.STATIC_REMOTEKEY))
        yield from life.forget(channel)


def asides(life: Life, channel: Channel) -> Steps[None]:
    """What has nothing to do with the dance: gossip, BOLT 12, keys."""
    world = life.world
    card = Card(alias="Zürich ⚡".encode(), features=b"\x80" + bytes(10), addresses=(b"\xff" + bytes(9),))
    yield from gossip.announce_node(world, card)
    yield from gossip.announce_channel(world, channel, features=b"\x01", appended=b"more", by_channeld=True)
    yield from gossip.update_channel(world, channel, Price(alias=bytes(range(8)), appended=b"more"))
    asked = Asked(
        preimage=world.dice.fresh(), amount_msat=7000, quantity=7, note=b"hi", hops=(0, 2), mpp=True
    )
    yield from offers.approve(world, channel.peer, asked)
    yield from offers.sign_invoice(world, {0: b"", 168: bytes(32)})
    yield from offers.sign_request(world, {0: b"\x05", 80: bytes(32), 88: bytes(33)}, b"tweak")
    yield from identity.derive_secret(world, b"any label")
    for key in (None, channel.peer.node_id):
        yield from identity.check_address(world, 5, key)
    yield from invoices.approve_keysend(channel.peer, world.dice.fresh(), 5)
    yield from life.check_future_secret(channel, 0, world.dice.secret(), right=False)


EVERYTHING = {
    1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 16, 18, 19, 20, 21, 22, 25, 27, 28, 30, 31, 32, 34, 35, 36, 37,
    38, 39, 40, 142, 143, 144, 146, 147, 149,
}  # fmt: skip


@asynchronous
async def test_the_same_life_over_the_wire_is_answered_alike(tmp_path):
    now, transcripts = int(time.time()), []
    for name, served in (("theirs", served_by_the_reference), ("ours", served_by_signerd)):
        async with served(tmp_path / name) as node:
            transcript: list[tuple[Step, bytes]] = []

            async def answer(step, node=node, transcript=transcript):
                reply = await ask(node, step)
                transcript.append((step, reply))
                return reply

            await player.play_to(answer, everything(Life(player.account_of(node), seed=b"a", now=now)))
            transcripts.append(transcript)
    asked = Counter()
    for (step, theirs), (same, ours) in zip(*transcripts, strict=True):
        assert step.raw == same.raw
        assert not step.deterministic or theirs.hex() == ours.hex(), step.name
        asked[int.from_bytes(step.raw[:2], "big")] += 1
    assert set(asked) == EVERYTHING


@asynchronous
async def test_the_reference_signer_refuses_splices_too(tmp_path):
    """That they are left out above is no choice of ours. Asked to sign the old funding, it would even end."""
    async with served_by_the_reference(tmp_path) as node:
        life = Life(player.account_of(node), seed=b"a", now=int(time.time()))
        channel = await player.play(node, life.open(Terms(funder=Side.REMOTE, push_msat=400_000_000)))
        with pytest.raises(RequestRefused, match="already ready with different setup"):
            await player.play(node, life.splice(channel, Move(by=Side.REMOTE, amount_sat=50_000)))
        await player.play(node, life.pay(channel, 1_000_000))
