"""What the reference signer refuses is refused, whatever a node makes of a valid request.

The other way round signerd may be stricter. A valid life goes on until one of its requests is sent with
something changed and is answered: from there on the two signers may know different things.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from helpers.lives import InMemory, Refused
from helpers.mutations import Mutator
from helpers.peer import peer_process
from helpers.world import NODE_ID
from interop.test_random_lives import KEYS, REFERENCE, SECRET

from signerd.dev import player, random_life
from signerd.dev.choices import Tape
from signerd.dev.lifecycle import Life
from signerd.dev.local import LocalGreenlight
from signerd.dev.node import HostedNode, RequestRefused
from signerd.dev.steps import Step

pytestmark = pytest.mark.interop

LIVES = 60
SECONDS = 15.0


class LifeEnds(Exception):
    """One of the signers has answered a changed request."""


class PeerEnds(Exception):
    """The reference signer aborts on some requests; we then go on with a new one."""


class Both:
    """Asks both, now and then with something changed, and compares."""

    def __init__(
        self, node: HostedNode, peer: subprocess.Popen[str], mutator: Mutator, seen: Counter[str], now: int
    ) -> None:
        self._node, self._peer, self._mutator, self._seen = node, peer, mutator, seen
        self._ours = InMemory(KEYS, now=now)

    async def __call__(self, step: Step) -> bytes:
        if self._mutator.dice.random() < 0.15 and (changed := self._mutator.step(step)):
            await self._try(changed)
        theirs = await self._ask_peer(step)
        assert theirs is not None, f"{step.name} of a valid life"
        assert not step.deterministic or theirs == self._ours(step)
        return theirs

    async def _try(self, step: Step) -> None:
        try:
            ours = self._ours(step)
        except Refused:
            ours = None
        theirs = await self._ask_peer(step)
        if theirs is None:
            assert ours is None, f"the reference refuses, we answer: {step.raw.hex()} {step.context}"
            self._seen["refused by both"] += 1
            return
        assert ours is None or not step.deterministic or theirs == ours, step.raw.hex()
        self._seen["answered by both" if ours else "refused by us"] += 1
        raise LifeEnds

    async def _ask_peer(self, step: Step) -> bytes | None:
        question = self._node.put(step.raw, context=player.context_of(step.context))
        try:
            async with asyncio.timeout(SECONDS):
                while not question.outcome.done():
                    if self._peer.poll() is not None:
                        raise PeerEnds
                    await asyncio.wait([question.outcome], timeout=0.2)
            outcome = question.outcome.result()
        except RequestRefused:
            outcome = None
        finally:
            self._node.withdraw(question)
        return outcome if isinstance(outcome, bytes) else None


async def live(node: HostedNode, peer: subprocess.Popen[str], number: int, seen: Counter[str]) -> None:
    now, dice = int(time.time()), Random(number)
    life = Life(player.account_of(node), seed=b"m" + number.to_bytes(4, "big"), now=now)
    tape = Tape([dice.randrange(2**20) for _ in range(200)])
    both = Both(node, peer, Mutator(number), seen, now)
    with contextlib.suppress(LifeEnds):
        await player.play_to(both, random_life.live(life, tape, moves=dice.randrange(3, 20)))


async def live_on(directory: Path, numbers: list[int], seen: Counter[str]) -> None:
    """Lives with one reference signer, until there are none left or it has ended."""
    directory.mkdir()
    async with LocalGreenlight(directory) as greenlight:
        with peer_process(REFERENCE, "regtest", SECRET.expose().hex(), env=greenlight.env) as peer:
            assert peer.stdout
            assert await asyncio.to_thread(peer.stdout.readline) == "running\n"
            node = await greenlight.schedule(NODE_ID)
            try:
                while numbers:
                    await live(node, peer, numbers.pop(), seen)
            except PeerEnds:
                seen["the reference ended"] += 1


def test_nothing_is_answered_that_the_reference_refuses(tmp_path):
    numbers, seen, rounds = list(range(LIVES)), Counter(), 0
    while numbers:
        asyncio.run(live_on(tmp_path / str(rounds), numbers, seen))
        rounds += 1
    assert seen["refused by both"] > LIVES // 3
    assert seen["answered by both"] > 0
