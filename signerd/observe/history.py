"""The last events, and those to come for whoever follows: numbered, bounded, and never waited for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from signerd.observe.event import Event

KEPT = 1000
WAITING = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """An event in its place. `lost` says how many before it a follower was too slow for."""

    number: int
    time: float
    event: Event
    lost: int = 0


class History:
    """A listener of the bus."""

    def __init__(self, now: Callable[[], float], *, kept: int = KEPT) -> None:
        self._now = now
        self._records: deque[Record] = deque(maxlen=kept)
        self._followers: set[Follower] = set()
        self._told = 0

    def hear(self, event: Event) -> None:
        """Keep it, and hand it to the followers."""
        self._told += 1
        record = Record(self._told, self._now(), event)
        self._records.append(record)
        for follower in self._followers:
            follower.offer(record)

    def last(self, count: int) -> list[Record]:
        """The last so many, in their order."""
        return list(self._records)[-count:] if count > 0 else []

    def follow(self, *, waiting: int = WAITING) -> Follower:
        """From now on; a context manager. At most `waiting` are kept for one who is slow."""
        return Follower(self._followers, waiting)


class Follower:
    """Yields records as they come. What does not fit is dropped and counted: a signer waits for no reader."""

    def __init__(self, others: set[Follower], waiting: int) -> None:
        self._others = others
        self._most = waiting
        self._waiting: deque[Record] = deque()
        self._lost = 0
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        self._others.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._others.discard(self)

    def offer(self, record: Record) -> None:
        """Never waits."""
        if len(self._waiting) >= self._most:
            self._lost += 1
            return
        if self._lost:
            record = Record(record.number, record.time, record.event, self._lost)
            self._lost = 0
        self._waiting.append(record)
        self._news.set()

    async def next(self) -> Record:
        """The next one, once there is one."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()
