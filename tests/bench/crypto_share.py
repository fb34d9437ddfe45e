"""How much of the core's work for sign_remote_htlc_tx is libsecp256k1's, in this process.

The same requests are decided twice: as always, and once more with every call of the C library noted with its
arguments. Those calls are then made again, one after the other, with nothing between them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import coincurve.ecdsa
import coincurve.keys
from bench import many_channels
from bench.plan import Plan
from bench.table import Row, at_least, row
from helpers.lives import InMemory, account_of, keys_of

from signerd.core.wire import commitment
from signerd.core.wire.composites import Side
from signerd.dev import player
from signerd.dev.lifecycle import Life
from signerd.dev.steps import Step

_HTLCS = 483
_HTLC_MSAT = 4_000_000
_MODULES = (coincurve.keys, coincurve.ecdsa)
_Call = tuple[Callable[..., Any], tuple[Any, ...]]


def measure(plan: Plan) -> list[Row]:
    """CPU times of this thread, medians of some rounds."""
    answer, steps = _asked()
    shares, seconds = [], []
    for _ in range(plan.share_rounds):
        whole = _cpu(lambda: [answer(step) for step in steps])
        with _noted() as calls:
            for step in steps:
                answer(step)
        bare = _cpu(lambda calls=calls: [function(*arguments) for function, arguments in calls])
        shares.append(bare / whole)
        seconds.append(whole / len(steps))
    each = statistics.median(seconds) * 1000
    share = statistics.median(shares) * 100
    title = "sign_remote_htlc_tx in the core"
    return [
        row(f"{title}: CPU each", "ms", each),
        row(f"{title}: libsecp256k1's share", "%", share, target=">= 33.3 %", judge=at_least(100 / 3)),
    ]


def _asked() -> tuple[Callable[[Step], bytes], Sequence[Step]]:
    """A signer, and its requests for the HTLCs of a commitment, which were answered already."""
    keys, now = keys_of(), int(time.time())
    signer, seen = InMemory(keys, now=now), []

    def answer(step: Step) -> bytes:
        if int.from_bytes(step.raw[:2], "big") == commitment.SignRemoteHtlcTx.TYPE:
            seen.append(step)
        return signer(step)

    life = Life(account_of(keys), seed=b"share", now=now)
    channel = player.play_at_once(answer, life.open(many_channels.TERMS))
    for _ in range(_HTLCS):
        life.offer(channel, Side.LOCAL, _HTLC_MSAT)
    player.play_at_once(answer, life.agree(channel, Side.LOCAL))
    return signer, seen


def _cpu(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


class _Noting:
    """The C library, whose calls are noted."""

    def __init__(self, library: Any, calls: list[_Call]) -> None:
        self._library = library
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        if not callable(found):
            return found

        def noted(*arguments: Any) -> Any:
            self._calls.append((found, arguments))
            return found(*arguments)

        return noted


@contextmanager
def _noted() -> Iterator[list[_Call]]:
    calls: list[_Call] = []
    libraries = [module.lib for module in _MODULES]
    for module, library in zip(_MODULES, libraries, strict=True):
        module.lib = _Noting(library, calls)
    try:
        yield calls
    finally:
        for module, library in zip(_MODULES, libraries, strict=True):
            module.lib = library
